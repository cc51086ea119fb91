"""The seam between a member and whatever carries its frames: sessions, events, and the inbox.

A session is one ordered, loss-free, duplicate-free stream of frames between two members; when it
breaks, everything in it is lost and the next one has another number. Raft's core relies on that
order (DESIGN.md gap 1.4), so every event names its session and a member drops the others.
"""

from collections import deque
from typing import Final, Protocol

import attrs
import trio

from consensus.clock import Clock

__all__ = [
    "Event",
    "FrameArrived",
    "Inbox",
    "PeerDied",
    "SessionClosed",
    "SessionOpened",
    "Transport",
]

#: Frames waiting for the driver. A reader that finds it full waits, which the sender feels as TCP
#: back-pressure and answers by closing the session.
INBOX_EVENTS_MAX: Final = 1024


@attrs.frozen
class SessionOpened:
    """A session with an authenticated peer began; it replaces any earlier one with that peer."""

    peer: str
    session: int
    incarnation: int


@attrs.frozen
class SessionClosed:
    """The session ended, for whatever reason."""

    peer: str
    session: int


@attrs.frozen
class PeerDied:
    """The process that had this incarnation is gone: its port refuses, or a later one answers."""

    peer: str
    incarnation: int


@attrs.frozen
class FrameArrived:
    """One whole frame of a session."""

    peer: str
    session: int
    data: bytes


Event = SessionOpened | SessionClosed | PeerDied | FrameArrived


class Inbox:
    """A bounded queue of events with one reader, the member's driver."""

    def __init__(self, wake: trio.Event | None = None) -> None:
        self.wake = wake or trio.Event()
        self._events: deque[Event] = deque()
        self._full = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._events)

    async def put(self, event: Event) -> None:
        """Add an event; frames wait while the inbox is full, the rarer events never do."""
        while isinstance(event, FrameArrived) and len(self._events) >= INBOX_EVENTS_MAX:
            await self._full.park()
        self.put_nowait(event)

    def put_nowait(self, event: Event) -> None:
        """Add an event whatever the length; for events that are bounded by their nature."""
        self._events.append(event)
        self.wake.set()

    def take(self, count_max: int) -> list[Event]:
        """Remove and return the oldest events, and arm `wake` again for what comes next."""
        taken = [self._events.popleft() for _ in range(min(count_max, len(self._events)))]
        self.wake = trio.Event()
        if self._events:
            self.wake.set()
        self._full.unpark_all()
        return taken


class Transport(Protocol):
    """Carries frames between members. Implementations: `consensus.memory`, `consensus.tcp`."""

    @property
    def clock(self) -> Clock:
        """The clock that the member of this transport lives by."""
        ...

    async def run(
        self,
        inbox: Inbox,
        incarnation: int,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Open, keep and report sessions until cancelled; started once peers can reach us."""
        ...

    def send_nowait(self, peer: str, session: int, frame: bytes) -> None:
        """Queue a frame. Silently dropped when that session is over; a full queue ends it."""
        ...

    def close_session(self, peer: str, session: int) -> None:
        """End a session that its member thinks dead, at once and without waiting for the peer."""
        ...
