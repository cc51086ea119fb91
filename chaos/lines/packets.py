"""Lines that lose packets: TCP over two network interfaces between which this process is the wire.

Both are TUN devices in network namespaces of their own. What the kernel sends through one of them
is read here and written to the other, or not: its TCP then does what it does on a bad network
(retransmits, backs off, waits behind a hole), which no relay of bytes can show. The namespaces end
with the descriptors that hold them; nothing is left behind, whatever ends the run.
"""

import contextlib
import os
import random
import socket
from typing import Final

import trio

from chaos.lines.namespace import Namespace

__all__ = ["PacketWire"]

#: Addresses that exist only in the two namespaces (RFC 5737: for documentation).
_NEAR, _FAR = "192.0.2.1", "192.0.2.2"
_PACKET_BYTES_MAX: Final = 65535

#: IPv4: where the header's length stands, the protocol, and TCP's number.
_LENGTH_MASK: Final = 0x0F
_PROTOCOL_AT: Final = 9
_TCP: Final = 6


class PacketWire:
    """Two ends and what is between them.

    Attributes:
        loss: shares of packets that vanish, both ways, by the far end's port.
        lost, passed: how many of TCP's did, by their share, and how many did not.
    """

    def __init__(self) -> None:
        """Lay it.

        Raises:
            OSError: not root, no TUN device, or no namespaces.
            subprocess.SubprocessError: `ip` does not work here.
        """
        self._near = Namespace(_NEAR, "peer", _FAR)
        self._far = Namespace(_FAR, "peer", _NEAR)
        self.loss: dict[int, float] = {}
        self.lost = self.passed = 0

    def listen(self) -> socket.socket:
        """A listening socket at the far end."""
        sock = self._far.make_socket()
        sock.bind((_FAR, 0))
        sock.listen(64)
        return sock

    async def connect(self, port: int) -> trio.SocketStream:
        """From the near end to a port of the far one.

        Raises:
            OSError: nobody listens there, or no packet passes.
        """
        sock = trio.socket.from_stdlib_socket(self._near.make_socket())
        try:
            await sock.connect((_FAR, port))
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)

    async def run(self) -> None:
        """Be the wire until cancelled."""
        near, far = self._near.tun, self._far.tun
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry, near, far, 2)
            nursery.start_soon(self._carry, far, near, 0)

    def close(self) -> None:
        """Take it away."""
        self._near.close()
        self._far.close()

    async def _carry(self, source: int, sink: int, port_at: int) -> None:
        """Args: port_at: where the far end's port stands in the TCP header of this direction."""
        while True:
            await trio.lowlevel.wait_readable(source)
            packet = os.read(source, _PACKET_BYTES_MAX)
            if packet[0] >> 4 != 4 or packet[_PROTOCOL_AT] != _TCP:
                continue  # IPv6 looks for neighbours: there are none, and that is no fault's doing
            if self._vanishes(packet, port_at):
                self.lost += 1
                continue
            # Dropped as a full queue does, which is no fault's doing either.
            with contextlib.suppress(BlockingIOError):
                os.write(sink, packet)
                self.passed += 1

    def _vanishes(self, packet: bytes, port_at: int) -> bool:
        at = (packet[0] & _LENGTH_MASK) * 4 + port_at
        share = self.loss.get(int.from_bytes(packet[at : at + 2], "big"), 0.0)
        return share > 0.0 and random.random() < share
