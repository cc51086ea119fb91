"""The table of the admin API fits its handlers."""

import re
from pathlib import Path

from trioroute import admin
from trioroute.admin.operations import OPERATIONS
from trioroute.admin.problems import PROBLEM_KINDS


def test_names_and_places_are_unique() -> None:
    assert len({one.name for one in OPERATIONS}) == len(OPERATIONS)
    assert len({(one.method, one.path) for one in OPERATIONS}) == len(OPERATIONS)


def test_only_changes_take_bodies_and_can_be_refused() -> None:
    for one in OPERATIONS:
        assert not (one.method == "GET" and one.takes)
        assert set(one.problems) <= set(PROBLEM_KINDS)
        assert any(kind.code == "TR0809" for kind in one.problems) == (one.method != "GET")


def test_the_manual_lists_every_operation() -> None:
    manual = Path(admin.__path__[0], "README.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+) (/\S+)` \|", manual, re.MULTILINE)
    assert rows == [(one.method, one.path) for one in OPERATIONS]
