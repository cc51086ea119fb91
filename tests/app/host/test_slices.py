"""A short slice, as the kernel under this test takes it."""

import os
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from trioroute.app.host.slices import short_slice, slice_s, use_usual_slice

T = TypeVar("T")


def in_a_thread(act: Callable[[], T]) -> T:
    """A slice belongs to a thread: the one of the tests keeps its own."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(act()))
    thread.start()
    thread.join()
    return results[0]


def test_a_short_slice_is_taken_and_given_back() -> None:
    before = slice_s()

    def act() -> tuple[bool, float | None, float | None]:
        with short_slice() as took:
            inside = slice_s()
        return took, inside, slice_s()

    took, inside, after = in_a_thread(act)
    if not took:
        pytest.skip("this kernel takes no slices: Linux has done so since 6.12")
    assert inside == 0.0003
    assert after != inside
    assert slice_s() == before


def test_what_a_parent_asked_for_is_undone() -> None:
    def act() -> tuple[bool, bool, float | None]:
        with short_slice() as took:
            return took, use_usual_slice(), slice_s()

    took, heard, after = in_a_thread(act)
    # An operator's own policy, say SCHED_IDLE, stands.
    assert heard is (os.sched_getscheduler(0) == os.SCHED_OTHER)
    assert not took or after != 0.0003


def test_children_begin_with_the_usual_slice() -> None:
    """A model server that is run before the workers would undo what the slice is for."""
    before = slice_s()

    def act() -> float | None:
        with short_slice():
            return in_a_thread(slice_s)

    assert in_a_thread(act) == before


def test_another_policy_is_left_alone() -> None:
    def act() -> tuple[bool, int]:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        with short_slice() as took:
            return took, os.sched_getscheduler(0)

    assert in_a_thread(act) == (False, os.SCHED_BATCH)


def test_niceness_stays_what_it_was() -> None:
    def act() -> bool:
        nice = os.nice(1)
        with short_slice():
            return os.nice(0) == nice

    assert in_a_thread(act)


def test_an_unknown_processor_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    with short_slice() as took:
        assert not took
    assert slice_s() is None
