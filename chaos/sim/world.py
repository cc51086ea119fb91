"""The world of one run: members, their disks and clocks, clients, and ways to hurt them."""

import random
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from chaos.sim.clock import SimulatedClock
from chaos.sim.disk import SimulatedDisk
from chaos.sim.history import Act, AuthoritySpan, Call, History, Life
from consensus import (
    JournalCorruptError,
    JournalFailedError,
    Member,
    MemberConfig,
    NotAcceptedError,
    Office,
    PeerAddress,
    Role,
    UnknownOutcomeError,
    run_with_authority,
)
from consensus.journal.store import FileJournal
from consensus.memory import MemoryNetwork, MemoryTransport

__all__ = ["World"]

#: Small, so that every run compacts, installs snapshots and begins new segments.
_COMPACT_ENTRIES: Final = 40
_CALL_TIMEOUT_S: Final = 1.0


class Ledger:
    """The replicated state: every command, each answered with its place."""

    def __init__(self, history: History, life: Life) -> None:
        self._history = history
        self._life = life
        self._commands: list[bytes] = []

    def apply(self, command: bytes, index: int) -> bytes:
        """Append."""
        self._commands.append(command)
        self._history.applied.setdefault(self._life, []).append((index, command))
        return b"%d" % len(self._commands)

    def snapshot(self) -> bytes:
        """The commands; none holds a line break."""
        return b"\n".join(self._commands)

    def restore(self, data: bytes) -> None:
        """The reverse."""
        self._commands = data.split(b"\n") if data else []
        self._history.restored.setdefault(self._life, []).append(list(self._commands))


class WatchedMember(Member):
    """A member that writes down, after each step, what it would claim of itself."""

    def watch(self, history: History, life: Life, clock: SimulatedClock) -> None:
        """Begin to write."""
        self._history, self._life, self._true = history, life, clock
        self._span: AuthoritySpan | None = None
        self._seen: Office | None = None

    def _note_progress(self) -> None:
        super()._note_progress()
        if not hasattr(self, "_history"):
            return  # still under construction
        if self._engine.role is Role.LEADER:
            self._history.leaders.add((self._engine.term, self._life.name))
        office = self.office
        if office is not None and office != self._seen:
            self._seen = office
            owner = Life(office.name, office.incarnation)
            self._history.offices.setdefault(self._life, []).append((office.epoch, owner))
        self._note_authority()

    def _note_authority(self) -> None:
        """Close the span of the last step where it was replaced, and open the next."""
        now = trio.current_time()
        if self._span is not None:
            ends_at = min(self._span.ends_at, now)
            self._history.authority.append(attrs.evolve(self._span, ends_at=ends_at))
            self._span = None
        until = self._engine.authority_until(now=self._true.now())
        if until is not None and self.authority.is_held():
            epoch = self.office.epoch if self.office else 0
            self._span = AuthoritySpan(self._life, epoch, now, self._true.true_time(until))

    def end_watch(self) -> None:
        """The life is over; a span still open ends where the clock would have ended it."""
        if self._span is not None:
            ends_at = min(self._span.ends_at, trio.current_time())
            self._history.authority.append(attrs.evolve(self._span, ends_at=ends_at))
            self._span = None


@attrs.define(eq=False)
class Running:
    """One life that is going on."""

    life: Life
    member: WatchedMember
    transport: MemoryTransport
    clock: SimulatedClock
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    is_frozen: bool = False


