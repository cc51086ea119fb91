"""Who gets a free slot: rule by rule, and how far the whole is from one perfect line."""

import statistics

import attrs
import pytest

from tests.core.slots.queueworld import QueueWorld
from tests.core.slots.slotworld import KEY, TIMINGS, World
from trioroute.core.directory.directory import Effect, SlotDirectory
from trioroute.core.directory.lending import Lender
from trioroute.core.directory.line import Line
from trioroute.core.holding.slots import HeldSlots
from trioroute.core.model import CommandSource, ScaleKind, ScaleSettings
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import pack_all

#: One way between a holder and the coordinator, as on one machine or in one rack.
DELAY_S = 0.0002


@pytest.mark.parametrize("load", [0.7, 0.9])
def test_waits_are_those_of_one_line_but_for_a_tenth(load: float) -> None:
    """The goal for 16 slots and 100 ms (decisions.md), here without the machine's own part."""
    seeds = [QueueWorld(service_s=0.1, load=load, delay_s=DELAY_S, seed=n).run() for n in (1, 2)]
    waited = statistics.fmean(run.mean for run in seeds)
    ideal = statistics.fmean(run.ideal_mean for run in seeds)
    assert waited <= 1.12 * ideal
    assert max(run.wasted_share for run in seeds) < 0.005


@pytest.mark.parametrize("load", [0.7, 0.9])
def test_order_is_strict_but_for_two_round_trips_where_the_hand_over_is_cheap(load: float) -> None:
    run = QueueWorld(service_s=0.1, load=load, delay_s=0.00005).run()
    assert run.overtaken_s <= 4 * 0.00005


def test_own_waiters_first_is_worth_waits_where_the_hand_over_is_dear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def waited() -> float:
        return QueueWorld(service_s=0.1, load=0.9, delay_s=0.001, seed=2).run().mean

    best = waited()
    monkeypatch.setattr(Lender, "weigh_hand_over", lambda *_: None)
    assert waited() > 1.02 * best


@pytest.mark.parametrize("service_s", [0.005, 0.02])
@pytest.mark.parametrize("load", [0.5, 0.7, 0.9])
def test_short_requests_wait_less_than_a_millisecond_more(service_s: float, load: float) -> None:
    count = round(20 / service_s) + 4000
    run = QueueWorld(service_s=service_s, load=load, delay_s=DELAY_S, count=count).run()
    assert run.mean - run.ideal_mean < 0.001
    assert run.overtaken_s <= TIMINGS.own_age_max_s + 4 * DELAY_S


def test_bursts_are_no_worse() -> None:
    run = QueueWorld(service_s=0.1, load=0.7, delay_s=DELAY_S, shape=0.835).run()
    assert run.ratio < 1.1


def test_a_quiet_deployment_needs_hardly_any_message() -> None:
    """The goal of the simulated scale: at most 0.05 messages for a request when calm."""
    run = QueueWorld(service_s=0.02, load=0.25, delay_s=DELAY_S, slots=64, count=20_000).run()
    assert run.messages_per_request < 0.05


@pytest.mark.parametrize(
    ("owner", "rule", "left_out"),
    [
        (Lender, "_restock", lambda *_: None),
        (Lender, "_is_over", lambda self, line, now: now > line.waited_at + TIMINGS.calm_after_s),
        (HeldSlots, "say_spare", lambda *_: None),
    ],
)
def test_without_any_one_rule_waits_are_longer(
    owner: type, rule: str, left_out: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def excess() -> float:
        run = QueueWorld(service_s=0.1, load=0.6, delay_s=DELAY_S, count=4000).run()
        return run.mean - run.ideal_mean

    best = excess()
    monkeypatch.setattr(owner, rule, left_out)
    assert excess() > 1.05 * best


def test_without_recalls_for_waiters_all_holders_are_troubled_for_one_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def messages() -> float:
        made = QueueWorld(service_s=0.1, load=0.7, delay_s=DELAY_S, slots=64, holders=8, count=3000)
        return made.run().messages_per_request

    best = messages()
    monkeypatch.setattr(Lender, "_recall_for_waiters", lambda *_: False)
    assert messages() > 1.2 * best


def test_without_own_waiters_first_short_requests_lose_their_slots_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Lender, "weigh_hand_over", lambda *_: None)
    run = QueueWorld(service_s=0.005, load=0.9, delay_s=DELAY_S, count=4000).run()
    assert run.mean - run.ideal_mean > 0.003


