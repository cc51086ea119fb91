"""A network in memory: seeded delays and losses, one-way cuts, late frames of dead sessions.

Sessions behave as TCP's do: frames arrive in order or not at all, a lost packet is late, a cut
holds frames back until it heals or the session ends, a process that dies sends its FIN if it can.
The late frames of a session that was replaced arrive too, so receivers must tell sessions apart.
"""

import itertools
import random
from collections import deque
from typing import Final

import attrs
import trio

from consensus.clock import Clock, TrioClock
from consensus.transport import (
    Event,
    FrameArrived,
    Inbox,
    PeerDied,
    SessionClosed,
    SessionOpened,
)

__all__ = ["MemoryNetwork", "MemoryTransport"]

#: Between attempts to reach a peer, plus as much again at random.
_DIAL_EVERY_S: Final = 0.05
#: What a lost packet costs until TCP sends it again.
_RETRANSMIT_S: Final = 0.2
#: A frame that travels for longer than this is late.
_SOON_S: Final = 0.01
#: A queue longer than this ends its session, as it does on real sockets.
_QUEUE_FRAMES_MAX: Final = 4096


@attrs.define
class _Flow:
    """One direction of one session: events with the time from which each may be delivered."""

    source: str
    target: str
    session: int
    events: deque[tuple[float, Event]] = attrs.field(factory=deque)
    ready_at: float = 0.0


# house: half of it is the faults that tests call, half what its own transports call
class MemoryNetwork:
    """Connects the transports it hands out, by name.

    Args:
        seed: decides every delay and loss.
        delay_s: shortest and longest time a frame travels.
        loss: the share of frames that arrive only after a retransmission.
    """

    def __init__(
        self, *, seed: int = 0, delay_s: tuple[float, float] = (0.0005, 0.002), loss: float = 0.0
    ) -> None:
        self.delay_s = delay_s
        self.loss = loss
        #: How many frames were late by now: slow, lost, or met a cut.
        self.late_count = 0
        self._rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._sessions = itertools.count(1)
        self._members: dict[str, MemoryTransport] = {}
        self._flows: dict[tuple[str, str, int], _Flow] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._frozen: set[str] = set()

    def transport(self, name: str, *, clock: Clock | None = None) -> "MemoryTransport":
        """A transport for one life of a member; its clock is Trio's unless another is given."""
        return MemoryTransport(self, name, clock or TrioClock())

    # Faults.

    def cut(self, source: str, target: str) -> None:
        """Nothing gets from source to target any more, until healed."""
        self._cuts.add((source, target))

    def isolate(self, name: str, others: list[str]) -> None:
        """Cut a member off from others, both ways."""
        for other in others:
            self.cut(name, other)
            self.cut(other, name)

    def heal(self, source: str | None = None, target: str | None = None) -> None:
        """End cuts: of one direction when both are named, else all."""
        if source is not None and target is not None:
            self._cuts.discard((source, target))
        else:
            self._cuts.clear()
        self._wake_all()

    def freeze(self, name: str) -> None:
        """The process stopped (SIGSTOP): its kernel buffers, but it answers no new session."""
        self._frozen.add(name)

    def thaw(self, name: str) -> None:
        """The process goes on."""
        self._frozen.discard(name)

    def power_off(self, name: str) -> None:
        """The machine is gone: its transport, cancelled afterwards, sends no FIN."""
        member = self._members.pop(name, None)
        if member is not None:
            member.has_power = False
        for key in [key for key in self._flows if key[0] == name]:
            flow = self._flows.pop(key)
            never_opened = any(isinstance(event, SessionOpened) for _, event in flow.events)
            target = self._members.get(flow.target)
            if never_opened and target and target.sessions.get(name) == flow.session:
                del target.sessions[name]  # nobody there knows of it, so nobody would close it

    # What transports call.

    def is_open(self, source: str, target: str) -> bool:
        """Whether frames get from source to target."""
        return (source, target) not in self._cuts

    def attach(self, member: "MemoryTransport") -> None:
        """A member's process is up."""
        self._members[member.name] = member

    def detach(self, member: "MemoryTransport") -> None:
        """A member's process ended; its kernel closes its sessions."""
        if self._members.get(member.name) is not member:
            return
        del self._members[member.name]
        for peer, session in list(member.sessions.items()):
            self.push(member.name, peer, session, SessionClosed(member.name, session))

    def jitter(self) -> float:
        """A number below one, from this network's seed."""
        return self._rng.random()

    def names(self) -> list[str]:
        """Every member that is up."""
        return sorted(self._members)

    def dial(self, source: str, target: str) -> None:
        """Open a session if the target is up and both directions are."""
        caller, callee = self._members.get(source), self._members.get(target)
        # The caller may have been killed in the turn in which it was to dial.
        if caller is None or callee is None or {source, target} & self._frozen:
            return
        if not (self.is_open(source, target) and self.is_open(target, source)):
            return
        session = next(self._sessions)
        caller.sessions[target] = callee.sessions[source] = session
        self.push(source, target, session, SessionOpened(source, session, caller.incarnation))
        self.push(target, source, session, SessionOpened(target, session, callee.incarnation))

    def push(self, source: str, target: str, session: int, event: Event) -> bool:
        """Put an event on its way. False when the queue is full."""
        key = (source, target, session)
        flow = self._flows.setdefault(key, _Flow(source, target, session))
        if len(flow.events) >= _QUEUE_FRAMES_MAX:
            return False
        delay = self._rng.uniform(*self.delay_s)
        if self._rng.random() < self.loss:
            delay += _RETRANSMIT_S
        self.late_count += delay > _SOON_S or not self.is_open(source, target)
        flow.ready_at = max(flow.ready_at, trio.current_time() + delay)
        flow.events.append((flow.ready_at, event))
        if target in self._members:
            self._members[target].wake()
        return True

    def arrivals(self, target: str) -> tuple[list[Event], float]:
        """What reaches a member now, and when to ask again."""
        now, due = trio.current_time(), float("inf")
        events: list[Event] = []
        for key in [key for key in self._flows if key[1] == target]:
            flow = self._flows[key]
            if not self.is_open(flow.source, target):
                continue
            while flow.events and flow.events[0][0] <= now:
                events.append(flow.events.popleft()[1])
            if flow.events:
                due = min(due, flow.events[0][0])
            elif self._is_over(flow):
                del self._flows[key]
        return events, due

    def proof_of_death(self, peer: str, session_incarnation: int, asker: str) -> PeerDied | None:
        """What an immediate redial after a closed session tells: refused means dead."""
        if peer in self._members or not (self.is_open(asker, peer) and self.is_open(peer, asker)):
            return None
        return PeerDied(peer, session_incarnation)

    def _is_over(self, flow: _Flow) -> bool:
        source = self._members.get(flow.source)
        return source is None or source.sessions.get(flow.target) != flow.session

    def _wake_all(self) -> None:
        for member in self._members.values():
            member.wake()


