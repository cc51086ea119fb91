"""The simulated world: the whole system in one process, minutes of faults in seconds of CPU.

A plan's faults are done one by one at its times, as to processes, to the same number of front-ends
and replicas under the same rate of requests, and are judged by the same rules and levels. Requests
are of one kind, whatever a load's clients are, and there is one deployment. Beside that the
simulator's own checkers look at what it alone can see, and at a quiet end of their own.
"""

import itertools
import random
from collections.abc import Mapping
from typing import Final

import attrs
import trio

from chaos.faults import Fault, Reach, kind_named
from chaos.history import History, Outcome, Request, Span
from chaos.plan import Plan
from chaos.sim.system.replicas import SERVICE_S
from chaos.sim.system.run import run_seed
from chaos.sim.system.world import Layout
from chaos.sim.system.world import World as System
from chaos.simulated.stage import wait_whole
from chaos.simulated.told import tell
from chaos.simulated.ways import IMPOSSIBLE, WAYS
from chaos.workload.load import offer
from chaos.world import Scenario, Setup
from trioroute.core.model import Deployment, StaticSource

__all__ = ["SimulatedWorld"]

_DEPLOYMENT: Final = "e/blue"
#: How long a system may take to be whole again before the run gives up on it, virtual seconds.
_RECOVERY_MAX_S: Final = 60.0
_SETTLE_S: Final = 1.5
#: Isolation ends before the home is reclaimed, so that limits must hold (`World` of the simulator).
_ISOLATION_MAX_S: Final = 2.0
#: Service times, beside the one that a setup names.
_SPREAD: Final = (0.5, 1.5)
#: At the end more is offered than slots can do, by enough to fill them all in half a second.
_FILLS_PER_S: Final = 2


@attrs.frozen
class SimulatedWorld:
    """Real supervisors, coordinators and workers under a simulated clock, network and disk."""

    @property
    def name(self) -> str:
        """See `World`."""
        return "simulated"

    def impossible(self) -> Mapping[str, str]:
        """See `World`."""
        return IMPOSSIBLE

    def run(self, scenario: Scenario, plan: Plan) -> History:
        """See `World`. The same plan and PYTHONHASHSEED give the same history."""
        history = History(scenario=scenario.name, world=self.name, seed=plan.seed)
        history.skipped = {name: IMPOSSIBLE[name] for name in plan.skipped}
        history.request_timeout_s = scenario.setup.request_timeout_s
        run = run_seed(
            plan.seed,
            duration_s=0.0,
            front_ends=scenario.setup.front_ends,
            hurt=_Run(scenario, plan, history).play,
            layout=_layout(scenario.setup),
        )
        history.complaints += run.complaints
        tell(history, run.history, scenario.setup)
        return history


def _layout(setup: Setup) -> Layout:
    deployment = Deployment(
        endpoint="e",
        name="blue",
        source=StaticSource(addresses=tuple(("sim", n + 1) for n in range(setup.replicas))),
        slots_per_replica=setup.slots,
        request_timeout_s=setup.request_timeout_s,
        queue_wait_max_s=setup.queue_wait_max_s,
        isolation_max_s=_ISOLATION_MAX_S,
    )
    service_s = (setup.service_s * _SPREAD[0], setup.service_s * _SPREAD[1])
    mean_s = sum(max(service_s, SERVICE_S, key=sum)) / 2
    rate = setup.replicas * setup.slots * (1 / mean_s + _FILLS_PER_S)
    return Layout(
        deployments=(deployment,),
        service_s=service_s,
        saturating={_DEPLOYMENT: rate / 3},
        rest_s=setup.deadline_s + _SETTLE_S,
    )


@attrs.frozen
class _Run:
    """One plan, played to one simulated system."""

    scenario: Scenario
    plan: Plan
    history: History

    async def play(self, system: System, _: random.Random, *, duration_s: float) -> None:
        """As `torment`: the load, the faults in their order, and everything healed."""
        history, stop = self.history, trio.Event()
        history.began_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            clients = _Clients(system, history)
            nursery.start_soon(offer, clients, self.scenario.load, self.plan.seed, stop)
            for fault in self.plan.faults:
                await trio.sleep_until(max(trio.current_time(), history.began_at + fault.at_s))
                span = await _do(system, fault, history)
                if span.failure or span.recovered_at is None:
                    break
            await trio.sleep(_SETTLE_S + duration_s)
            history.ended_at = trio.current_time()
            stop.set()
        system.history.consensus.healed_at = trio.current_time()


async def _do(system: System, fault: Fault, history: History) -> Span:
    """One fault from injecting to recovery."""
    span = Span(kind=fault.kind, target="", injected_at=trio.current_time())
    if kind_named(fault.kind).reach is Reach.ITS_CLIENTS:
        # Until the way says whom it hits, anybody's connection may be the one.
        span.front_ends = frozenset(system.names)
    history.spans.append(span)
    try:
        async with WAYS[fault.kind](system, fault, span):
            await trio.sleep(fault.hold_s)
    except* trio.TooSlowError:
        span.failure = "could not be done: it took too long"
    span.healed_at = trio.current_time()
    with trio.move_on_after(_RECOVERY_MAX_S):
        await wait_whole(system)
        span.recovered_at = trio.current_time()
    return span


class _Clients:
    """Whoever sends requests: to the front-ends in turn, refused ones to the next."""

    def __init__(self, system: System, history: History) -> None:
        self._system = system
        self._history = history
        self._turns = itertools.count()

    async def send(self, kind: str) -> None:
        """Offer one; its outcome is in the system's history."""
        await trio.lowlevel.checkpoint()
        names, turn = self._system.names, next(self._turns)
        first = turn % len(names)
        if any(self._system.offer(name, _DEPLOYMENT) for name in names[first:] + names[:first]):
            return
        now = trio.current_time()
        refused = Request(number=-turn, client=kind, sent_at=now, ended_at=now)
        refused.outcome = Outcome.UNREACHED
        self._history.requests.append(refused)