# -- rule by rule ---------------------------------------------------------------------------


def settled(*, holders: int, replicas: int, slots: int = 1) -> tuple[World, SlotDirectory, Line]:
    """All leases out, nothing asked."""
    made = World(holders=holders, replicas=replicas, slots=slots)
    for _ in range(100):
        made.step()
    assert made.directory is not None
    return made, made.directory, made.directory._lines[KEY]


def to(directory: SlotDirectory, name: str, message: m.FromHolder, now: float) -> list[Effect]:
    """What one message makes the coordinator say, lists left out."""
    said = directory.receive(name, message, now)
    return [(who, what) for who, what in said if not isinstance(what, m.Lease)]


def renewed(world: World, name: str, held: int) -> m.Renew:
    """A renewal that shows all of `held` idle, one slot each of the first replicas."""
    slots = {f"r{n}": 1 for n in range(held)}
    return m.Renew(
        sent_at=world.now,
        held=pack_all(slots),
        busy={},
        waiting={},
        routing_version=world.index,
    )


def test_who_has_most_idle_is_asked_first_and_keeps_one() -> None:
    world, directory, line = settled(holders=3, replicas=9)
    line.idle.update(w0=3, w1=5, w2=0)
    (asked,) = to(directory, "w2", m.Stock(deployment=KEY, idle=0), world.now)
    assert asked == ("w1", m.Recall(deployment=KEY, keep=1, most=1))
    assert to(directory, "w0", m.Stock(deployment=KEY, idle=0), world.now) == [], "one at a time"


def test_a_waiter_with_plenty_idle_elsewhere_causes_a_recall_and_no_contention() -> None:
    world, directory, line = settled(holders=3, replicas=9)
    line.idle.update(w0=3, w1=5)
    acquire = m.Acquire(number=1, deployment=KEY, waited_s=0)
    (asked,) = to(directory, "w2", acquire, world.now)
    assert asked == ("w1", m.Recall(deployment=KEY, keep=0, most=1))
    assert not line.contended


def test_a_waiter_with_hardly_anything_idle_anywhere_is_contention() -> None:
    world, directory, line = settled(holders=3, replicas=9)
    line.idle.clear()
    said = to(directory, "w2", m.Acquire(number=1, deployment=KEY, waited_s=0), world.now)
    assert line.contended
    assert {who for who, _ in said} == {"w0", "w1", "w2"}


def asks(number: int, waited_s: float = 0.0) -> m.Acquire:
    """A request that begins to wait."""
    return m.Acquire(number=number, deployment=KEY, waited_s=waited_s)


def test_a_holder_whose_request_may_be_served_from_its_own_next_slot_is_told_so_once() -> None:
    """Else that slot would go to the coordinator and come back."""
    world, directory, line = settled(holders=3, replicas=9)
    line.idle.clear()
    to(directory, "w2", asks(1), world.now)
    assert line.contended
    later = world.now + 0.03
    assert to(directory, "w0", asks(1), later) == [], "w2's came first"
    directory.receive("w0", m.Cancel(number=1), later)
    directory.receive("w2", m.Cancel(number=1), later)
    told = ("w0", m.Mode(deployment=KEY, contended=True, own_age_s=0.0))
    assert to(directory, "w0", asks(2), later) == [told], "nobody else waits"
    assert to(directory, "w0", asks(3), later) == [], "it knows"
    assert to(directory, "w1", asks(1), later + 0.01) == [], "w0's came first"


