"""The table of the admin API fits its handlers."""

from trioroute.admin.operations import OPERATIONS
from trioroute.admin.problems import PROBLEM_KINDS


def test_names_and_places_are_unique() -> None:
    assert len({one.name for one in OPERATIONS}) == len(OPERATIONS)
    assert len({(one.method, one.path) for one in OPERATIONS}) == len(OPERATIONS)


def test_only_changes_take_bodies_and_can_be_refused() -> None:
    for one in OPERATIONS:
        assert not (one.method == "GET" and one.takes_registry)
        assert set(one.problems) <= set(PROBLEM_KINDS)
        assert any(kind.code == "TR0809" for kind in one.problems) == (one.method != "GET")
