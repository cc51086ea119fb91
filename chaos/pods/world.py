"""The world of pods: installs the system on a cluster, offers load, does the plan, heals."""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs
import trio

from chaos.faults import KINDS, Fault
from chaos.history import FinalRead, History, Span
from chaos.offices import OfficeWatch
from chaos.plan import Plan
from chaos.pods.api_ways import API_WAYS
from chaos.pods.install import REPLICA_COMMAND
from chaos.pods.remote import has_toy_kubelet, remote_site
from chaos.pods.rivals import RIVAL_WAYS
from chaos.pods.site import fake_site
from chaos.pods.system import PodSystem, deployment, endpoint
from chaos.pods.ways import NEEDS_CONTAINERS, POD_WAYS, Hit
from chaos.processes.census import marked
from chaos.processes.logs import secrets_in_logs, tracebacks_in_logs
from chaos.processes.starvation import watch_starvation
from chaos.sim.kubernetes_cluster.containers import LOGS, MARK
from chaos.workload.load import offer
from chaos.world import Scenario

__all__ = ["PodsWorld", "inflict"]

_RECOVERY_MAX_S: Final = 60.0
#: Of one coordinator: pods, Deployments, and both custom resources.
_WATCHES: Final = 4
_LOOK_S: Final = 0.1
_OFFICE_LOOK_S: Final = 0.25
_SETTLE_S: Final = 1.5
_IDLE_MAX_S: Final = 15.0
_START_MAX_S: Final = 180.0
_WAYS: Final = {**POD_WAYS, **API_WAYS, **RIVAL_WAYS}


def _silent(_: str) -> None:
    """Tell nobody."""


@attrs.frozen(kw_only=True)
class PodsWorld:
    """Front-ends and replicas as pods: the manifests of `k8s/`.

    Attributes:
        is_remote: on the cluster of KUBECONFIG; otherwise on a fake one with a toy kubelet.
    """

    say: Callable[[str], None] = _silent
    is_remote: bool = False

    @property
    def name(self) -> str:
        """See `World`."""
        return "cluster" if self.is_remote else "pods"

    def impossible(self) -> Mapping[str, str]:
        """See `World`."""
        missing = {kind.name: "a way in this world" for kind in KINDS}
        if self.is_remote:
            missing |= dict.fromkeys(API_WAYS, "an API server of our own to hurt (--world pods)")
            missing |= dict.fromkeys(RIVAL_WAYS, "a cluster of our own (--world pods)")
        if self.is_remote and not has_toy_kubelet():
            missing |= dict.fromkeys(NEEDS_CONTAINERS, "containers on this machine (TOY_KUBELET=1)")
        if shutil.which("kubectl") is None:
            missing |= dict.fromkeys(_WAYS, "kubectl, which renders the manifests")
        return missing

    def run(self, scenario: Scenario, plan: Plan) -> History:
        """See `World`."""
        return trio.run(self._run, scenario, plan)

    async def _run(self, scenario: Scenario, plan: Plan) -> History:
        history = History(scenario=scenario.name, world=self.name, seed=plan.seed)
        needs = self.impossible()
        history.skipped = {name: needs[name] for name in plan.skipped}
        open_site = remote_site if self.is_remote else fake_site
        with tempfile.TemporaryDirectory(prefix="trioroute-pods-") as name:
            folder = Path(name)
            async with open_site(folder) as site, trio.open_nursery() as nursery:
                system = PodSystem(site, service_s=scenario.setup.service_s)
                nursery.start_soon(system.follow_front_ends)
                if await self._starts(system, scenario, history):
                    await self._torment(system, scenario, plan, history)
                    history.final = await _read_idle(system)
                await system.clients.close()
                nursery.cancel_scope.cancel()
            history.deaths = system.deaths()
            history.requests = system.clients.requests
            history.complaints += system.clients.unasked
            history.executions = system.executions()
            history.has_executions = site.containers is not None
            history.slots = dict.fromkeys(
                {one.replica for one in history.executions}, scenario.setup.slots
            )
            logs = folder / LOGS
            history.secrets = secrets_in_logs(logs, filter(None, [system.key]))
            history.tracebacks = tracebacks_in_logs(logs, front_ends="trioroute-*")
            history.strays = [f"process {pid}" for pid in marked(MARK, str(folder))]
        return history

    async def _starts(self, system: PodSystem, scenario: Scenario, history: History) -> bool:
        """Whether it serves in time; why it does not is noted."""
        try:
            with trio.fail_after(_START_MAX_S):
                await self._start(system, scenario)
        except trio.TooSlowError as late:
            history.broken_off = f"the system never served: {str(late) or 'it took too long'}"
            return False
        return True

    async def _start(self, system: PodSystem, scenario: Scenario) -> None:
        setup = scenario.setup
        await system.install()
        blue = deployment("blue", system.site.image, REPLICA_COMMAND, instance_count=setup.replicas)
        await system.apply(endpoint({"blue": 100}), blue)
        await system.wait_front_ends(setup.front_ends)
        await system.wait_condition("OnlineEndpoint", "iris", "Ready", "Serving")
        await system.fetch_key()
        await self._wait_whole(system, scenario)
        self.say(f"serving with {setup.front_ends} front-ends")

    async def _torment(
        self, system: PodSystem, scenario: Scenario, plan: Plan, history: History
    ) -> None:
        async with trio.open_nursery() as nursery:
            history.began_at = time.monotonic()
            nursery.start_soon(_watch_offices, system, history)
            nursery.start_soon(watch_starvation, history, system.pids)
            stop = trio.Event()
            # Left when every request has ended.
            async with trio.open_nursery() as offering:
                offering.start_soon(offer, system.clients, scenario.load, plan.seed, stop)
                for number, fault in enumerate(plan.faults, start=1):
                    await trio.sleep(max(0.0, history.began_at + fault.at_s - time.monotonic()))
                    span = await self._do(system, scenario, fault, nursery)
                    history.spans.append(span)
                    words = f"{fault.kind} {span.target}: {_end(span)}"
                    self.say(f"{number:4}/{len(plan.faults)} {words}")
                    if span.failure or span.recovered_at is None:
                        break
                await trio.sleep(_SETTLE_S)
                history.ended_at = time.monotonic()
                stop.set()
            nursery.cancel_scope.cancel()

    async def _do(
        self, system: PodSystem, scenario: Scenario, fault: Fault, nursery: trio.Nursery
    ) -> Span:
        """One fault from injecting to recovery."""
        span = Span(kind=fault.kind, target="", injected_at=time.monotonic())
        if await inflict(system, fault, span) and system.site.plane is not None:
            await nursery.start(system.site.plane.start_server)
        span.healed_at = time.monotonic()
        with trio.move_on_after(_RECOVERY_MAX_S):
            await self._wait_whole(system, scenario)
            span.recovered_at = time.monotonic()
        return span

    async def _wait_whole(self, system: PodSystem, scenario: Scenario) -> None:
        """All front-ends ready, all replicas routed to, and everything is watched again."""
        setup, plane = scenario.setup, system.site.plane
        while True:
            final = await system.read_finally() if system.order(0) else None
            if (
                final is not None
                and len(final.ready) == setup.front_ends
                and final.replicas_ready == final.replicas_wished == setup.replicas
                and (plane is None or plane.server.watch_count >= _WATCHES)
            ):
                return
            await trio.sleep(_LOOK_S)


