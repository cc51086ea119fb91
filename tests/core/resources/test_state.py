"""The replicated state as a value."""

from trioroute.core.resources.state import Refusal, RegistryState, Result


def test_an_empty_log_is_an_empty_state() -> None:
    assert RegistryState() == RegistryState(endpoints={}, versions={}, sealed_keys={})


def test_a_result_without_an_error_refuses_nothing() -> None:
    assert Result().refusal is Refusal.NONE
