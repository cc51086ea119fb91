"""What a source reports of a replica."""

import attrs
import pytest

from trioroute.core.found import FoundReplica, mark_of, outdated
from trioroute.core.model import CommandSource, ScriptSource, Source, StaticSource

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


def test_of_many_those_of_another_source_are_told() -> None:
    earlier = attrs.evolve(FOUND, id="old", made_from="earlier")
    unmarked = attrs.evolve(FOUND, id="fixed", made_from="")
    assert outdated([FOUND, earlier, unmarked], SOURCE) == {"old"}


def test_a_source_is_read_once_for_all_and_not_for_those_without_a_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand fixed addresses took the coordinator a quarter of a second at each look."""
    read: list[Source] = []

    def note(source: Source) -> str:
        read.append(source)
        return mark_of(source)

    monkeypatch.setattr("trioroute.core.found.mark_of", note)
    fixed = StaticSource(addresses=(("10.0.0.1", 80), ("10.0.0.2", 80)))
    outdated([attrs.evolve(FOUND, made_from="")] * 2, fixed)
    assert read == []
    outdated([FOUND] * 3, SOURCE)
    assert read == [SOURCE]
