"""One member of the group: the task that drives a voter, and what an application asks of it."""

import random
from collections.abc import Sequence
from typing import Final, Protocol

import attrs
import msgspec
import trio

from consensus.authority import Authority, Notice
from consensus.errors import (
    CommandFailedError,
    CommandTooLongError,
    JournalFailedError,
    NotAcceptedError,
    UnknownOutcomeError,
)
from consensus.journal.store import Journal
from consensus.raft.effects import Counters, Effects, Status
from consensus.raft.observer import ObserverEngine
from consensus.raft.proposals import Proposals
from consensus.raft.voter import VoterEngine
from consensus.settings import COMMAND_BYTES_MAX, MemberConfig, Role
from consensus.takeover import Office, Outcome, Replicated, StateMachine
from consensus.transport import Event, Inbox, Transport

__all__ = ["Applied", "Member", "MemberStatistics"]

#: Events taken before the log is synced once for all of them.
_EVENTS_PER_STEP: Final = 256
#: Steps that time alone causes are at least this far apart: a deadline that lies one rounding error
#: ahead would otherwise be met again and again without time moving (simulator, seed 1038).
_STEP_MIN_S: Final = 1e-4
#: Proposals that may wait at one member; coarse commands never come near it.
_PROPOSALS_MAX: Final = 1024
#: A commit index that nothing else carried to the disk is written after this long.
_IDLE_PERSIST_S: Final = 1.0


@attrs.frozen
class Applied:
    """A command's place in the log, and what the application answered."""

    index: int
    result: bytes


@attrs.frozen(kw_only=True)
class MemberStatistics:
    """A picture of one member at one moment."""

    name: str
    role: Role
    leader: str | None
    term: int
    commit_index: int
    applied_index: int
    log_entries: int
    peers_connected: tuple[str, ...]
    has_authority: bool
    is_full_member: bool
    proposals_pending: int
    elections: int
    leader_changes: int
    stale_answers: int
    frames_refused: int
    frames_of_old_sessions: int
    votes_withheld: int
    hints: int
    command_failures: int
    persist_s_max: float


class _Engine(Protocol):
    """What the driver needs of a voter and of an observer alike."""

    proposals: Proposals
    counters: Counters

    @property
    def role(self) -> Role: ...
    @property
    def leader(self) -> str | None: ...
    @property
    def term(self) -> int: ...
    @property
    def applied_index(self) -> int: ...
    def step(self, events: Sequence[Event], *, now: float) -> Effects: ...
    def deadline(self, *, now: float) -> float: ...
    def authority_until(self, *, now: float) -> float | None: ...
    def status(self) -> Status: ...


