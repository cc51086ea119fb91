"""An admin API that is absent is told from one that refuses."""

from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.errors import ControlError


def test_unreachable_is_of_the_kind_that_verbs_turn_into_exit_code_3() -> None:
    assert issubclass(UnreachableError, ControlError)


def test_a_problem_is_not_an_absence() -> None:
    error = ProblemAnswerError("TR0809 refused: no", answer_status=409, code="TR0809")
    assert not isinstance(error, ControlError)
    assert (str(error), error.answer_status, error.code) == ("TR0809 refused: no", 409, "TR0809")
