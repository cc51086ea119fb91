"""Which limit binds whom while it changes: histories made by hand, of one replica."""

import math

import pytest

from chaos.sim.system.history import (
    Dispatch,
    HolderLife,
    LimitLog,
    Run,
    Said,
    SystemHistory,
    Window,
)
from chaos.sim.system_judging.limits import limits_are_as_wished, limits_hold
from trioroute.core.holding.held import NO_SLOT
from trioroute.core.slots import messages as m
from trioroute.core.slots.timings import SlotTimings

A, B = HolderLife("fe-0/0", 1), HolderLife("fe-1/0", 2)
#: The log entries of the higher limit and of the lower one, applied at 1 and at 10 seconds.
HIGH, LOW = 5, 9


def lowered(before: float, after: float) -> SystemHistory:
    """Two requests of A run from before the limit is lowered until 12 s."""
    history = SystemHistory(SlotTimings())
    history.limits.note(HIGH, 1.0, {"r": before})
    history.limits.note(LOW, 10.0, {"r": after})
    for life in (A, B):
        history.said[life] = [Said(2.0, 1, listed(3), index=HIGH)]
    for number in (0, 1):
        begin(history, A, number, 9.0, ends_at=12.0)
    return history


def listed(mask: int) -> m.Lease:
    return m.Lease(echo_sent_at=0.0, seen=0, slots={"r": bytes([mask])} if mask else {})


def begin(
    history: SystemHistory, life: HolderLife, slot: int, at: float, *, ends_at: float = 13.0
) -> None:
    dispatch = Dispatch(at, life, len(history.runs), "e/d", "r", slot, 1)
    history.dispatches.append(dispatch)
    history.runs.append(Run(dispatch, at, ends_at, is_whole=True))


def test_who_has_not_heard_starts_what_it_has() -> None:
    history = lowered(3, 1)
    begin(history, B, 2, 10.5)
    assert not [*limits_hold(history)]


def test_above_the_limit_of_before_nobody_starts_anything() -> None:
    history = lowered(2, 1)
    begin(history, B, 2, 10.5)
    assert [*limits_hold(history)] == ["r runs [0, 1, 2] at 10.500, and may 2"]


def test_who_has_heard_starts_nothing_before_what_runs_fits() -> None:
    history = lowered(3, 1)
    history.said[B].append(Said(10.2, 1, listed(0), index=LOW))
    begin(history, B, 0, 12.0)
    assert not [*limits_hold(history)]
    begin(history, B, 2, 11.9, ends_at=11.95)
    assert [*limits_hold(history)] == ["r runs [0, 1, 3] at 11.900, and may 1"]


def test_a_new_session_says_nothing_of_slots_before_its_first_list() -> None:
    history = lowered(3, 1)
    history.said[B].append(Said(10.2, 2, m.Welcome(version=1, epoch=2, index=LOW), index=LOW))
    begin(history, B, 2, 10.5)
    assert not [*limits_hold(history)]


def test_what_a_coordinator_says_that_does_not_know_yet_binds_nobody() -> None:
    history = lowered(3, 1)
    history.said[B].append(Said(10.2, 1, listed(4), index=HIGH))
    begin(history, B, 2, 10.5)
    assert not [*limits_hold(history)]


@pytest.mark.parametrize("slot", [2, NO_SLOT])
def test_once_a_slot_is_given_under_the_new_limit_it_binds_everybody(slot: int) -> None:
    """All that others have had to fit then: also who has heard nothing is over it now."""
    history = lowered(math.inf, 1)
    begin(history, B, slot, 12.5)
    assert not [*limits_hold(history)]
    history.said[A].append(Said(12.1, 1, m.Grant(number=1, replica="r", slot=0), index=LOW))
    begin(history, A, 0, 12.1, ends_at=14.0)
    assert [*limits_hold(history)] == ["r runs [3, 2] at 12.500, and may 1"]


def test_a_raised_limit_holds_at_once() -> None:
    history = lowered(2, 3)
    begin(history, B, 2, 9.9)
    assert [*limits_hold(history)] == ["r runs [0, 1, 2] at 9.900, and may 2"]
    history.runs.pop()
    begin(history, B, 2, 10.0)
    assert not [*limits_hold(history)]


def test_a_slot_is_in_use_once_whatever_the_limit() -> None:
    history = lowered(3, 3)
    begin(history, B, 1, 10.5)
    assert [*limits_hold(history)] == ["r has slot 1 in use twice at 10.500"]


def test_in_the_end_the_last_wish_is_in_force() -> None:
    history = lowered(3, 1)
    history.wished["r"] = 3
    history.saturated = Window(20.0, 24.0)
    assert [*limits_are_as_wished(history)] == ["r may run 1 in the end, and 3 are wished for"]
    history.limits.note(LOW + 1, 15.0, {"r": 3})
    assert not [*limits_are_as_wished(history)]


def test_what_every_member_applies_is_noted_once() -> None:
    limits = LimitLog()
    for at in (1.0, 2.0):
        limits.note(HIGH, at, {"r": 2})
    limits.note(LOW, 3.0, {})
    assert limits.highest("r", HIGH, 1.0) == 2
    assert limits.highest("r", 0, 0.5) == 0
    assert limits.last("r", 5.0) == 2
