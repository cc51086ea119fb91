"""The coordinator: what one front-end does for all of them while it holds the office.

Runs inside the cancel scope of its authority. Everything it knows beyond the log is soft and is
rebuilt by its successor, so it may end between any two statements.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Final, Protocol

import attrs
import trio

from trioroute.coordinator.fleet import Fleet, FleetReplica, ReplicaSource
from trioroute.coordinator.health_news import HealthNews
from trioroute.coordinator.links import Links
from trioroute.coordinator.probes import probe
from trioroute.core.decisions import DecisionDesk, DecisionKind
from trioroute.core.directory.directory import SlotDirectory
from trioroute.core.guards.canary import LOOK_S, CanaryWatch, Tally
from trioroute.core.model import Deployment, deployment_key
from trioroute.core.registry import (
    Command,
    FenceHolder,
    HaltCanary,
    Homes,
    MarkClean,
    OpenEpoch,
    PutHomes,
    RecordDecisions,
    RegisterHolder,
    RegistryState,
    Result,
    SettleFormer,
)
from trioroute.core.scaling import ScaleDecision
from trioroute.core.slots.figures import Demand, DirectoryStatistics
from trioroute.core.slots.homes import HomePlan, plan_homes
from trioroute.core.slots.messages import Observed
from trioroute.core.slots.timings import SlotTimings
from trioroute.core.yardstick.line import Distance, IdealLines
from trioroute.errors import ControlError, NoCoordinatorError

__all__ = ["Coordinator", "Log"]

#: How late an ended lease, limbo or contention may be noticed, seconds. A fixed beat costs a few
#: microseconds each time; looking for the next due time after every message would cost more.
_TICK_S: Final = 0.02

#: How often the ideal lines go on, seconds: what they show is of the last minute.
_IDEAL_S: Final = 1.0

#: So many recalls in such a time, seconds: one for every 20 ms that an answer may take.
_STORM_RECALLS: Final = 50
_STORM_S: Final = 1.0

_LOG: Final = logging.getLogger(__name__)


class Log(Protocol):
    """What the coordinator needs of consensus."""

    @property
    def state(self) -> RegistryState:
        """The registry as applied here."""
        ...

    async def commit(self, command: Command) -> Result:
        """Propose, and wait until it is applied here.

        Raises:
            ControlError: not committed, or it is unknown whether.
        """
        ...

    async def wait_changed(self, index: int) -> None:
        """Return once something later than `index` has been applied here."""
        ...

    def reachable(self) -> Collection[str]:
        """The front-ends that are there: this one, and those that it has a link to."""
        ...

    def may_grant(self, epoch: int) -> bool:
        """Whether this member holds the office of that epoch with fresh authority just now."""
        ...


@attrs.define(eq=False)
class _Office:
    """What exists during one epoch."""

    directory: SlotDirectory
    links: Links
    fleet: Fleet
    began_at: float
    decisions: DecisionDesk
    ideal: IdealLines
    scaled: dict[str, int] = attrs.field(factory=dict)
    recalls: dict[str, int] = attrs.field(factory=dict)
    recalls_seen_at: float = 0.0
    health_news: HealthNews = attrs.field(factory=HealthNews)
    # The holder whose fence is on its way into the log; it must not be leased anything meanwhile.
    fencing: str = ""


class Coordinator:
    """The coordinator of this front-end: idle until `run` is called with an epoch.

    Args:
        clock: the lease clock.
        open_fixed: makes the source of fixed addresses, a fresh one for each epoch.
        processes: the source that starts and stops replicas; None where there is none.
        ask: the readiness probe, as `probes.probe`.
        unix_time: what decision records are dated by.
        duration_bounds_s: by what holders count how long requests took.
        name: this front-end's, for the record of who took over.
    """

    def __init__(
        self,
        log: Log,
        *,
        timings: SlotTimings,
        clock: Callable[[], float],
        open_fixed: Callable[[], ReplicaSource],
        processes: ReplicaSource | None,
        ask: Callable[[Deployment, str, int], Awaitable[str]] = probe,
        unix_time: Callable[[], float] = time.time,
        duration_bounds_s: Sequence[float] = (),
        name: str = "",
    ) -> None:
        self._log = log
        self._name = name
        self._ask = ask
        self._unix_time = unix_time
        self._duration_bounds_s = duration_bounds_s
        self._open_fixed = open_fixed
        self._timings = timings
        self._clock = clock
        self._processes = processes
        self._office: _Office | None = None
        # Set once the office that is being opened is open, or is not to be.
        self._opening: trio.Event | None = None

    async def run(self, epoch: int) -> None:
        """Hold the office until cancelled."""
        opening = self._opening = trio.Event()
        try:
            await self._run(epoch, opening)
        finally:
            self._opening = None
            opening.set()

    async def _run(self, epoch: int, opening: trio.Event) -> None:
        if not await self._commit(OpenEpoch(epoch=epoch)):
            # Somebody else has been faster; our authority ends in a moment.
            await trio.sleep_forever()
        now = self._clock()
        state = self._log.state
        reachable = self._log.reachable()
        directory = SlotDirectory(
            state,
            epoch=epoch,
            timings=self._timings,
            now=now,
            awaited=[name for name in state.holders if name.rpartition("/")[0] in reachable],
        )
        ideal = IdealLines()
        watch = CanaryWatch(self._duration_bounds_s)
        links = Links(
            directory,
            ideal=ideal,
            clock=self._clock,
            may_grant=partial(self._log.may_grant, epoch),
            register=self._register,
            observe=partial(_observe, watch),
        )
        fleet = Fleet(
            directory,
            state=lambda: self._log.state,
            commit=self._commit,
            fixed=self._open_fixed(),
            processes=self._processes,
            ask=self._ask,
        )
        self._office = _Office(
            directory, links, fleet, trio.current_time(), DecisionDesk(epoch), ideal
        )
        opening.set()
        before = _last_in_office(state)
        self._decided(
            self._office,
            DecisionKind.TAKE_OVER,
            "coordinator",
            _told_of_office(self._name, before, epoch),
            **{name: who for name, who in (("by", self._name), ("before", before)) if who},
            holders=len(state.holders),
            ended_cleanly=len(state.clean),
            replicas=sum(map(len, state.replicas.values())),
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_registry, self._office, state.index)
                nursery.start_soon(self._run_clockwork, self._office)
                nursery.start_soon(self._keep_records, self._office)
                nursery.start_soon(_keep_ideal, self._office)
                nursery.start_soon(self._plan_homes, self._office)
                nursery.start_soon(self._guard_canaries, self._office, watch)
                nursery.start_soon(fleet.run)
        finally:
            self._office = None
            links.close_all()

    async def serve_link(self, stream: trio.abc.Stream, peer: str) -> None:
        """Serve one holder's slot link until it ends; closed at once when not in office.

        Who learns of a take-over dials while the log is yet to open the epoch, and is kept: turned
        away, it would wait out its back-off, each holder another one.
        """
        try:
            if self._office is None and self._opening is not None:
                await self._opening.wait()
            office = self._office
            if office is not None:
                await office.links.serve(stream, peer)
        finally:
            await trio.aclose_forcefully(stream)

    def demand(self, deployment: str) -> Demand | None:
        """What a deployment is asked for; None when not in office or unknown.

        The log knows a new deployment first: the directory takes it up when the office looks next.
        """
        office = self._office
        if office is None or deployment not in office.directory.deployments():
            return None
        return office.directory.demand(deployment)

    def busy_slots(self, replica: str) -> int | None:
        """Slots of a replica with a request running; None when not in office."""
        return None if self._office is None else self._office.directory.busy_slots(replica)

    def replicas(self, deployment: str) -> tuple[FleetReplica, ...] | None:
        """What is known of a deployment's replicas; None when not in office."""
        return None if self._office is None else self._office.fleet.replicas(deployment)

    def decision(self, deployment: str) -> ScaleDecision | None:
        """The newest scaling decision; None when not in office."""
        return None if self._office is None else self._office.fleet.decision(deployment)

    def distance(self, deployment: str) -> Distance | None:
        """How far its queue was from one perfect queue; None when not in office or unknown."""
        return None if self._office is None else self._office.ideal.distance(deployment)

    def statistics(self) -> DirectoryStatistics | None:
        """The directory's counts; None when not in office."""
        return None if self._office is None else self._office.directory.statistics()

    async def _register(self, holder: str, incarnation: int) -> None:
        if self._office is None or self._office.fencing == holder:
            raise NoCoordinatorError("not in office, or about to declare this holder dead")
        state = self._log.state
        if state.holders.get(holder, incarnation) > incarnation:
            # Its machine's kernel may still send what it said last; the next one lives.
            raise NoCoordinatorError(f"{holder} has started again since")
        if state.holders.get(holder) == incarnation and holder not in state.clean:
            return
        epoch = self._office.directory.epoch
        command = RegisterHolder(epoch=epoch, holder=holder, incarnation=incarnation)
        if not await self._commit(command):
            raise NoCoordinatorError(f"{holder} could not be registered")

    async def _commit(self, command: Command) -> bool:
        """Whether the command was applied. If not, whoever wanted it will want it again."""
        try:
            result = await self._log.commit(command)
        except ControlError as error:
            _LOG.info("not committed: %s (%s)", type(command).__name__, error)
            return False
        if result.error:
            _LOG.info("refused: %s (%s)", type(command).__name__, result.error)
        return not result.error

    async def _follow_registry(self, office: _Office, index: int) -> None:
        while True:
            state = self._log.state
            if state.index > index:
                index = state.index
                office.links.dispatch(office.directory.set_routing(state, self._clock()))
                office.fleet.poke()
            await self._log.wait_changed(index)

    async def _run_clockwork(self, office: _Office) -> None:
        """Ends leases, limbo and doubt when their time has come."""
        while True:
            await trio.sleep(_TICK_S)
            now = self._clock()
            office.links.dispatch(office.directory.tick(now))
            if office.directory.has_waiters():
                office.fleet.poke()
            for key in office.directory.deployments():
                wait_s = office.fleet.expected_wait_s(key)
                office.links.dispatch(office.directory.expect(key, wait_s, now))

    async def _keep_records(self, office: _Office) -> None:
        """Fences, clean ends and decisions go to the log; apart, for a commit may take seconds."""
        epoch = office.directory.epoch
        while True:
            await trio.sleep(_TICK_S)
            for holder, incarnation in office.directory.holders_to_mark(
                self._log.state, self._clock()
            ):
                mark = MarkClean(epoch=epoch, holder=holder, incarnation=incarnation)
                await self._commit(mark)
            for key, index in office.directory.former_to_settle(self._log.state, self._clock()):
                await self._commit(SettleFormer(epoch=epoch, deployment=key, index=index))
            if overdue := office.directory.holders_to_fence(self._clock()):
                # One at a time: what was true of the next may not be after this commit.
                await self._fence(office, *overdue[0])
            self._note_decisions(office)
            if batch := office.decisions.take(self._clock()):
                await self._commit(RecordDecisions(epoch=epoch, decisions=batch))

    async def _guard_canaries(self, office: _Office, watch: CanaryWatch) -> None:
        """Stop the share of a new version that fails while it rises."""
        while True:
            await trio.sleep(LOOK_S)
            state = self._log.state
            for halt in watch.judge(state.endpoints, state.traffic_before, self._clock()):
                command = HaltCanary(
                    epoch=office.directory.epoch,
                    endpoint=halt.endpoint,
                    deployment=halt.deployment,
                    traffic=halt.traffic,
                    reason=halt.reason,
                )
                if await self._commit(command):
                    subject = deployment_key(halt.endpoint, halt.deployment)
                    summary = f"halted: {halt.reason}; its traffic goes to the others"
                    share = halt.traffic.get(halt.deployment, 0)
                    self._decided(office, DecisionKind.CANARY, subject, summary, share=share)

    async def _fence(self, office: _Office, holder: str, reason: str) -> None:
        """Declare a holder dead; it may not come back while that is being committed."""
        command = FenceHolder(
            epoch=office.directory.epoch,
            holder=holder,
            incarnation=self._log.state.holders[holder],
            reason=reason,
        )
        office.fencing = holder
        try:
            if await self._commit(command):
                self._decided(office, DecisionKind.FENCE, holder, reason)
        finally:
            office.fencing = ""

    def _decided(
        self,
        office: _Office,
        kind: DecisionKind,
        subject: str,
        summary: str,
        **inputs: float | str | None,
    ) -> None:
        office.decisions.add(kind, subject, summary, at_s=self._unix_time(), **inputs)

    def _note_decisions(self, office: _Office) -> None:
        """What the machines decided since the last look."""
        news, now = office.health_news, self._clock()
        for key, change in office.directory.take_health_changes():
            subject = f"{key}/{change.replica}"
            if summary := news.hear(subject, change, now):
                self._decided(office, DecisionKind.HEALTH, subject, summary)
        for subject, summary in news.settle(now):
            self._decided(office, DecisionKind.HEALTH, subject, summary)
        for subject, summary in office.fleet.take_notes():
            self._decided(office, DecisionKind.REPLICA, subject, summary)
        self._note_storms(office)
        for fault in office.directory.take_faults():
            _LOG.error("slots of %s are wrong: %s", fault.deployment, fault.error)
            what = "refused until it is changed" if fault.is_quarantined else "asked for again"
            summary = f"its books were wrong ({fault.error}): {what}"
            self._decided(office, DecisionKind.HEALTH, fault.deployment, summary)
        for key in self._log.state.deployments:
            decision = office.fleet.decision(key)
            if decision is None or office.scaled.get(key) == decision.replicas:
                continue
            office.scaled[key] = decision.replicas
            self._decided(
                office,
                DecisionKind.SCALE,
                key,
                f"{decision.current} → {decision.replicas} replicas ({decision.rule})",
                **attrs.asdict(decision),
            )

    def _note_storms(self, office: _Office) -> None:
        """Holders asked for idle slots again as soon as they have answered, for a second."""
        now = self._clock()
        if now < office.recalls_seen_at + _STORM_S:
            return
        for key in office.directory.deployments():
            demand = office.directory.demand(key)
            recalls = demand.recalls - office.recalls.get(key, 0)
            office.recalls[key] = demand.recalls
            if recalls >= _STORM_RECALLS:
                self._decided(
                    office,
                    DecisionKind.RECALL_STORM,
                    key,
                    f"{recalls} recalls in {now - office.recalls_seen_at:.1f} s",
                    busy=demand.busy,
                    queued=demand.queued,
                    slots=demand.slots,
                    holders=len(office.directory.live_holders()),
                )
        office.recalls_seen_at = now

    async def _plan_homes(self, office: _Office) -> None:
        """Again whenever the log or the holders' view of it has changed."""
        planned: object = None
        while True:
            await trio.sleep(_TICK_S)
            directory = office.directory
            seen = (self._log.state.index, directory.live_holders(), directory.gone_replicas())
            if seen != planned:
                keys = [*self._log.state.deployments]
                done = [await self._plan_homes_of(office, key) for key in keys]
                # What could not be committed is wanted again.
                planned = seen if all(done) else None

    async def _plan_homes_of(self, office: _Office, key: str) -> bool:
        """Whether the homes of a deployment are as they should be, or are on their way there."""
        state = self._log.state
        if office.directory.index < state.index:
            return False  # what has gone since is not known there yet
        live = office.directory.live_holders()
        index = state.homes_index.get(key, 0)
        homes, leaving = state.homes.get(key, {}), state.leaving.get(key, {})
        plan = plan_homes(
            state.replicas.get(key, ()),
            HomePlan(_of_known(homes, state), _of_known(leaving, state)),
            alive=live,
            informed={name for name, version in live.items() if version >= index},
            gone=office.directory.gone_replicas(),
        )
        if not live or plan == HomePlan(homes, leaving):
            return True
        return await self._commit(
            PutHomes(
                epoch=office.directory.epoch,
                deployment=key,
                homes=plan.homes,
                leaving=plan.leaving,
            )
        )


