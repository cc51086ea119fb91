"""The coordinator's hand on the replicas: find them, probe them, route to them, scale them.

What a source finds and what a probe says becomes the replica set in the log; what the queue shows
becomes the number the source is asked for. A replica is stopped only after it was cordoned and
nobody has or may have a slot of it, so scaling down never ends a running request.

A deployment whose source changed is rolled out: replicas of the new source are started beside the
old ones, and only when as many of them are ready as are needed are the old ones cordoned. When the
new ones never get ready, the old ones go on serving. A deleted deployment's replicas stay until
whatever may still run on them has ended.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import attrs
import trio

from trioroute.coordinator.group import Group, count_serving
from trioroute.coordinator.probes import probe
from trioroute.core.directory.directory import SlotDirectory
from trioroute.core.found import FoundReplica
from trioroute.core.model import Deployment, Replica, ReplicaState, StaticSource
from trioroute.core.registry import Command, PutReplicas, RegistryState
from trioroute.core.scaling import ReadyTimes, ScaleDecision, Scaler
from trioroute.errors import ControlError, StaleEpochError

__all__ = ["Fleet", "FleetReplica", "ReplicaSource"]

#: Between two tries of a replica that is not ready yet, seconds. Not the YAML's `period`: that one
#: spares a replica that works, and somebody is waiting for this one.
_FIRST_PROBES_S: Final = 0.1
#: Evaluations are at least this far apart, however often something happens, seconds.
_EVALUATE_S: Final = 0.05
#: And at most this far, whatever the polling intervals: a rising load that nobody has to wait for
#: shows in renewals only.
_LOOK_S: Final = 0.25
#: For how long a holder that hears nothing new may still start requests: its lease, seconds.
_ROUTED_S: Final = 3.0


class ReplicaSource(Protocol):
    """Who runs replicas, as far as the coordinator needs it; `discovery.source` has all of it."""

    async def set_desired(
        self,
        epoch: int,
        desired: Sequence[tuple[Deployment, int]],
        retire: Sequence[str] = (),
    ) -> None:
        """Replace the whole wish. Raises StaleEpochError when a later epoch was obeyed."""
        ...

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[tuple[FoundReplica, ...]]]:
        """The whole picture at once and after each change."""
        ...


@attrs.frozen(kw_only=True)
class FleetReplica:
    """What the coordinator knows of one replica, for status."""

    found: FoundReplica
    is_ready: bool
    is_draining: bool
    reason: str


class Fleet:
    """All replicas of all deployments during one epoch."""

    def __init__(
        self,
        directory: SlotDirectory,
        *,
        state: Callable[[], RegistryState],
        commit: Callable[[Command], Awaitable[object]],
        fixed: ReplicaSource,
        processes: ReplicaSource | None,
        ask: Callable[[Deployment, str, int], Awaitable[str]] = probe,
    ) -> None:
        self._ask = ask
        self._directory = directory
        self._state = state
        self._commit = commit
        self._fixed = fixed
        self._processes = processes
        self._found: dict[ReplicaSource, tuple[FoundReplica, ...]] = {}
        self._ready = {replica.id for group in state().replicas.values() for replica in group}
        self._reasons: dict[str, str] = {}
        self._probing: set[str] = set()
        self._groups: dict[str, Group] = {}
        self._wishes: dict[ReplicaSource, object] = {}
        self._notes: list[tuple[str, str]] = []
        self._refusals: dict[ReplicaSource, str] = {}
        self._changed = trio.Event()

    def poke(self) -> None:
        """Something happened that may change a decision: a queue, a return, the registry."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        # Fixed addresses exist whether wished or not; without this they would seem gone at first.
        await self._fixed.set_desired(
            self._directory.epoch,
            [(d, 1) for d in self._state().deployments.values() if self._is_static(d)],
        )
        async with trio.open_nursery() as nursery:
            for source in self._sources():
                nursery.start_soon(self._watch, source)
            while True:
                self._changed = trio.Event()
                try:
                    await self._reconcile(nursery)
                except StaleEpochError:
                    # Another coordinator has spoken; our authority ends in a moment.
                    await trio.sleep_forever()
                with trio.move_on_after(self._interval_s()):
                    await self._changed.wait()
                await trio.sleep(_EVALUATE_S)

    def replicas(self, deployment: str) -> tuple[FleetReplica, ...]:
        """What is known of a deployment's replicas."""
        group = self._groups.get(deployment)
        return tuple(
            FleetReplica(
                found=found,
                is_ready=found.id in self._ready,
                is_draining=group is not None and found.id in group.draining,
                reason=found.reason or self._reasons.get(found.id, ""),
            )
            for found in self._all_found(deployment)
        )

    def expected_wait_s(self, deployment: str) -> float:
        """In how long a replica that is being started should be ready; 0 when none is."""
        group = self._groups.get(deployment)
        if group is None or group.decision is None:
            return 0.0
        return group.expected_wait_s(trio.current_time())

    def take_notes(self) -> list[tuple[str, str]]:
        """What went wrong with replicas since the last call: the subject, and one sentence."""
        notes, self._notes = self._notes, []
        return notes

    def decision(self, deployment: str) -> ScaleDecision | None:
        """The newest scaling decision."""
        group = self._groups.get(deployment)
        return None if group is None else group.decision

    def _sources(self) -> Sequence[ReplicaSource]:
        return [s for s in (self._fixed, self._processes) if s is not None]

    def _source_of(self, deployment: Deployment) -> ReplicaSource | None:
        return self._fixed if self._is_static(deployment) else self._processes

    @staticmethod
    def _is_static(deployment: Deployment) -> bool:
        return isinstance(deployment.source, StaticSource)

    def _all_found(self, key: str) -> list[FoundReplica]:
        return [f for group in self._found.values() for f in group if f.deployment == key]

    def _interval_s(self) -> float:
        groups = self._groups.values()
        asked_for_s = min((g.scaler.settings.polling_interval_s for g in groups), default=1.0)
        return min(asked_for_s, _LOOK_S)

    async def _watch(self, source: ReplicaSource) -> None:
        async with source.watch() as pictures:
            async for picture in pictures:
                self._found[source] = picture
                self.poke()

    async def _reconcile(self, nursery: trio.Nursery) -> None:
        deployments = self._state().deployments
        self._let_go(deployments)
        for key, deployment in deployments.items():
            source = self._source_of(deployment)
            if source is None or source not in self._found:
                continue
            if key not in self._directory.deployments():
                continue  # the log knew it first; whoever tells the directory pokes us then
            group = self._group(key, deployment)
            self._start_probes(nursery, group)
            self._time_starts(key, group)
            self._scale(key, group)
            await self._publish(group)
        await self._wish()

    def _time_starts(self, key: str, group: Group) -> None:
        """Learn how long replicas take to be ready."""
        now = trio.current_time()
        found = {each.id: each for each in self._all_found(key)}
        for name, since in [*group.starting.items()]:
            if name in self._ready and name not in group.found_running:
                group.ready_times.record(now - since)
            if name in self._ready or name not in found or found[name].state == "backing-off":
                del group.starting[name]
                group.overdue.pop(name, None)
            elif now >= since + group.overdue_s:
                self._note_overdue(key, group, found[name], now - since)
        for name in group.overlook(now):
            text = "another is started beside it, and replaces it when it is ready first"
            self._notes.append((f"{key}/{name}", text))
        group.found_running &= found.keys()
        for name, each in found.items():
            if name not in self._ready and each.state in ("starting", "running"):
                if name not in group.starting and group.asked_at is None:
                    # Not one that we asked for: how long it took until here is not known.
                    group.found_running |= {name} if each.state == "running" else set()
                # From when it was asked for: a source may take its time to show it.
                group.starting.setdefault(name, now if group.asked_at is None else group.asked_at)

    def _note_overdue(self, key: str, group: Group, found: FoundReplica, for_s: float) -> None:
        """Once for each: it runs and does not get ready; nobody waits for it any more."""
        if found.id not in group.overdue:
            group.overdue[found.id] = group.starting[found.id]
            reason = found.reason or self._reasons.get(found.id, "it gives no reason")
            self._notes.append((f"{key}/{found.id}", f"not ready after {for_s:.0f} s: {reason}"))

    def _let_go(self, deployments: Mapping[str, Deployment]) -> None:
        """Keep the replicas of deleted deployments while requests may still run on them."""
        now = trio.current_time()
        for key in [key for key in self._groups if key not in deployments]:
            group = self._groups[key]
            if group.deleted_until is None:
                group.deleted_until = now + group.deployment.request_max_s + _ROUTED_S
            found = self._all_found(key)
            is_unused = all(self._directory.is_unused(each.id) for each in found)
            if (now >= group.deleted_until and is_unused) or not found:
                del self._groups[key]

    def _group(self, key: str, deployment: Deployment) -> Group:
        group = self._groups.get(key)
        if group is not None and group.deleted_until is not None:
            group = None  # made again before the old one's replicas had gone
        if group is None or group.scaler.settings != deployment.scale:
            now, found = trio.current_time(), self._all_found(key)
            draining = self._cordoned(key) if group is None else group.draining
            current = count_serving(found, deployment.source, draining)
            scaler = Scaler(deployment.scale, current=current, now=now)
            if group is None:
                # Whether the earlier coordinator named them to the source is not known.
                told = dict.fromkeys(draining, now)
                times = ReadyTimes(self._state().ready_times_s.get(key, ()))
                group = Group(deployment, scaler, draining, told, ready_times=times)
                self._groups[key] = group
            group.scaler = scaler
        group.deployment = deployment
        return group

    def _cordoned(self, key: str) -> set[str]:
        """What an earlier coordinator had begun to stop."""
        return {
            replica.id
            for replica in self._state().replicas.get(key, ())
            if replica.state is ReplicaState.DRAINING
        }

    def _start_probes(self, nursery: trio.Nursery, group: Group) -> None:
        for found in self._all_found(group.deployment.key):
            if found.state != "running":
                self._ready.discard(found.id)
            elif self._is_static(group.deployment):
                # Whoever wrote the addresses vouches for them; they may not have a probe path.
                self._ready.add(found.id)
            elif found.id not in self._probing:
                self._probing.add(found.id)
                nursery.start_soon(self._probe_until_ready, group.deployment, found)

    async def _probe_until_ready(self, deployment: Deployment, found: FoundReplica) -> None:
        """Ask from the moment it listens, whatever the YAML's `initial_delay`, until it is ready.

        Once it answers it is asked again every `period` until it has `success_threshold` times.
        """
        settings, successes = deployment.readiness, 0
        try:
            while self._is_running(found):
                # What an earlier coordinator found ready is ready until a probe says otherwise.
                known = found.id in self._ready
                reason = "" if known else await self._ask(deployment, found.host, found.port)
                successes = 0 if reason else successes + 1
                if known or successes >= settings.success_threshold:
                    successes = 0
                    self._ready.add(found.id)
                    self._reasons.pop(found.id, None)
                    self.poke()
                    await self._probe_while_ready(deployment, found)
                    continue
                times = f"answered {successes} of {settings.success_threshold} probes"
                self._reasons[found.id] = reason or times
                await trio.sleep(_FIRST_PROBES_S if reason else settings.period_s)
        finally:
            self._probing.discard(found.id)

    async def _probe_while_ready(self, deployment: Deployment, found: FoundReplica) -> None:
        """Ask again every `period`; returns once it is not ready any more.

        Never while it is busy (decision 20): a served answer is the proof, and a server that
        works on one request at a time would not answer.
        """
        settings, failures = deployment.readiness, 0
        while self._is_running(found) and found.id in self._ready:
            await trio.sleep(settings.period_s)
            if self._directory.busy_slots(found.id):
                continue
            reason = await self._ask(deployment, found.host, found.port)
            if not reason:
                failures = 0
            elif not self._directory.busy_slots(found.id):
                failures += 1
            if failures >= settings.failure_threshold:
                self._reasons[found.id] = reason
                self._ready.discard(found.id)
                self.poke()

    def _is_running(self, found: FoundReplica) -> bool:
        now = self._all_found(found.deployment)
        return any(each.id == found.id and each.state == "running" for each in now)

    def _scale(self, key: str, group: Group) -> None:
        if self._is_static(group.deployment):
            return
        found, now = self._all_found(key), trio.current_time()
        demand = self._directory.demand(key)
        group.decision = group.scaler.decide(
            busy=demand.steady_busy,
            queued=demand.steady_queued,
            current=len(group.staying(found)),
            slots_per_replica=group.deployment.slots_per_replica,
            now=now,
        )
        short = group.decision.replicas - len(group.staying(found))
        group.take_back(found, short, now=now, obeyed=self._processes not in self._refusals)
        staying = group.staying(found)
        if len(staying) >= group.decision.replicas:
            group.asked_at = None
        elif group.asked_at is None:
            group.asked_at = now
        surplus = len(staying) - group.decision.replicas
        if surplus > 0:
            group.draining.update(self._idle_first(group, staying)[:surplus])
        if sum(each.id in self._ready for each in staying) >= group.decision.replicas:
            group.draining |= group.outdated(found) | group.overlooked
        group.forget_others(found)

    def _idle_first(self, group: Group, staying: list[FoundReplica]) -> list[str]:
        """Who may be cordoned: first those that serve nobody yet, then the idle; never the busy.

        But where there is no limit, for there none may ever be idle: the least busy then.
        """
        starting = [found.id for found in staying if found.id not in self._ready]
        busy = {f.id: self._directory.busy_slots(f.id) for f in staying if f.id in self._ready}
        ready = sorted(busy, key=busy.__getitem__)
        return starting + [n for n in ready if group.deployment.unlimited or not busy[n]]

    async def _publish(self, group: Group) -> None:
        """Put the replica set into the log when it differs from what is there."""
        deployment = group.deployment
        slots = 0 if deployment.unlimited else deployment.slots_per_replica
        replicas = tuple(
            Replica(
                id=found.id,
                deployment=deployment.key,
                host=found.host,
                port=found.port,
                slots=slots,
                state=ReplicaState.DRAINING if found.id in group.draining else ReplicaState.READY,
            )
            for found in sorted(self._all_found(deployment.key), key=lambda found: found.id)
            if found.id in self._ready
        )
        if replicas != self._state().replicas.get(deployment.key, ()):
            command = PutReplicas(
                epoch=self._directory.epoch,
                deployment=deployment.key,
                replicas=replicas,
                ready_times_s=group.ready_times.seconds,
            )
            await self._commit(command)

    async def _wish(self) -> None:
        """Tell the sources how many of each, and which ones are to go."""
        for source in self._sources():
            if source not in self._found:
                # Not before its picture is known: a new coordinator must not shrink what it
                # has not seen.
                continue
            desired = []
            retire: set[str] = set()
            for key, deployment in self._state().deployments.items():
                group = self._groups.get(key)
                if group is None or self._source_of(deployment) is not source:
                    continue
                number, gone = group.wish(
                    self._all_found(key), self._directory.is_unused, now=trio.current_time()
                )
                desired.append((deployment, number))
                retire.update(gone)
            for key, group in self._groups.items():
                if group.deleted_until is not None and self._source_of(group.deployment) is source:
                    desired.append((group.deployment, len(self._all_found(key))))
            wish = (desired, sorted(retire))
            if self._wishes.get(source) != wish:
                await self._set_desired(source, desired, wish)

    async def _set_desired(
        self,
        source: ReplicaSource,
        desired: Sequence[tuple[Deployment, int]],
        wish: tuple[object, Sequence[str]],
    ) -> None:
        """Tell a source; one that refuses is told again at the next evaluation.

        Raises:
            StaleEpochError: it obeys a later coordinator.
        """
        try:
            await source.set_desired(self._directory.epoch, desired, wish[1])
        except StaleEpochError:
            raise
        except ControlError as error:
            reason = str(error) or type(error).__name__
            # It may have taken it all the same: even the wish before is to be told again.
            self._wishes.pop(source, None)
            if self._refusals.get(source) != reason:
                self._refusals[source] = reason
                self._notes += [(d.key, f"its source refused: {reason}") for d, _ in desired]
            return
        self._refusals.pop(source, None)
        self._wishes[source] = wish
