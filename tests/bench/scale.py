"""`make bench scale`: 100 front-ends, 1,000 replicas of 16 slots, 200,000 requests a second.

The real `SlotDirectory`, the real `Holding`s and the real codec in virtual time, event by event;
left out are sockets and HTTP. Times are CPU of this process, so a busy machine stretches them
little. "Calm" is a load at which a holder seldom runs out; messages per request say at which.
"""

import argparse
import heapq
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

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
from trioroute.wire.records import encode_command
from trioroute.wire.slotlink import coordinator_decoder, encode_batch, holder_decoder

__all__ = ["main"]

_HOLDERS: Final = 100
_DEPLOYMENTS: Final = 20
_REPLICAS: Final = 50  # of each deployment
_SLOTS: Final = 16
_RATE: Final = 200_000.0
#: One way, with the event loops at both ends.
_DELAY_S: Final = 0.0005
#: The coordinator's beat (`coordinator.service`).
_TICK_S: Final = 0.02
#: The goal (`decisions.md`, last table).
_MESSAGES_MAX: Final = 0.05

R = TypeVar("R")


@attrs.define
class _Clock:
    """CPU spent by the coordinator, by what it was spent on.

    Attributes:
        every: one call in so many is timed, and counts for all: reading the clock costs more than
            most of what it times.
    """

    every: int = 1
    spent_s: dict[str, float] = attrs.field(factory=lambda: defaultdict(float))
    calls: Counter[str] = attrs.field(factory=Counter)

    def run(self, what: str, work: Callable[[], R]) -> R:
        """Do it and note what it took."""
        self.calls[what] += 1
        if self.calls[what] % self.every:
            return work()
        began_at = time.thread_time()
        result = work()
        self.spent_s[what] += (time.thread_time() - began_at) * self.every
        return result

    @property
    def all_s(self) -> float:
        """Everything together."""
        return sum(self.spent_s.values())


class _World:
    """Open-loop load on everything; deterministic in the seed."""

    def __init__(self, registry: Registry, *, service_s: float, seed: int = 1) -> None:
        self.now = 100.0
        self.clock = _Clock()
        self.requests = self.waited = self.messages = self.running = 0
        self.wait_s = 0.0
        self._registry = registry
        self._rng = random.Random(seed)
        self._service_s = service_s
        self._timings = SlotTimings()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._ready_at: Counter[tuple[str, str]] = Counter()
        self._keys = [*registry.state.deployments]
        self.names = [*registry.state.holders]
        self._waiting: dict[str, dict[int, float]] = {name: {} for name in self.names}
        self._decoders = {name: holder_decoder() for name in self.names}
        self._answers = {name: coordinator_decoder() for name in self.names}
        self.holdings = {name: self._holding(name) for name in self.names}
        self.leased: set[str] = set()
        self.directory = self._take_office(1)

    def run(self, until: float) -> None:
        """Let time pass, with requests at their rate."""
        arrives_at = self.now
        while self.now < until:
            if not self._events or arrives_at <= self._events[0][0]:
                self.now = arrives_at
                self._arrive()
                arrives_at += self._rng.expovariate(_RATE)
            else:
                self.now, _, event = heapq.heappop(self._events)
                event()

    def take_over(self) -> tuple[float, float]:
        """Another coordinator: until all are leased again, in virtual and in CPU seconds."""
        began_at, self.clock = self.now, _Clock()
        self.leased.clear()
        self.directory = self._take_office(self.directory.epoch + 1)
        while len(self.leased) < len(self.names):
            self.run(self.now + 0.0002)
        return self.now - began_at, self.clock.all_s

    def _take_office(self, epoch: int) -> SlotDirectory:
        registry, index = self._registry, self._registry.state.index + 1
        assert not registry.apply(OpenEpoch(epoch=epoch), index).error
        make = partial(
            SlotDirectory, registry.state, epoch=epoch, timings=self._timings, now=self.now
        )
        directory = self.clock.run("take office", make)
        for name in self.names:
            holding = self.holdings[name]
            holding.link.close(self.now)
            holding.link.open(self.now)
            self._at(self.now, partial(self._flush, name))
            self._at(self.now + self._rng.uniform(0.3, 0.7), partial(self._renew, name, epoch))
        self._at(self.now + _TICK_S, partial(self._tick, epoch))
        return directory

    def _holding(self, name: str) -> Holding:
        holding = Holding(name, incarnation=1, timings=self._timings, started_at=0.0)
        holding.set_routing(self._registry.snapshot_for(name), self.now)
        return holding

    # -- events -----------------------------------------------------------------------------

    def _at(self, at: float, event: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (at, self._order, event))

    def _renew(self, name: str, epoch: int) -> None:
        if epoch == self.directory.epoch:
            self.holdings[name].link.renew(self.now)
            self._flush(name)
            self._at(self.now + self._timings.renew_s, partial(self._renew, name, epoch))

    def _tick(self, epoch: int) -> None:
        if epoch == self.directory.epoch:
            self._dispatch(self.clock.run("tick", partial(self.directory.tick, self.now)))
            self._at(self.now + _TICK_S, partial(self._tick, epoch))

    def _arrive(self) -> None:
        self.requests += 1
        name, key = self._rng.choice(self.names), self._rng.choice(self._keys)
        holding = self.holdings[name]
        grant = holding.acquire_nowait(key, self.now)
        if grant is not None:
            self._begin(name, grant)
        else:
            self.waited += 1
            number = holding.enqueue(key, arrived_at=self.now, now=self.now)
            self._waiting[name][number] = self.now
        if holding.has_news:
            self._flush(name)

    def _begin(self, name: str, grant: Grant) -> None:
        work_s = self._rng.expovariate(1 / self._service_s)
        self._at(self.now + work_s, partial(self._end, name, grant))

    def _end(self, name: str, grant: Grant) -> None:
        holding = self.holdings[name]
        holding.release(grant, self.now)
        if holding.has_news:
            self._flush(name)

    def _flush(self, name: str) -> None:
        holding = self.holdings[name]
        for wake in holding.take_wakes():
            arrived_at = self._waiting[name].pop(wake.number)
            self.wait_s += self.now - arrived_at
            if wake.grant is not None:
                self._begin(name, wake.grant)
        if batch := holding.link.take_outbox():
            self.messages += len(batch)
            event = partial(self._hear, name, encode_batch(batch), self.directory.epoch)
            self._at(self.now + _DELAY_S, event)

    def _hear(self, name: str, data: bytes, epoch: int) -> None:
        if epoch != self.directory.epoch:
            return  # said to a coordinator that has gone
        for message in self.clock.run("decode", partial(self._decoders[name].feed, data)):
            receive = partial(self.directory.receive, name, message, self.now)
            self._dispatch(self.clock.run(type(message).__name__, receive))

    def _dispatch(self, effects: Sequence[Effect]) -> None:
        batches: dict[str, list[m.FromCoordinator]] = {}
        for name, message in effects:
            assert message is not None
            batches.setdefault(name, []).append(message)
        for name, batch in batches.items():
            self.messages += len(batch)
            data = self.clock.run("encode", partial(encode_batch, batch))
            self._at(self.now + _DELAY_S, partial(self._answer, name, data, self.directory.epoch))

    def _answer(self, name: str, data: bytes, epoch: int) -> None:
        if epoch != self.directory.epoch:
            return
        for message in self._answers[name].feed(data):
            if isinstance(message, m.Lease):
                self.leased.add(name)
            self.holdings[name].link.receive(message, self.now)
        self._flush(name)