def _last_in_office(state: RegistryState) -> str:
    """Who coordinated before, as far as the records go back."""
    began = (one for one in reversed(state.decisions) if one.kind is DecisionKind.TAKE_OVER)
    last = next(began, None)
    return "" if last is None else last.inputs.get("by", "")


def _told_of_office(name: str, before: str, epoch: int) -> str:
    if not name:
        return f"epoch {epoch} begins"
    verb = "coordinates again" if name == before else "takes over"
    whose = f" from {before}" if before not in ("", name) else ""
    return f"{name} {verb}{whose}, epoch {epoch} begins"


def _of_known(homes: Homes, state: RegistryState) -> Homes:
    """Without those of the fenced, whose fence went into the log while a plan was on its way."""
    return {
        replica: {name: mask for name, mask in masks.items() if name in state.holders}
        for replica, masks in homes.items()
    }


async def _keep_ideal(office: _Office) -> None:
    """Keep the ideal lines going beside the real queues."""
    directory = office.directory
    while True:
        await trio.sleep(_IDEAL_S)
        office.ideal.keep_only(directory.live_holders())
        office.ideal.advance({key: directory.demand(key).slots for key in directory.deployments()})


def _observe(watch: CanaryWatch, holder: str, observed: Observed) -> None:
    rows = observed.rows.items()
    watch.observe(holder, {key: Tally(*row) for key, row in rows})
