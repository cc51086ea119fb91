"""Masks of slot numbers."""

from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.slots.masks import all_slots, count, lowest, pack, pack_all, unpack, unpack_all


def test_the_small_ones_by_hand() -> None:
    assert all_slots(3) == 0b111
    assert count(0b1011) == 3
    assert lowest(0b1100) == 2


@given(st.sets(st.integers(0, 2000)))
def test_packing_loses_nothing_however_wide(slots: set[int]) -> None:
    mask = sum(1 << slot for slot in slots)
    assert unpack(pack(mask)) == mask
    assert count(mask) == len(slots)
    if slots:
        assert lowest(mask) == min(slots)


def test_empty_masks_are_left_out() -> None:
    assert unpack_all(pack_all({"a": 0, "b": 5})) == {"b": 5}
