"""What can go wrong between a client and the admin API."""

from trioroute.errors import ControlError, TrioRouteError

__all__ = ["ChangeUnknownError", "ProblemAnswerError", "UnreachableError"]


class UnreachableError(ControlError):
    """No admin API answered: nothing listens there, it is not ours, or it took too long."""

    reason = "admin-unreachable"


class ChangeUnknownError(UnreachableError):
    """The connection broke after a change was sent: nobody knows whether it was made."""

    reason = "outcome-unknown"


class ProblemAnswerError(TrioRouteError):
    """The admin API answered with a problem.

    Attributes:
        answer_status: the HTTP status.
        code: `TR…`, empty when the answer had none.
    """

    reason = "admin-problem"

    def __init__(self, message: str, *, answer_status: int, code: str) -> None:
        super().__init__(message)
        self.answer_status = answer_status
        self.code = code
