"""The desk's errors are refusals: whoever knows no better treats them so."""

from trioroute.admin.resources.desk import ConflictError, MissingError
from trioroute.admin.view import RefusedError


def test_conflicts_and_what_is_missing_are_refusals() -> None:
    assert issubclass(ConflictError, RefusedError)
    assert issubclass(MissingError, RefusedError)
