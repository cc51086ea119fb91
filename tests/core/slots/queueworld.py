"""Holders, a coordinator and a constant delay between them: how good is the queue itself?

Virtual time, event by event, with the real `Holding` and `SlotDirectory`. What is left out is what
a machine adds (parsing, scheduling, sockets), so the figures are exact and the same everywhere.
"""

import heapq
import random
from collections.abc import Callable
from functools import partial
from statistics import fmean, quantiles

import attrs

from trioroute.core.directory.directory import Effect, SlotDirectory
from trioroute.core.holding.held import Grant
from trioroute.core.holding.holding import Holding
from trioroute.core.model import Deployment, Endpoint, Replica, StaticSource
from trioroute.core.registry import (
    Command,
    OpenEpoch,
    PutHomes,
    PutRegistry,
    PutReplicas,
    RegisterHolder,
    Registry,
)
from trioroute.core.slots import messages as m
from trioroute.core.slots.homes import HomePlan, plan_homes
from trioroute.core.slots.timings import SlotTimings

KEY = "e/d"
#: The coordinator's beat (`coordinator.service`).
TICK_S = 0.02


@attrs.frozen
class Outcome:
    """One run: waits in seconds in order of arrival, and what the queue said for it."""

    waits: list[float]
    ideal: list[float]
    messages: int
    wasted_share: float
    overtaken_s: float

    @property
    def mean(self) -> float:
        return fmean(self.waits)

    @property
    def ideal_mean(self) -> float:
        return fmean(self.ideal)

    @property
    def ratio(self) -> float:
        return self.mean / self.ideal_mean

    @property
    def messages_per_request(self) -> float:
        return self.messages / len(self.waits)


@attrs.define(eq=False)
class _Request:
    arrived_at: float
    work_s: float
    began_at: float = -1.0


