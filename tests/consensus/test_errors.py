"""Errors say what the caller may conclude."""

from consensus import CommandFailedError, ConsensusError, NotAcceptedError, UnknownOutcomeError


def test_a_failed_command_names_its_place_in_the_log() -> None:
    error = CommandFailedError(7, "ValueError")
    assert error.index == 7
    assert str(error) == "command at index 7 failed: ValueError"


def test_unknown_is_never_mistaken_for_not_accepted() -> None:
    assert not issubclass(UnknownOutcomeError, NotAcceptedError)
    assert not issubclass(NotAcceptedError, UnknownOutcomeError)
    assert issubclass(UnknownOutcomeError, ConsensusError)
