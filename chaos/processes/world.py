"""The world of real processes: builds a system, offers load, does the plan, reads what happened."""

import contextlib
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
import trio

from chaos.faults import Fault, Need, Reach, kind_named
from chaos.history import Census, History, Outcome, Sample, Span
from chaos.lines.namespace import enter_private_network
from chaos.offices import OfficeWatch
from chaos.plan import Plan
from chaos.processes.capabilities import impossible_kinds
from chaos.processes.census import marked, take_census, unconnected_descriptors
from chaos.processes.front_ends import MARK
from chaos.processes.logs import secrets_in, secrets_in_logs, tracebacks_in_logs
from chaos.processes.mounts import enter_private_mounts
from chaos.processes.starvation import watch_starvation
from chaos.processes.system import MOUNT_NEEDS, System
from chaos.processes.ways.aim import Aim
from chaos.processes.ways.table import WAYS
from chaos.workload.load import offer
from chaos.world import Scenario

__all__ = ["ProcessesWorld"]

#: How long a system may take to be whole again before the run gives up on it, seconds.
_RECOVERY_MAX_S: Final = 60.0

#: Load before the first census, so that pools, caches and code are what they will be.
_WARM_UP_S: Final = 3.0
_SETTLE_S: Final = 1.5

_LOOK_S: Final = 0.1
_FINAL_PROBES: Final = 20

#: How often processes are looked at, and how often a line is said about how it goes, seconds.
_SAMPLE_S: Final = 5.0
_TELL_S: Final = 60.0

#: More requests than these are not looked at for that line.
_RECENT: Final = 50_000


def _silent(_: str) -> None:
    """Tell nobody."""


@attrs.frozen(kw_only=True)
class ProcessesWorld:
    """Real front-ends, real replicas, real sockets, on loopback.

    Attributes:
        say: where progress goes.
        keep: keep the run's folder (logs, records), and say where it is.
    """

    say: Callable[[str], None] = _silent
    keep: bool = False

    @property
    def name(self) -> str:
        """See `World`."""
        return "processes"

    def impossible(self) -> Mapping[str, str]:
        """See `World`."""
        return impossible_kinds(iter(WAYS))

    def run(self, scenario: Scenario, plan: Plan) -> History:
        """See `World`."""
        return trio.run(self._run, scenario, plan)

    async def _run(self, scenario: Scenario, plan: Plan) -> History:
        history = History(scenario=scenario.name, world=self.name, seed=plan.seed)
        impossible = self.impossible()
        history.skipped = {name: impossible[name] for name in plan.skipped}
        with _folder(keep=self.keep, say=self.say) as folder:
            system = System(folder, scenario.setup, needs=_prepared(plan))
            history.slots = system.slots
            history.request_timeout_s = scenario.setup.request_timeout_s
            try:
                async with trio.open_nursery() as nursery:
                    if await _starts(system, nursery, history):
                        self.say(f"serving with {len(system.front_ends.all)} front-ends")
                        await self._torment(system, scenario, plan, history)
                    nursery.cancel_scope.cancel()
            finally:
                system.end()
            history.executions = system.replicas.executions()
            history.requests = system.clients.requests
            history.complaints += system.clients.unasked
            history.deaths = system.front_ends.deaths
            history.secrets += secrets_in_logs(folder, system.keys)
            history.tracebacks = tracebacks_in_logs(folder)
            history.strays = await _strays(folder)
        return history

    async def _torment(
        self, system: System, scenario: Scenario, plan: Plan, history: History
    ) -> None:
        await _warm_up(system, scenario, plan.seed, history)
        history.before = await _quiet_census(system)
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            watching = trio.CancelScope()
            nursery.start_soon(_watch, system, history, watching, self.say)
            history.began_at = time.monotonic()
            nursery.start_soon(offer, system.clients, scenario.load, plan.seed, stop)
            for number, fault in enumerate(plan.faults, start=1):
                await trio.sleep(max(0.0, history.began_at + fault.at_s - time.monotonic()))
                span = await self._do(system, fault, history)
                self.say(f"{number:4}/{len(plan.faults)} {_told(span, history)}")
                if span.failure or span.recovered_at is None:
                    break
            await trio.sleep(_SETTLE_S)
            history.ended_at = time.monotonic()
            stop.set()
            watching.cancel()
        history.final = await system.read_finally(_FINAL_PROBES)
        await _seek_secrets(system, history)
        history.after = await _quiet_census(system)

    async def _do(self, system: System, fault: Fault, history: History) -> Span:
        """One fault from injecting to recovery."""
        span = Span(kind=fault.kind, target="", injected_at=time.monotonic())
        if kind_named(fault.kind).reach is Reach.ITS_CLIENTS:
            # Until the way says whom it hits, anybody's connection may be the one.
            span.front_ends = frozenset(system.front_ends.all)
        history.spans.append(span)
        aim = Aim(target="")
        try:
            async with WAYS[fault.kind](system, fault) as aim:
                span.target, span.front_ends = aim.target, aim.front_ends
                await trio.sleep(fault.hold_s)
        except* trio.TooSlowError as late:
            said = ", ".join(filter(None, map(str, late.exceptions)))
            span.failure = f"could not be done, or nobody felt it; {said or 'it took too long'}"
        span.healed_at, span.felt = time.monotonic(), aim.felt
        with trio.move_on_after(_RECOVERY_MAX_S):
            await system.wait_whole()
            span.recovered_at = time.monotonic()
        return span


