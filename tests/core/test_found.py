"""What a source reports of a replica."""

import attrs

from trioroute.core.found import FoundReplica, mark_of
from trioroute.core.model import CommandSource, ScriptSource

SOURCE = CommandSource(command=("a",), cwd="/", environment={"x": "1", "y": "2"})
FOUND = FoundReplica(id="r", deployment="e/d", host="h", port=1, made_from=mark_of(SOURCE))


def test_equal_sources_have_one_mark_in_whatever_order_their_variables_stand() -> None:
    again = attrs.evolve(SOURCE, environment={"y": "2", "x": "1"})
    assert not FOUND.is_outdated(again)


def test_any_other_source_makes_a_replica_outdated() -> None:
    for other in (
        attrs.evolve(SOURCE, command=("b",)),
        attrs.evolve(SOURCE, revision="2"),
        attrs.evolve(SOURCE, environment={"x": "1"}),
        ScriptSource(code="/", script="a"),
    ):
        assert FOUND.is_outdated(other)


def test_what_has_no_mark_is_never_outdated() -> None:
    assert not attrs.evolve(FOUND, made_from="").is_outdated(SOURCE)