class World:
    """Everything of one run; the nemesis calls the faults, the runner starts and ends it."""

    def __init__(self, nursery: trio.Nursery, *, seed: int, voters: int) -> None:
        self.history = History()
        self.rng = random.Random(seed)
        self.names = tuple(f"fe-{number}" for number in range(voters))
        self.network = MemoryNetwork(seed=seed)
        self.disks = {name: SimulatedDisk(self._fork_rng()) for name in self.names}
        self.running: dict[str, Running] = {}
        self._nursery = nursery
        self._incarnations = 0
        self._calls = 0

    def _fork_rng(self) -> random.Random:
        return random.Random(self.rng.random())

    def note(self, fault: str) -> None:
        """Write down what was done to whom."""
        self.history.faults.append((trio.current_time(), fault))

    # Lives.

    def start(self, name: str) -> None:
        """Begin a life of a member that is down."""
        self._incarnations += 1
        life = Life(name, self._incarnations)
        clock = SimulatedClock(
            offset=self.rng.uniform(-1e4, 1e4), rate=self.rng.uniform(0.975, 1.025)
        )
        transport = self.network.transport(name, clock=clock)
        try:
            journal = FileJournal(self.disks[name], self.disks[name].run)
        except JournalFailedError:
            return  # full, broken or interrupted while opening; the nemesis will try again
        except JournalCorruptError as error:
            self.history.crashes.append(f"{name} does not start: {error}")
            return
        member = WatchedMember(
            MemberConfig(
                name=name,
                peers=tuple(PeerAddress(name=peer, host="sim", port=1) for peer in self.names),
                voters=self.names,
                compact_entries=_COMPACT_ENTRIES,
            ),
            Ledger(self.history, life),
            transport=transport,
            journal=journal,
            incarnation=life.incarnation,
            rng=self._fork_rng(),
        )
        member.watch(self.history, life, clock)
        running = self.running[name] = Running(life, member, transport, clock)
        self._nursery.start_soon(self._live, running, self._fork_rng())

    async def _live(self, running: Running, rng: random.Random) -> None:
        name = running.life.name
        try:
            with running.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run_with_authority, running.member, self._office(running))
                    nursery.start_soon(self._be_client, running, rng)
                    await running.member.run()
        except* JournalFailedError:
            self.note(f"{name} stops: its disk refused")
            if self.disks[name].operations_left is not None:
                self.disks[name].lose_power()
        except* Exception as group:  # noqa: BLE001 - any crash is a finding of the run
            self.history.crashes.append(f"{name} crashed: {group.exceptions!r}")
        finally:
            running.member.end_watch()
            self.network.thaw(name)
            if self.running.get(name) is running:
                del self.running[name]

    def kill(self, name: str) -> None:
        """SIGKILL: the page cache survives, the kernel closes the sessions."""
        self.running.pop(name).scope.cancel()

    def lose_power(self, name: str) -> None:
        """The machine goes dark: no FIN, and what was not synced may be gone."""
        self.network.power_off(name)
        self.running.pop(name).scope.cancel()
        self.disks[name].lose_power()

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        self.running[name].is_frozen = True
        self.running[name].clock.freeze()
        self.network.freeze(name)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self.running[name].is_frozen = False
        self.running[name].clock.thaw()
        self.network.thaw(name)

    # What runs inside a member's process.

    def _office(self, running: Running) -> Callable[[int], Awaitable[None]]:
        async def act(epoch: int) -> None:
            while True:
                await running.clock.wait(trio.Event(), running.clock.now() + 0.02)
                if running.member.may_act(epoch):
                    self.history.acts.append(Act(running.life, epoch, trio.current_time()))

        return act

    async def _be_client(self, running: Running, rng: random.Random) -> None:
        while True:
            await trio.sleep(rng.uniform(0.02, 0.4))
            await self.call(running)

    async def call(self, running: Running) -> Call:
        """Propose one command that nobody else proposes."""
        self._calls += 1
        call = Call(running.life, b"c%d" % self._calls, trio.current_time())
        self.history.calls.append(call)
        try:
            applied = await running.member.propose(call.command, timeout_s=_CALL_TIMEOUT_S)
        except NotAcceptedError:
            call.outcome = "refused"
        except UnknownOutcomeError:
            pass
        else:
            call.outcome, call.index, call.result = "applied", applied.index, applied.result
        call.ended_at = trio.current_time()
        return call