class MemoryTransport:
    """One member's end of a MemoryNetwork; the Protocol is `consensus.transport.Transport`."""

    def __init__(self, network: MemoryNetwork, name: str, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self.incarnation = 0
        self.has_power = True
        self.sessions: dict[str, int] = {}
        self._network = network
        self._incarnations: dict[str, int] = {}
        self._woken = trio.Event()

    async def run(
        self,
        inbox: Inbox,
        incarnation: int,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Be reachable until cancelled."""
        self.incarnation = incarnation
        self._network.attach(self)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._dial_for_ever)
                nursery.start_soon(self._receive_for_ever, inbox)
                task_status.started()
        finally:
            self._network.detach(self)

    def send_nowait(self, peer: str, session: int, frame: bytes) -> None:
        """Queue a frame on its session."""
        if self.sessions.get(peer) != session:
            return
        if not self._network.push(
            self.name, peer, session, FrameArrived(self.name, session, frame)
        ):
            self.close_session(peer, session)

    def close_session(self, peer: str, session: int) -> None:
        """End a session; the peer hears of it if it can."""
        if self.sessions.get(peer) == session:
            del self.sessions[peer]
            self._network.push(self.name, peer, session, SessionClosed(self.name, session))

    def wake(self) -> None:
        """Something may have arrived."""
        self._woken.set()

    async def _dial_for_ever(self) -> None:
        while True:
            for peer in self._network.names():
                # The lower name dials; real transports let both and keep that one's session.
                if self.name < peer and peer not in self.sessions:
                    self._network.dial(self.name, peer)
            await trio.sleep(_DIAL_EVERY_S * (1 + self._network.jitter()))

    async def _receive_for_ever(self, inbox: Inbox) -> None:
        while True:
            self._woken = trio.Event()
            events, due = self._network.arrivals(self.name)
            for event in events:
                await self._receive(inbox, event)
            with trio.move_on_at(due):
                await self._woken.wait()

    async def _receive(self, inbox: Inbox, event: Event) -> None:
        match event:
            case SessionOpened(peer, _, incarnation):
                self._incarnations[peer] = incarnation
            case SessionClosed(peer, session) if self.sessions.get(peer) == session:
                del self.sessions[peer]
                await inbox.put(event)
                death = self._network.proof_of_death(peer, self._incarnations[peer], self.name)
                if death is not None:
                    await inbox.put(death)
                return
        await inbox.put(event)
