"""The directory agrees with its slow and obvious model, whatever happens in whatever order."""
# house: the model is `reference.py` beside this
# house: tests directory.py against tests/core/slots/reference.py, which is no module of ours

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.core.slots.reference import Reference, slots_of
from trioroute.core.directory.book import SlotBook
from trioroute.core.directory.directory import SlotDirectory
from trioroute.core.directory.waiting import WaitingLine
from trioroute.core.model import Deployment, Endpoint, Replica, StaticSource
from trioroute.core.registry import (
    Command,
    MarkClean,
    OpenEpoch,
    PutHomes,
    PutRegistry,
    PutReplicas,
    RegisterHolder,
    Registry,
    RegistryState,
)
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import pack_all
from trioroute.core.slots.timings import SlotTimings

KEY = "e/d"
NAMES = ("w0", "w1", "w2")
#: Three replicas of two slots, each holder at home with one replica.
REPLICAS = ("r0", "r1", "r2")
TIMINGS = SlotTimings()

masks = st.dictionaries(st.sampled_from(REPLICAS), st.integers(1, 3), max_size=3)
names = st.sampled_from(NAMES)
operations = st.one_of(
    st.tuples(st.just("hello"), names, st.integers(1, 3), st.sampled_from([0.0, 5.0])),
    st.tuples(st.just("renew"), names, masks, masks),
    st.tuples(st.just("acquire"), names, st.floats(0, 2)),
    st.tuples(st.just("cancel"), names, st.integers(1, 9)),
    st.tuples(st.just("return"), names, masks),
    st.tuples(st.just("stock"), names, st.integers(0, 2)),
    st.tuples(st.just("goodbye"), names, masks),
    st.tuples(st.just("lost"), names),
    st.tuples(st.just("tick"), st.sampled_from([0.01, 0.1, 0.5, 2.5])),
)


def lives(name: str, *, is_orderly: bool, is_clean: bool) -> list[Command]:
    """What the log was told of one holder: an incarnation, or two."""
    told: list[Command] = [RegisterHolder(epoch=1, holder=name, incarnation=1)]
    if is_orderly:
        told.append(MarkClean(epoch=1, holder=name, incarnation=1))
        told.append(RegisterHolder(epoch=1, holder=name, incarnation=2))
    if is_clean:
        told.append(MarkClean(epoch=1, holder=name, incarnation=1 + is_orderly))
    return told


def registered(known: int, clean: int, orderly: int) -> RegistryState:
    """The log as a coordinator finds it.

    Args:
        known: how many holders it knows.
        clean: how many of them ended cleanly.
        orderly: how many have an earlier incarnation that ended cleanly.
    """
    deployment = Deployment(
        endpoint="e",
        name="d",
        source=StaticSource(addresses=()),
        request_timeout_s=1.0,
        queue_depth_max=4,
    )
    fleet = tuple(Replica(id=r, deployment=KEY, host="h", port=1, slots=2) for r in REPLICAS)
    homes = {replica: {name: 3} for replica, name in zip(REPLICAS, NAMES, strict=True)}
    commands: list[Command] = [
        PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(deployment,)),
        OpenEpoch(epoch=1),
        *(
            command
            for n, name in enumerate(NAMES[:known])
            for command in lives(name, is_orderly=n < orderly, is_clean=n < clean)
        ),
        PutReplicas(epoch=1, deployment=KEY, replicas=fleet),
        PutHomes(epoch=1, deployment=KEY, homes=homes),
    ]
    # Of a log whose beginning is not known: nobody in it is the first of its name.
    registry = Registry(RegistryState())
    for index, command in enumerate(commands, 1):
        assert not registry.apply(command, index).error
    return registry.state


class Both:
    """The directory and its model, fed alike."""

    def __init__(self, known: int, clean: int, orderly: int = 0) -> None:
        state = registered(known, clean, orderly)
        self.now = 100.0
        self.version = state.index
        self.directory = SlotDirectory(state, epoch=1, timings=TIMINGS, now=self.now)
        self.model = Reference(state, KEY, timings=TIMINGS, now=self.now)
        self.number = 0

    def do(self, operation: tuple[Any, ...]) -> None:
        """One event; one that the protocol forbids is skipped."""
        kind, *rest = operation
        if kind == "tick":
            self.now += rest[0]
            self.model.pass_time(self.now)
            effects = self.directory.tick(self.now)
        elif kind == "lost":
            if rest[0] not in self.model.holders:
                return
            self.model.lost(rest[0])
            effects = self.directory.link_lost(rest[0], self.now)
        else:
            message = self._said(kind, *rest)
            if message is None:
                return
            effects = self.directory.receive(rest[0], message, self.now)
        self.model.judge(effects, self.now)
        self.model.compare(self.directory)
        self.directory.check()

    def _said(self, kind: str, name: str, *rest: Any) -> m.FromHolder | None:
        model, now = self.model, self.now
        if kind == "hello":
            hello = m.Hello(version=2, holder=name, incarnation=rest[0], uptime_s=rest[1])
            model.hello(name, hello, now)
            return hello
        known = model.holders.get(name)
        if known is None or not known.in_session:
            return None
        if kind == "renew":
            busy = rest[1]
            held = {r: rest[0].get(r, 0) | busy.get(r, 0) for r in REPLICAS}
            renew = m.Renew(
                sent_at=now,
                held=pack_all(held),
                busy=pack_all(busy),
                waiting={},
                routing_version=self.version,
            )
            model.renew(name, renew, now)
            return renew
        return self._said_in_session(kind, name, rest[0]) if known.reported else None

    def _said_in_session(self, kind: str, name: str, what: Any) -> m.FromHolder:
        match kind:
            case "acquire":
                self.number += 1
                acquire = m.Acquire(number=self.number, deployment=KEY, waited_s=what)
                self.model.acquire(name, acquire, self.now)
                return acquire
            case "cancel":
                number = max(1, self.number - what)
                self.model.cancel(name, number)
                return m.Cancel(number=number)
            case "return":
                self.model.give_back(name, slots_of(what))
                return m.Return(slots=pack_all(what))
            case "stock":
                return m.Stock(deployment=KEY, idle=what)
        self.model.goodbye(name, slots_of(what), self.now)
        return m.Goodbye(busy=pack_all(what))