class QueueWorld:
    """Open-loop load over `holders` for `count` requests; deterministic in the seed."""

    def __init__(
        self,
        *,
        service_s: float,
        load: float,
        delay_s: float,
        holders: int = 3,
        slots: int = 16,
        count: int = 6000,
        shape: float = 1.0,
        seed: int = 1,
    ) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self._delay_s = delay_s
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._slots = slots
        self.messages = 0
        self._timings = SlotTimings()
        names = [f"w{n}" for n in range(holders)]
        registry = self._registry(names, slots)
        self.directory = SlotDirectory(registry.state, epoch=1, timings=self._timings, now=0.0)
        for line in self.directory._lines.values():
            line.pending, line.in_doubt = {}, False
            for book in line.books.values():
                book.free, book.limbo = (1 << book.replica.slots) - 1, []
                line.mark_freed(book)
        self.holdings = {
            n: Holding(n, incarnation=1, timings=self._timings, started_at=0.0) for n in names
        }
        self._waiting: dict[str, dict[int, _Request]] = {n: {} for n in names}
        self._ready_at: dict[tuple[str, str], float] = {}
        for name, holding in self.holdings.items():
            holding.set_routing(registry.snapshot_for(name), 0.0)
            holding.link.open(0.0)
            self._flush(name)
            self._at(0.1 + self.rng.random() * 0.4, partial(self._renew, name))
        self._at(TICK_S, self._tick)
        self.requests: list[_Request] = []
        gap_s = service_s / (load * slots)
        at = 1.0
        for _ in range(count):
            at += self.rng.gammavariate(shape, gap_s / shape)
            request = _Request(at, self.rng.expovariate(1 / service_s))
            self.requests.append(request)
            name = self.rng.choice(names)
            self._at(at, partial(self._arrive, name, request))
        self._left = count

    def run(self) -> Outcome:
        """Until every request has been served."""
        while self._left:
            self.now, _, event = heapq.heappop(self._events)
            event()
        waits = [r.began_at - r.arrived_at for r in self.requests]
        return Outcome(waits, self._ideal(), self.messages, self._wasted(), self._overtaken())

    @staticmethod
    def _registry(names: list[str], slots: int) -> Registry:
        registry = Registry()
        deployment = Deployment(
            endpoint="e", name="d", source=StaticSource(addresses=()), queue_depth_max=100_000
        )
        replicas = tuple(
            Replica(id=f"r{n}", deployment=KEY, host="h", port=n, slots=1) for n in range(slots)
        )
        plan = plan_homes(replicas, HomePlan({}, {}), alive=names, informed=names)
        commands: list[Command] = [
            PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(deployment,)),
            OpenEpoch(epoch=1),
            *(RegisterHolder(epoch=1, holder=n, incarnation=1) for n in names),
            PutReplicas(epoch=1, deployment=KEY, replicas=replicas),
            PutHomes(epoch=1, deployment=KEY, homes=plan.homes, leaving={}),
        ]
        for index, command in enumerate(commands, 1):
            assert not registry.apply(command, index).error
        return registry

    # -- events -----------------------------------------------------------------------------

    def _at(self, at: float, event: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (at, self._order, event))

    def _renew(self, name: str) -> None:
        self.holdings[name].link.renew(self.now)
        self._flush(name)
        self._at(self.now + self._timings.renew_s, lambda: self._renew(name))

    def _tick(self) -> None:
        self._dispatch(self.directory.tick(self.now))
        self._at(self.now + TICK_S, self._tick)

    def _arrive(self, name: str, request: _Request) -> None:
        holding = self.holdings[name]
        grant = holding.acquire_nowait(KEY, self.now)
        if grant is not None:
            self._begin(name, grant, request)
        else:
            number = holding.enqueue(KEY, arrived_at=self.now, now=self.now)
            self._waiting[name][number] = request
        self._flush(name)

    def _begin(self, name: str, grant: Grant, request: _Request) -> None:
        request.began_at = self.now
        self._at(self.now + request.work_s, lambda: self._end(name, grant))

    def _end(self, name: str, grant: Grant) -> None:
        self._left -= 1
        self.holdings[name].release(grant, self.now)
        self._flush(name)

    def _flush(self, name: str) -> None:
        holding = self.holdings[name]
        for wake in holding.take_wakes():
            assert wake.grant is not None, wake
            self._begin(name, wake.grant, self._waiting[name].pop(wake.number))
        for message in holding.link.take_outbox():
            self._say(partial(self._hear, name, message))

    def _hear(self, name: str, message: m.FromHolder) -> None:
        self._dispatch(self.directory.receive(name, message, self.now))

    def _dispatch(self, effects: list[Effect]) -> None:
        for name, message in effects:
            assert message is not None
            self._say(partial(self._answer, name, message))
        self.directory.check()

    def _answer(self, name: str, message: m.FromCoordinator) -> None:
        self.holdings[name].link.receive(message, self.now)
        self.holdings[name].check()
        self._flush(name)

    def _say(self, event: Callable[[], None]) -> None:
        self.messages += 1
        self._at(self.now + self._delay_s, event)

    # -- figures ----------------------------------------------------------------------------

    def _ideal(self) -> list[float]:
        free_at = [0.0] * self._slots
        waits = []
        for request in self.requests:
            began_at = max(request.arrived_at, heapq.heappop(free_at))
            heapq.heappush(free_at, began_at + request.work_s)
            waits.append(began_at - request.arrived_at)
        return waits

    def _wasted(self) -> float:
        """Slot time idle while a request waited, as a share of all slot time."""
        events = sorted(
            [(r.arrived_at, 1, 0) for r in self.requests]
            + [(r.began_at, -1, 1) for r in self.requests]
            + [(r.began_at + r.work_s, 0, -1) for r in self.requests]
        )
        waiting = busy = 0
        wasted_s, last_at = 0.0, events[0][0]
        for at, queued, started in events:
            wasted_s += min(waiting, self._slots - busy) * (at - last_at)
            waiting, busy, last_at = waiting + queued, busy + started, at
        return wasted_s / (self._slots * (events[-1][0] - events[0][0]))

    def _overtaken(self) -> float:
        """The largest age difference by which a younger request began before a waiting older."""
        most = 0.0
        youngest = 0.0
        for request in sorted(self.requests, key=lambda r: r.began_at):
            most = max(most, youngest - request.arrived_at)
            youngest = max(youngest, request.arrived_at)
        return most


def main() -> None:
    """Print a table: `python -m tests.core.slots.queueworld`."""
    heads = ["service", "delay", "mean", "ideal", "p99", "ideal", "overtook"]
    print("        ", *(f"{each:>8}" for each in [*heads, "ratio", "waste", "messages"]))
    for service_s in (0.1, 0.02, 0.005):
        for load in (0.5, 0.7, 0.9):
            for delay_s in (0.0002, 0.001):
                out = QueueWorld(service_s=service_s, load=load, delay_s=delay_s).run()
                p99, best = (quantiles(x, n=100)[98] for x in (out.waits, out.ideal))
                times = [service_s, delay_s, out.mean, out.ideal_mean, p99, best, out.overtaken_s]
                print(f"load {load}", *(f"{each * 1e3:8.2f}" for each in times), end=" ")
                print(f"{out.ratio:8.2f} {out.wasted_share:8.2%} {out.messages_per_request:8.2f}")


if __name__ == "__main__":
    main()