class Member:
    """A voter or, when `config.voters` does not name it, an observer.

    `run` it in a nursery; everything else may be called from the same Trio thread.

    Args:
        config: the group as every member sees it.
        machine: the application's replicated state; this member is its only writer.
        transport: carries frames, and brings the clock this member lives by.
        journal: what this member promised in its earlier lives.
        incarnation: greater than in every earlier life of this name.
        rng: decides election timeouts; seed it to replay a run.
    """

    def __init__(
        self,
        config: MemberConfig,
        machine: StateMachine,
        *,
        transport: Transport,
        journal: Journal,
        incarnation: int,
        rng: random.Random | None = None,
    ) -> None:
        self._config = config
        self._transport = transport
        self._clock = transport.clock
        self._journal = journal
        self._incarnation = incarnation
        self._inbox = Inbox()
        self._progressed = Notice()
        self._progress: tuple[object, ...] = ()
        self._replicated = Replicated(machine)
        self._persisted_at = self._clock.now()
        self._persist_s = 0.0
        self._persist_s_max = 0.0
        self._left_at = float("-inf")
        self._office: Office | None = None
        self.authority = Authority(self._clock)
        self._voter: VoterEngine | None = None
        self._engine: _Engine
        if config.votes:
            self._engine = self._voter = VoterEngine(
                config,
                self._replicated,
                log=journal.log,
                snapshot=journal.snapshot,
                incarnation=incarnation,
                rng=rng or random.Random(),  # noqa: S311 - spreads elections, guards nothing
                now=self._clock.now(),
            )
        else:
            self._engine = ObserverEngine(config, self._replicated, incarnation=incarnation)
        self._note_progress()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled; started once peers can reach this member.

        Raises:
            JournalFailedError: the disk refused a write. Nothing that was not durable has left;
                this member has stopped, its peers see its sessions end.
        """
        failure: JournalFailedError | None = None
        async with trio.open_nursery() as nursery:
            # Peers take a closed port for our death and elect at once, and a write that is under
            # way cannot be cancelled: so the port closes only after authority was given up.
            carrying = trio.CancelScope(shield=True)
            await nursery.start(self._carry, carrying)
            task_status.started()
            try:
                await self._drive(nursery)
            except JournalFailedError as error:
                failure = error
            finally:
                self.authority.renew(None)
                carrying.cancel()
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _carry(self, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            try:
                await self._transport.run(self._inbox, self._incarnation, task_status=task_status)
            finally:
                self.authority.renew(None)

    # What the application asks.

    @property
    def office(self) -> Office | None:
        """Who holds the coordinator's office, as far as this member has applied the log."""
        return self._replicated.office

    @property
    def applied_index(self) -> int:
        """How far this member has applied the log."""
        return self._engine.applied_index

    async def wait_applied_beyond(self, index: int) -> int:
        """Wait until more than `index` is applied; return how much is."""
        while self.applied_index <= index:
            await self._progressed.wait()
        return self.applied_index

    async def propose(self, command: bytes, *, timeout_s: float) -> Applied:
        """Get a command applied once on every member, through whoever leads.

        Args:
            command: at most COMMAND_BYTES_MAX bytes.
            timeout_s: how long to wait for the outcome.

        Raises:
            CommandTooLongError: it is in no log, and it would be refused again.
            NotAcceptedError: it is in no log and never will be.
            UnknownOutcomeError: time ran out while a leader had it. It may yet be applied.
            CommandFailedError: it is committed, and the application's `apply` raised.
        """
        if len(command) > COMMAND_BYTES_MAX:
            raise CommandTooLongError(
                f"a change of {len(command):,} bytes; one change has at most "
                f"{COMMAND_BYTES_MAX:,}: make several of it"
            )
        outcome = await self._settle(command, timeout_s)
        if outcome.failure:
            raise CommandFailedError(outcome.index, outcome.failure)
        return Applied(outcome.index, outcome.result)

    async def take_over(self) -> int | None:
        """As leader, take the office: the new epoch once it is applied, None if leading ended."""
        try:
            outcome = await self._settle(None, self._config.timings.election_max_s)
        except (NotAcceptedError, UnknownOutcomeError):
            return None
        return msgspec.msgpack.decode(outcome.result, type=int)

    def may_act(self, epoch: int) -> bool:
        """Whether this member is the coordinator of that epoch right now. Ask before each act."""
        mine = Office(self._config.name, epoch, self._incarnation)
        return self.office == mine and self.authority.is_held()

    async def transfer_leadership(self, *, timeout_s: float) -> bool:
        """As leader, end the office, then make the most caught-up voter lead.

        Returns:
            Whether somebody else leads now. If not, this term has ended all the same, except where
            there is no other voter: then nothing has happened.
        """
        voter = self._voter
        if voter is None or voter.role is not Role.LEADER or len(self._config.voters) == 1:
            return False
        term = voter.term
        voter.abdicate()
        self.authority.renew(None)
        with trio.move_on_after(timeout_s):
            await self.authority.wait_unused()
            voter.hand_over_soon()
            self._inbox.wake.set()
            while voter.term == term or voter.leader is None:
                await self._progressed.wait()
        if voter.term == term:
            voter.step_down_soon()
            self._inbox.wake.set()
        return voter.leader not in (None, self._config.name)

    def statistics(self) -> MemberStatistics:
        """A picture of this member now."""
        return MemberStatistics(
            name=self._config.name,
            has_authority=self.authority.is_held(),
            proposals_pending=len(self._engine.proposals),
            command_failures=self._replicated.failures,
            persist_s_max=self._persist_s_max,
            **attrs.asdict(self._engine.status()),
            **attrs.asdict(self._engine.counters),
        )

    # The driver.

    async def _drive(self, nursery: trio.Nursery) -> None:
        while True:
            now = self._clock.now()
            events = self._inbox.take(_EVENTS_PER_STEP)
            effects = self._engine.step(events, now=now)
            await self._persist()
            self._release(effects)
            self._note_progress()
            if self._disk_is_too_slow_to_lead():
                nursery.start_soon(self._leave_leadership)
            due = max(self._engine.deadline(now=now), now + _STEP_MIN_S)
            await self._clock.wait(self._inbox.wake, due)

    async def _persist(self) -> None:
        """Make durable what the frames of this step promise. They leave only afterwards."""
        if self._voter is None:
            return
        snapshots = self._voter.snapshots
        started_at = self._clock.now()
        is_overdue = started_at - self._persisted_at > _IDLE_PERSIST_S
        if not (self._journal.log.owes_promise or snapshots.is_unsaved or is_overdue):
            return
        snapshot = snapshots.current if snapshots.is_unsaved else None
        snapshots.is_unsaved = False
        await self._journal.persist(snapshot)
        self._persisted_at = self._clock.now()
        self._persist_s = self._persisted_at - started_at
        self._persist_s_max = max(self._persist_s_max, self._persist_s)

    def _disk_is_too_slow_to_lead(self) -> bool:
        """Every commit and every heartbeat of a leader waits for its disk. True only now and then:

        where all disks are slow, or all processors busy, leaders would hand over without end.
        """
        timings, now = self._config.timings, self._clock.now()
        is_slow = self._persist_s > timings.slow_disk_s and self._engine.role is Role.LEADER
        if not is_slow or now - self._left_at < timings.slow_disk_rest_s:
            return False
        self._left_at, self._persist_s = now, 0.0
        return True

    async def _leave_leadership(self) -> None:
        await self.transfer_leadership(timeout_s=self._config.timings.election_max_s)

    def _release(self, effects: Effects) -> None:
        for peer, session, frame in effects.frames:
            self._transport.send_nowait(peer, session, frame)
        for peer, session in effects.closings:
            self._transport.close_session(peer, session)

    def _note_progress(self) -> None:
        self.authority.renew(self._engine.authority_until(now=self._clock.now()))
        if self.office != self._office:
            self._office = self.office
            if self._office is not None and self._office.name != self._config.name:
                self.authority.revoke()
        progress = (self.applied_index, self._engine.term, self._engine.leader)
        if progress != self._progress:
            self._progress = progress
            self._progressed.post()

    # Parts of the above.

    async def _settle(self, body: bytes | None, timeout_s: float) -> Outcome:
        """Propose and wait for the outcome."""
        proposals = self._engine.proposals
        if len(proposals) >= _PROPOSALS_MAX:
            raise NotAcceptedError(f"{_PROPOSALS_MAX} proposals are waiting already")
        settled = trio.Event()
        pending = proposals.add(body, settled.set)
        self._inbox.wake.set()
        try:
            with trio.move_on_after(timeout_s):
                await settled.wait()
        finally:
            proposals.withdraw(pending)
        if pending.outcome is not None:
            return pending.outcome
        if pending.open_offers:
            raise UnknownOutcomeError(f"no outcome within {timeout_s:g} s")
        raise NotAcceptedError(f"no leader took it within {timeout_s:g} s")