def test_where_the_hand_over_is_dear_a_holder_is_told_within_the_bound_on_overtaking() -> None:
    world, directory, line = settled(holders=3, replicas=9)
    line.idle.clear()
    line.own_age_s = TIMINGS.own_age_max_s
    to(directory, "w2", asks(1), world.now)
    within, beyond = (world.now + TIMINGS.own_age_max_s * share for share in (0.9, 1.8))
    assert to(directory, "w0", asks(1), within) == [], "it knows: it was told when it began"
    assert to(directory, "w0", asks(2), beyond) == [], "it would overtake by more"
    directory.receive("w2", m.Cancel(number=1), beyond)
    ((who, mode),) = to(directory, "w2", asks(2), beyond)
    assert who == "w2"
    assert isinstance(mode, m.Mode)
    assert mode.oldest_waited_s == pytest.approx(beyond - within)


def test_with_priorities_nobody_is_told_that_it_may_serve_its_own() -> None:
    world, directory, line = settled(holders=3, replicas=9)
    line.idle.clear()
    line.set_banded(True)
    to(directory, "w2", asks(1), world.now)
    assert to(directory, "w2", asks(2, waited_s=0.5), world.now + 0.1) == []


def test_a_recall_that_is_not_answered_ends_in_contention() -> None:
    world, directory, line = settled(holders=3, replicas=9)
    line.idle.update(w0=3, w1=5)
    to(directory, "w2", m.Acquire(number=1, deployment=KEY, waited_s=0), world.now)
    directory.tick(world.now + TIMINGS.recall_s)
    assert line.contended


def test_a_holder_of_version_1_is_neither_recalled_from_nor_sent_stock() -> None:
    world, directory, line = settled(holders=2, replicas=4)
    for name in ("w0", "w1"):
        directory._holders[name].version = 1
    line.idle.update(w0=2)
    assert to(directory, "w1", m.Stock(deployment=KEY, idle=0), world.now) == []
    said = to(directory, "w1", m.Acquire(number=1, deployment=KEY, waited_s=0), world.now)
    assert all(isinstance(what, m.Mode) for _, what in said)
    assert said


def test_a_renewal_corrects_what_is_believed() -> None:
    world, directory, line = settled(holders=2, replicas=4)
    line.idle.update(w0=7)
    directory.receive("w0", renewed(world, "w0", 2), world.now)
    assert line.idle["w0"] == 2


def test_many_slots_go_home_in_one_list() -> None:
    world, _, _ = settled(holders=1, replicas=1, slots=40)
    assert world.workers["w0"].holding.statistics().held == 40


def test_what_comes_free_goes_to_nobody_whose_session_is_lost() -> None:
    """It would not hear of it: the slot would be nobody's until it is known to have ended."""
    world, directory, line = settled(holders=2, replicas=2)
    book = next(book for book in line.books.values() if book.home.get("w1"))
    book.owned = {"w0": 1}  # lent to it, and at home elsewhere
    directory.link_lost("w1", world.now)
    directory.receive("w0", m.Return(slots=pack_all({book.replica.id: 1})), world.now)
    assert (book.owned, book.free) == ({}, 1)


# -- health ---------------------------------------------------------------------------------