async def _starts(system: System, nursery: trio.Nursery, history: History) -> bool:
    """Whether it serves in time; why it does not is noted."""
    try:
        await system.start(nursery)
    except trio.TooSlowError as late:
        history.broken_off = f"the system never served: {str(late) or 'it took too long to start'}"
        return False
    return True


def _prepared(plan: Plan) -> frozenset[Need]:
    """What the plan's faults need; mounts and a network of our own are taken here for it."""
    needs = frozenset(kind_named(name).need for name in plan.kinds)
    if needs & MOUNT_NEEDS:
        enter_private_mounts()
    if Need.NETWORKS in needs:
        enter_private_network()
    return needs


def _told(span: Span, history: History) -> str:
    at_s = span.injected_at - history.began_at
    if span.healed_at is None or span.recovered_at is None:
        return f"{at_s:6.1f} s {span.kind} {span.target}: NOT RECOVERED {span.failure}"
    held_s, took_s = span.healed_at - span.injected_at, span.recovered_at - span.healed_at
    felt = span.felt or "NOT FELT"
    whole = f"whole after {took_s:.1f} s ({felt})"
    return f"{at_s:6.1f} s {span.kind} {span.target} for {held_s:.1f} s, {whole}"


async def _warm_up(system: System, scenario: Scenario, seed: int, history: History) -> None:
    """Its requests are judged like all others, so the machine is watched here already."""
    stop = trio.Event()
    async with trio.open_nursery() as watching:
        watching.start_soon(watch_starvation, history, system.front_ends.pids)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(offer, system.clients, scenario.load, seed, stop)
            await trio.sleep(_WARM_UP_S)
            stop.set()
        watching.cancel_scope.cancel()


async def _seek_secrets(system: System, history: History) -> None:
    """In what front-ends tell; whoever tells nothing after all has healed is complained about."""
    try:
        history.secrets += secrets_in(await system.read_told(), system.keys)
    except trio.TooSlowError:
        history.complaints.append("a front-end did not tell its metrics and status at the end")


async def _quiet_census(system: System) -> Census:
    # What clients keep open is theirs, not a leak.
    await system.clients.close()
    await trio.sleep(_SETTLE_S)
    return take_census(time.monotonic(), system.front_ends.roles(), counts=system.front_ends.counts)


async def _watch(
    system: System, history: History, scope: trio.CancelScope, say: Callable[[str], None]
) -> None:
    """All onlookers of a run, until the scope is cancelled."""
    with scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch_offices, system, history)
            nursery.start_soon(_sample, system, history, say)
            nursery.start_soon(watch_starvation, history, system.front_ends.pids)


async def _sample(system: System, history: History, say: Callable[[str], None]) -> None:
    """Note what every process holds, and tell how it goes, now and then."""
    told_at = time.monotonic()
    while True:
        await trio.sleep(_SAMPLE_S)
        now = time.monotonic()
        roles = system.front_ends.roles()
        for role, pid in ((role, pid) for role, pids in roles.items() for pid in pids):
            with contextlib.suppress(OSError):  # it ended while we look
                history.samples += _sampled(now, role, pid)
        if now >= told_at + _TELL_S:
            told_at = now
            say(_going(system, history, now))


def _sampled(at: float, role: str, pid: int) -> Iterator[Sample]:
    """At most one: nothing of a process that has gone."""
    memory_bytes = take_census(at, {role: [pid]}).memory_bytes
    if role in memory_bytes:
        yield Sample(
            at=at,
            process=f"{role} {pid}",
            memory_bytes=memory_bytes[role],
            descriptors=unconnected_descriptors(pid),
        )


def _going(system: System, history: History, now: float) -> str:
    """One line about the last while: rate, failures, latency, memory."""
    recent = [r for r in system.clients.requests[-_RECENT:] if r.sent_at >= now - _TELL_S]
    times = sorted(r.ended_at - r.sent_at for r in recent if r.is_ok and r.ended_at)
    p99_ms = times[int(len(times) * 0.99)] * 1000 if times else 0.0
    failed = sum(
        r.wants_answer and not r.is_ok and r.outcome is not Outcome.RUNNING for r in recent
    )
    held = max((s.memory_bytes for s in history.samples if s.at >= now - _SAMPLE_S), default=0)
    return (
        f"     … {(now - history.began_at) / 60:5.1f} min: {len(recent) / _TELL_S:.0f}/s, {failed}"
        f" failed, p99 {p99_ms:.0f} ms, largest process {held / (1 << 20):.1f} MiB"
    )


async def _watch_offices(system: System, history: History) -> None:
    """Note who coordinates, as an onlooker sees it who asks one front-end after the other."""
    watch = OfficeWatch(history)
    for name in itertools.cycle(system.front_ends.all):
        said = await system.front_ends.status(of=name)
        asked = None if said is None else watch.see(said[1], time.monotonic())
        own = None if asked is None else await system.front_ends.status(of=asked)
        if own is not None:
            watch.see(own[1], time.monotonic())
        await trio.sleep(_LOOK_S)


@contextlib.contextmanager
def _folder(*, keep: bool, say: Callable[[str], None]) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="trioroute-chaos-"))
    try:
        yield folder
    finally:
        if keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def _strays(folder: Path) -> list[str]:
    """What outlives the run for more than a moment; killed by its own id then."""
    deadline = trio.current_time() + 5
    while (left := marked(MARK, str(folder))) and trio.current_time() < deadline:
        await trio.sleep(_LOOK_S)
    return [f"process {pid}" for pid in left]