slow_is_fine = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

#: It reports and lapses while others are waited for.
TOLD: list[tuple[Any, ...]] = [
    ("hello", "w1", 1, 0.0),
    ("renew", "w1", {}, {}),
    ("tick", 2.5),
    ("tick", 2.5),
]
#: It leaves before its report: one that the log does not know, or knows to have ended cleanly.
LEFT: list[tuple[Any, ...]] = [
    ("hello", "w1", 2, 0.0),
    ("lost", "w1"),
    ("tick", 2.5),
    ("tick", 2.5),
]


@slow_is_fine
@example(known=1, clean=0, orderly=0, events=TOLD)
@example(known=2, clean=0, orderly=0, events=TOLD)
@example(known=1, clean=0, orderly=0, events=LEFT)
@example(known=3, clean=2, orderly=0, events=LEFT)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.lists(operations, max_size=40))
def test_the_directory_agrees_with_its_model(
    known: int, clean: int, orderly: int, events: list[tuple[Any, ...]]
) -> None:
    both = Both(known, clean, orderly)
    for event in events:
        both.do(event)


def opened(name: str) -> list[tuple[Any, ...]]:
    return [("hello", name, 1, 5.0), ("renew", name, {}, {})]


STORY: list[tuple[Any, ...]] = [
    *opened("w0"),
    ("hello", "w1", 1, 5.0),
    ("renew", "w1", {}, {"r2": 2}),
    ("tick", 2.5),
    *opened("w0"),
    *opened("w1"),
    ("tick", 2.5),
    *opened("w0"),
    *opened("w1"),
    *[("acquire", name, age) for name, age in (("w0", 0.0), ("w1", 1.0), ("w0", 0.5))],
    ("return", "w0", {"r0": 3}),
    ("return", "w1", {"r1": 3}),
    *[("acquire", name, 0.1) for name in ("w0", "w1", "w0", "w1", "w0", "w1")],
    ("return", "w0", {"r0": 3, "r1": 3, "r2": 3}),
    ("hello", "w0", 2, 0.0),
    ("renew", "w0", {"r0": 3}, {"r0": 1}),
    ("tick", 0.5),
    ("tick", 2.5),
    ("lost", "w1"),
    ("tick", 2.5),
    *opened("w2"),
    ("goodbye", "w2", {"r2": 1}),
    ("tick", 0.1),
]

#: In one office: the log says that nothing from before w0's second incarnation can run, but its
#: third has had slots here when the second (a late connection of it) speaks.
LATE: list[tuple[Any, ...]] = [
    *[("hello", name, 1, 5.0) for name in ("w1", "w2")],
    *[("renew", name, {}, {}) for name in ("w1", "w2")],
    ("hello", "w0", 3, 0.0),
    ("renew", "w0", {"r0": 3}, {"r0": 1}),
    ("hello", "w0", 2, 0.0),
    ("renew", "w0", {}, {}),
    ("tick", 0.1),
]

_ORIGINAL_CLAIM = SlotBook.claim

#: The model must notice each of these.
WRONG: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "a claimed free slot stays free": (
        SlotBook,
        "claim",
        lambda self, holder, held, _busy: _ORIGINAL_CLAIM(self, holder, held, 0),
    ),
    "no limbo": (
        SlotBook,
        "_to_limbo",
        lambda self, mask, *_, **__: setattr(self, "free", self.free | mask),
    ),
    "limbo never ends": (SlotBook, "expire", lambda *_: False),
    "last come first served": (
        WaitingLine,
        "__iter__",
        lambda self: iter(self._line[::-1]),
    ),
    "doubt ends at once": (SlotTimings, "doubt_s", lambda *_: 0.0),
}


@pytest.mark.parametrize("known", [0, 3])
def test_the_story_by_hand(known: int) -> None:
    both = Both(known, 0)
    for event in STORY:
        both.do(event)


def test_that_ends_were_clean_says_nothing_of_who_spoke_since() -> None:
    both = Both(3, 0, orderly=1)
    for event in LATE:
        both.do(event)
    assert both.directory.demand(KEY).in_doubt >= 2


@pytest.mark.parametrize("rule", WRONG)
def test_the_model_notices_a_wrong_rule(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [Both(known, 0) for known in (0, 3)]
    owner, name, wrong = WRONG[rule]
    if owner is SlotTimings:
        # Both ask the timings: only the directory is to be wrong.
        for line in both[1].directory._lines.values():
            line.pending = dict.fromkeys(line.pending, 0.0)
    else:
        monkeypatch.setattr(owner, name, wrong)

    def run() -> None:
        for each in both:
            for event in STORY:
                each.do(event)

    with pytest.raises(AssertionError):
        run()
