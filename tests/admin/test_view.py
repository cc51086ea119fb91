"""The errors of the admin API's writes."""

from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.errors import ControlError


def test_failed_writes_are_control_errors_with_a_reason_each() -> None:
    assert issubclass(RefusedError, ControlError)
    assert issubclass(OutcomeUnknownError, ControlError)
    assert {RefusedError.reason, OutcomeUnknownError.reason} == {"refused", "outcome-unknown"}