def _registry() -> tuple[Registry, float, int]:
    """All deployments with their homes; the slowest plan in seconds and the longest command."""
    registry = Registry()
    names = [f"fe-{n}/0" for n in range(_HOLDERS)]
    deployments = tuple(
        Deployment(
            endpoint="e",
            name=f"d{n}",
            source=StaticSource(addresses=()),
            slots_per_replica=_SLOTS,
            queue_depth_max=100_000,
        )
        for n in range(_DEPLOYMENTS)
    )
    commands: list[Command] = [
        PutRegistry(endpoints=(Endpoint(name="e"),), deployments=deployments),
        *(RegisterHolder(epoch=0, holder=name, incarnation=1) for name in names),
    ]
    slowest_s, longest = 0.0, 0
    for deployment in deployments:
        key = deployment.key
        replicas = tuple(
            Replica(id=f"{deployment.name}-{n}", deployment=key, host="h", port=n, slots=_SLOTS)
            for n in range(_REPLICAS)
        )
        began_at = time.thread_time()
        plan = plan_homes(replicas, HomePlan({}, {}), alive=names, informed=names)
        slowest_s = max(slowest_s, time.thread_time() - began_at)
        put = PutHomes(epoch=0, deployment=key, homes=plan.homes, leaving={})
        longest = max(longest, len(encode_command(put)))
        commands += [PutReplicas(epoch=0, deployment=key, replicas=replicas), put]
    for index, command in enumerate(commands, 1):
        result = registry.apply(command, index)
        assert not result.error, result.error
    return registry, slowest_s, longest


def _measure(service_s: float, seconds: float) -> float:
    """One row; returns the messages per request."""
    registry, _, _ = _registry()
    world = _World(registry, service_s=service_s)
    world.run(world.now + max(0.2, 3 * service_s))  # everything is leased, loans have settled
    world.requests = world.waited = world.messages = 0
    world.wait_s, world.clock = 0.0, _Clock(every=10)
    world.run(world.now + seconds)
    spent_s, clock = world.clock.all_s, world.clock
    per_request = world.messages / world.requests
    heard = sum(world.clock.calls[kind.__name__] for kind in m.FromHolder.__args__)
    load = _RATE * service_s / (_DEPLOYMENTS * _REPLICAS * _SLOTS)
    requests, waited, wait_s = world.requests, world.waited, world.wait_s
    dearest = ", ".join(
        f"{what} {1e6 * clock.spent_s[what] / clock.calls[what]:.0f} µs"
        for what in sorted(clock.spent_s, key=lambda what: -clock.spent_s[what])[:4]
    )
    virtual_s, cpu_s = world.take_over()
    print(
        f"{load:>5.2f} {requests:>9,} {waited / requests:>8.2%} {1000 * wait_s / requests:>9.4f}"
        f" {per_request:>9.4f} {1e6 * spent_s / max(heard, 1):>9.0f} {spent_s / seconds:>8.1%}"
        f" {1000 * virtual_s:>9.1f} {1000 * cpu_s:>9.0f}   {dearest}",
        flush=True,
    )
    return per_request


def main() -> int:
    """Print the table; 1 when the calmest row costs more messages than allowed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="virtual seconds measured")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.25, 0.4, 0.6])
    options = parser.parse_args()
    _, slowest_s, longest = _registry()
    print(f"homes of one deployment: planned in {1000 * slowest_s:.0f} ms, {longest:,} bytes")
    print(" load  requests   waited mean wait  messages    µs CPU   of one  take-over")
    print(
        "                            in ms  /request  /message     core  ms, CPU ms   CPU by kind"
    )
    slots = _DEPLOYMENTS * _REPLICAS * _SLOTS
    rows = [_measure(load * slots / _RATE, options.seconds) for load in options.loads]
    return 0 if rows[0] <= _MESSAGES_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