def test_a_replica_that_cannot_be_reached_is_called_in_and_tried_with_one_slot_later() -> None:
    world, directory, line = settled(holders=2, replicas=2, slots=2)
    said = directory.receive("w0", m.Failed(replica="r0", is_unreachable=True), world.now)
    lists = [what.slots for _, what in said if isinstance(what, m.Lease)]
    assert lists
    assert not any("r0" in slots for slots in lists)
    directory.receive("w0", m.Return(slots=pack_all({"r0": 3})), world.now)
    directory.receive("w1", m.Return(slots=pack_all({"r0": 3})), world.now)
    assert line.books["r0"].grantable == 0
    directory.tick(world.now + 0.5)
    used = {who: mask for who, mask in line.books["r0"].owned.items() if mask}
    assert [*used.values()] == [1], "one slot, and somebody has it"
    (holder,) = used
    renew = renewed(world, holder, 0)
    served = m.Renew(
        sent_at=renew.sent_at,
        held=renew.held,
        busy=renew.busy,
        waiting={},
        routing_version=renew.routing_version,
        served={"r0": (1, 0, 0.0)},
    )
    directory.receive(holder, served, world.now)
    assert line.books["r0"].slots_max is None
    states = [change.state.value for _, change in directory.take_health_changes()]
    assert states == ["shut", "probation", "open"]
    assert directory.take_health_changes() == []


def test_a_slow_replica_is_found_by_what_all_holders_measured() -> None:
    world, directory, line = settled(holders=2, replicas=4)
    for holder in ("w0", "w1"):
        renew = m.Renew(
            sent_at=world.now,
            held={},
            busy={},
            waiting={},
            routing_version=world.index,
            served={f"r{n}": (9, 4, 4.0 if n == 3 else 0.4) for n in range(4)},
        )
        directory.receive(holder, renew, world.now)
    directory.tick(world.now + 5)
    assert [name for name, book in line.books.items() if book.slots_max == 0] == ["r3"]


# -- bursts ---------------------------------------------------------------------------------


def test_holders_are_told_once_when_replicas_are_expected_and_newcomers_too() -> None:
    world, directory, _ = settled(holders=2, replicas=2)
    now = world.now

    def told(said: list[Effect]) -> list[float]:
        return [what.wait_s for _, what in said if isinstance(what, m.Expect)]

    assert told(directory.expect(KEY, 3.0, now)) == [3.0, 3.0]
    assert told(directory.expect(KEY, 2.0, now + 1.0)) == [], "it is the same moment"
    directory.receive("w0", m.Hello(version=2, holder="w0", incarnation=1, uptime_s=9), now)
    again = directory.receive("w0", renewed(world, "w0", 0), now + 1.0)
    assert told(again) == [pytest.approx(2.0)]
    assert told(directory.expect(KEY, 0.0, now + 1.0)) == [0.0, 0.0]


# -- predicted waits ------------------------------------------------------------------------


def test_who_would_wait_longer_than_it_may_is_refused_at_once() -> None:
    """Two slots of 1 s each, five wait already: the sixth waits about 3 s."""
    world, directory, line = settled(holders=2, replicas=2)
    now, numbers = world.now, iter(range(1, 99))

    def ask(wait_max_s: float) -> float | None:
        """When to ask again, as it is refused; None when it is not."""
        number = next(numbers)
        acquire = m.Acquire(number=number, deployment=KEY, waited_s=0, wait_max_s=wait_max_s)
        said = [message for _, message in to(directory, "w0", acquire, now)]
        refused = [message for message in said if isinstance(message, m.Refuse)]
        assert all(each.reason == "queue-timeout" for each in refused)
        return refused[0].retry_after_s if refused else None

    assert not any(ask(0.1) for _ in range(5)), "how long a request takes is not known yet"
    directory.tick(now + TIMINGS.recall_s)
    assert len(line.waiting) == 5
    line.service_s["w0"] = 1.0
    assert ask(2.9) == 3.0
    assert not ask(3.1)
    assert not ask(0.0), "who asks again after a take-over is not refused"
    line.expected_at = now + 9
    assert not ask(0.1), "help is under way"
    line.expected_at = 0.0
    assert ask(0.1) == 4.5, "eight wait before it"
    scale = ScaleSettings(kind=ScaleKind.TARGET_UTILIZATION, max_instances=3)
    source = CommandSource(command=("serve",), cwd=".")
    line.deployment = attrs.evolve(line.deployment, scale=scale, source=source)
    assert not ask(0.1), "this queue is what more replicas are started for"