async def inflict(system: PodSystem, fault: Fault, span: Span) -> bool:
    """Do a fault and undo it, noted in its span.

    Returns:
        whether the API server has to be started again.
    """
    hit = Hit(target="")
    try:
        async with _WAYS[fault.kind](system, fault) as hit:
            span.target, span.front_ends = hit.target, hit.front_ends
            await trio.sleep(fault.hold_s)
    except* trio.TooSlowError as late:
        said = ", ".join(filter(None, map(str, late.exceptions)))
        span.failure = f"could not be done: {said or 'it took too long'}"
    span.felt = hit.felt
    return hit.is_stopped


async def _read_idle(system: PodSystem) -> FinalRead:
    """What the system says of itself when nothing is under way, or when that lasts too long.

    A slot of what died without a word is in doubt for as long as a request may take.
    """
    final = await system.read_finally()
    with trio.move_on_after(_IDLE_MAX_S):
        while final.busy or final.queued:
            await trio.sleep(_LOOK_S)
            final = await system.read_finally()
    return final


async def _watch_offices(system: PodSystem, history: History) -> None:
    """Note who coordinates, as an onlooker sees it."""
    watch = OfficeWatch(history)
    while True:
        status = await system.status()
        if status is not None:
            watch.see(status, time.monotonic())
        await trio.sleep(_OFFICE_LOOK_S)


def _end(span: Span) -> str:
    if span.recovered_at is None or span.healed_at is None:
        return f"NOT RECOVERED {span.failure}"
    took_s, felt = span.recovered_at - span.healed_at, span.failure or span.felt or "NOT FELT"
    return f"whole after {took_s:.1f} s ({felt})"
