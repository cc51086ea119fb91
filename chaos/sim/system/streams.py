"""Connections between front-ends: bytes in order, late or held back as the network's faults say.

The cuts, delays and losses are those of the `MemoryNetwork` that the members of consensus use, so
one fault hits both. As with TCP nothing is lost, doubled or reordered within a connection; a cut
holds bytes back until it heals; a machine that goes dark says nothing at all.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import trio

from consensus.memory import MemoryNetwork

__all__ = ["Accept", "WireEnd", "Wires"]

#: Takes the accepting end of a connection and the name of who connected.
Accept = Callable[[trio.abc.Stream, str], None]

#: What a lost packet costs until it is sent again.
_RETRANSMIT_S: Final = 0.2
#: How often a receiver behind a cut looks whether it has healed.
_LOOK_S: Final = 0.02
#: More bytes than this under way make the sender wait, as full socket buffers do.
_BUFFER_BYTES: Final = 256 * 1024


class Wires:
    """Opens connections between front-ends by name.

    Args:
        stamp: the log entry that a front-end follows by now, by its name.
    """

    def __init__(
        self, network: MemoryNetwork, rng: random.Random, stamp: Callable[[str], int]
    ) -> None:
        self.stamp = stamp
        self._network = network
        self._rng = rng
        self._listening: dict[str, Accept] = {}
        # In the order of dialling: a set would have them in that of their addresses in memory, and
        # one seed two histories.
        self._ends: dict[str, dict[WireEnd, None]] = {}

    def listen(self, name: str, accept: Accept) -> None:
        """The peers port of a front-end is open."""
        self._listening[name] = accept

    def stop_listening(self, name: str, *, has_power: bool = True) -> None:
        """Its process has ended: the kernel closes what was open, unless the machine is dark."""
        self._listening.pop(name, None)
        for end in [*self._ends.get(name, ())]:
            end.hang_up(says_so=has_power)

    async def connect(self, source: str, target: str) -> "WireEnd":
        """Dial; over a cut it takes for ever.

        Raises:
            OSError: nobody listens there.
        """
        await trio.sleep(self.delay_s())
        while not (self.is_open(source, target) and self.is_open(target, source)):
            await trio.sleep(_LOOK_S)
        await trio.sleep(self.delay_s())
        accept = self._listening.get(target)
        if accept is None:
            raise ConnectionRefusedError(f"nobody listens at {target}")
        there, back = _Pipe(source, target), _Pipe(target, source)
        mine, theirs = WireEnd(self, there, back), WireEnd(self, back, there)
        self._ends.setdefault(source, {})[mine] = None
        self._ends.setdefault(target, {})[theirs] = None
        accept(theirs, source)
        return mine

    def is_open(self, source: str, target: str) -> bool:
        """Whether anything gets from one to the other now."""
        return source == target or self._network.is_open(source, target)

    def delay_s(self) -> float:
        """How long the next packet travels."""
        delay_s = self._rng.uniform(*self._network.delay_s)
        return delay_s + (_RETRANSMIT_S if self._rng.random() < self._network.loss else 0.0)

    def forget(self, name: str, end: "WireEnd") -> None:
        """A connection is closed."""
        self._ends.get(name, {}).pop(end, None)


@attrs.define(eq=False)
class _Pipe:
    """One direction: what is under way, and from when each piece may be read. b"" is the end.

    With each piece goes the log entry that its sender followed.
    """

    source: str
    target: str
    pieces: deque[tuple[float, bytes, int]] = attrs.field(factory=deque)
    size: int = 0
    ready_at: float = 0.0
    is_unread: bool = False
    changed: trio.Event = attrs.field(factory=trio.Event)

    def put(self, data: bytes, delay_s: float, stamp: int = 0) -> None:
        """Send a piece on its way."""
        self.ready_at = max(self.ready_at, trio.current_time() + delay_s)
        self.pieces.append((self.ready_at, data, stamp))
        self.size += len(data)
        self.note()

    def note(self) -> None:
        """Wake who waits for this pipe."""
        self.changed.set()
        self.changed = trio.Event()


class WireEnd(trio.abc.Stream):
    """One end of a connection.

    Attributes:
        stamp: the log entry that the other end followed when it sent what was received last.
    """

    def __init__(self, wires: Wires, sending: _Pipe, receiving: _Pipe) -> None:
        self._wires = wires
        self._sending = sending
        self._receiving = receiving
        self._is_closed = False
        self.stamp = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Queue bytes; wait while too many are under way."""
        await trio.lowlevel.checkpoint()
        pipe = self._sending
        while pipe.size > _BUFFER_BYTES and not (self._is_closed or self._is_known_unread()):
            await pipe.changed.wait()
        if self._is_closed:
            raise trio.ClosedResourceError
        if self._is_known_unread():
            raise trio.BrokenResourceError("nobody reads this any more")
        pipe.put(bytes(data), self._wires.delay_s(), self._wires.stamp(pipe.source))

    async def wait_send_all_might_not_block(self) -> None:
        """As a stream must."""
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002
        """What has arrived; empty at the end."""
        await trio.lowlevel.checkpoint()
        pipe = self._receiving
        while not self._is_closed:
            now = trio.current_time()
            if not pipe.pieces:
                await pipe.changed.wait()
            elif pipe.pieces[0][0] > now:
                with trio.move_on_at(pipe.pieces[0][0]):
                    await pipe.changed.wait()
            elif not self._wires.is_open(pipe.source, pipe.target):
                await trio.sleep(_LOOK_S)
            else:
                return self._take()
        raise trio.ClosedResourceError

    async def aclose(self) -> None:
        """Close; the other end hears of it when the network lets it."""
        self.hang_up(says_so=True)
        await trio.lowlevel.checkpoint()

    def hang_up(self, *, says_so: bool) -> None:
        """Close from outside, as a kernel does for a process that has ended."""
        if self._is_closed:
            return
        self._is_closed = True
        if says_so:
            self._sending.put(b"", self._wires.delay_s())
            self._receiving.is_unread = True
        self._receiving.note()
        self._wires.forget(self._sending.source, self)

    def _is_known_unread(self) -> bool:
        pipe = self._sending
        return pipe.is_unread and self._wires.is_open(pipe.target, pipe.source)

    def _take(self) -> bytes:
        pipe = self._receiving
        _, data, stamp = pipe.pieces[0]
        if data:  # the end is read again and again
            self.stamp = stamp
            pipe.pieces.popleft()
            pipe.size -= len(data)
            pipe.note()
        return data
