"""Epochs and applying once: pure, so any order of copies can be tried."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import Office
from consensus.errors import SnapshotError
from consensus.takeover import Command, Replicated
from tests.consensus.groups import Register


def payload(
    number: int, body: bytes | None = b"x", *, origin: str = "a", life: int = 1, settled: int = 0
) -> bytes:
    """A log entry."""
    return msgspec.msgpack.encode(Command(origin, life, number, settled, body))


def test_epochs_are_allocated_by_the_log() -> None:
    replicated = Replicated(Register())
    first = replicated.apply(payload(1, None), 10)
    second = replicated.apply(payload(1, None, origin="b", life=7), 11)
    assert first is not None
    assert second is not None
    assert [msgspec.msgpack.decode(o.result) for o in (first, second)] == [1, 2]
    assert replicated.office == Office("b", 2, 7)


def test_a_repeated_takeover_allocates_nothing() -> None:
    replicated = Replicated(Register())
    replicated.apply(payload(1, None), 10)
    again = replicated.apply(payload(1, None), 11)
    assert again is not None
    assert (again.is_repeat, again.index, replicated.epoch) == (True, 10, 1)


@given(st.lists(st.integers(1, 6), max_size=40))
def test_each_number_takes_effect_once_in_any_order(numbers: list[int]) -> None:
    machine = Register()
    replicated = Replicated(machine)
    for index, number in enumerate(numbers):
        replicated.apply(payload(number, b"%d" % number), index)
    assert sorted(machine.commands) == sorted({b"%d" % number for number in numbers})


def test_numbers_that_are_closed_come_too_late_everywhere() -> None:
    machine = Register()
    replicated = Replicated(machine)
    replicated.apply(payload(3, b"three", settled=2), 1)
    assert replicated.apply(payload(2, b"two"), 2) is None
    assert machine.commands == [b"three"]


def test_a_later_life_ends_the_earlier_one() -> None:
    replicated = Replicated(Register())
    replicated.apply(payload(1, life=2), 1)
    assert replicated.apply(payload(2, life=1), 2) is None
    assert replicated.answered("a", 1, 1) is None
    assert replicated.answered("a", 2, 1) is not None
    assert replicated.answered("a", 2, 9) is None
    assert replicated.answered("nobody", 2, 1) is None


def test_what_raises_is_an_answer_and_names_no_address() -> None:
    replicated = Replicated(Register())
    outcome = replicated.apply(payload(1, b"boom"), 1)
    assert outcome is not None
    assert outcome.failure == "ValueError"
    assert replicated.failures == 1


class Exhausted(Register):
    """Runs in a process that has no memory left."""

    def apply(self, command: bytes, index: int) -> bytes:
        """Fail halfway."""
        self.commands.append(command)
        raise MemoryError


def test_a_process_without_memory_applies_nothing_as_an_answer() -> None:
    """The other members had memory: an answer of this one alone would part it from them."""
    with pytest.raises(MemoryError):
        Replicated(Exhausted()).apply(payload(1), 1)


@pytest.mark.parametrize(
    "garbage", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x81\xa1\xff\x01", b"\x91" * 100_000]
)
def test_an_entry_that_is_no_command_changes_nothing(garbage: bytes) -> None:
    replicated = Replicated(Register())
    before = replicated.snapshot()
    assert replicated.apply(garbage, 1) is None
    assert replicated.snapshot() == before


def test_a_snapshot_restores_everything_duplicates_included() -> None:
    original = Replicated(Register())
    for index, (number, body) in enumerate([(1, b"a"), (2, None), (3, b"c")]):
        original.apply(payload(number, body), index)
    machine = Register()
    copy = Replicated(machine)
    copy.restore(original.snapshot())
    assert copy.office == original.office
    assert machine.commands == [b"a", b"c"]
    again = copy.apply(payload(3, b"c"), 99)
    assert again is not None
    assert again.is_repeat
    assert copy.snapshot() == original.snapshot()


def test_a_snapshot_of_something_else_is_refused() -> None:
    with pytest.raises(SnapshotError):
        Replicated(Register()).restore(b"\xc1")


def test_no_office_survives_as_no_office() -> None:
    copy = Replicated(Register())
    copy.restore(Replicated(Register()).snapshot())
    assert copy.office is None
