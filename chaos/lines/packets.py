"""Lines that lose packets: TCP over two network interfaces between which this process is the wire.

Both are TUN devices in network namespaces of their own. What the kernel sends through one of them
is read here and written to the other, or not: its TCP then does what it does on a bad network
(retransmits, backs off, waits behind a hole), which no relay of bytes can show. The namespaces end
with the descriptors that hold them; nothing is left behind, whatever ends the run.
"""

import ctypes
import fcntl
import os
import random
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from typing import Final, TypeVar

import trio

__all__ = ["PacketWire"]

_T = TypeVar("_T")

#: linux/sched.h, linux/if_tun.h
_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000

#: Addresses that exist only in the two namespaces (RFC 5737: for documentation).
_NEAR, _FAR = "192.0.2.1", "192.0.2.2"
_DEVICE: Final = "wire0"
_PACKET_BYTES_MAX: Final = 65535

#: IPv4: where the header's length stands, the protocol, and TCP's number.
_LENGTH_MASK: Final = 0x0F
_PROTOCOL_AT: Final = 9
_TCP: Final = 6


class _End:
    """One namespace with one end of the wire in it."""

    def __init__(self, address: str, peer: str) -> None:
        self.address = address
        self.tun = -1
        self._namespace = -1
        self._run_apart(lambda: self._make(peer))

    def make_socket(self) -> socket.socket:
        """A TCP socket that lives in this namespace for ever, whoever uses it."""
        return self._run_apart(self._make_socket)

    def close(self) -> None:
        """The device and the namespace end with the last socket in it."""
        for descriptor in (self.tun, self._namespace):
            os.close(descriptor)

    def _run_apart(self, act: Callable[[], _T]) -> _T:
        """In a thread of its own: a namespace is a thread's, and this one's must not change."""
        results: list[_T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(act())
            except BaseException as error:  # noqa: BLE001 - raised again by who asked
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def _make(self, peer: str) -> None:
        _check(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET), "unshare")
        thread = threading.get_native_id()
        self._namespace = os.open(f"/proc/self/task/{thread}/ns/net", os.O_RDONLY)
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        request = struct.pack("16sH22x", _DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(self.tun, _TUNSETIFF, request)
        # The child is forked by this thread, so it is in this thread's namespace.
        for words in (
            ("addr", "add", self.address, "peer", peer, "dev", _DEVICE),
            ("link", "set", _DEVICE, "up"),
        ):
            subprocess.run(("ip", *words), check=True, capture_output=True, timeout=10)

    def _make_socket(self) -> socket.socket:
        _check(ctypes.CDLL(None, use_errno=True).setns(self._namespace, _CLONE_NEWNET), "setns")
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        return sock


class PacketWire:
    """Two ends and what is between them.

    Attributes:
        loss: shares of packets that vanish, both ways, by the far end's port.
        lost, passed: how many did and did not.
    """

    def __init__(self) -> None:
        """Lay it.

        Raises:
            OSError: not root, no TUN device, or no namespaces.
            subprocess.SubprocessError: `ip` does not work here.
        """
        self._near = _End(_NEAR, _FAR)
        self._far = _End(_FAR, _NEAR)
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
            if self._vanishes(packet, port_at):
                self.lost += 1
                continue
            self.passed += 1
            try:
                os.write(sink, packet)
            except BlockingIOError:
                self.lost += 1  # as a full queue does

    def _vanishes(self, packet: bytes, port_at: int) -> bool:
        if packet[0] >> 4 != 4 or packet[_PROTOCOL_AT] != _TCP:
            return True  # IPv6 looks for neighbours: there are none
        at = (packet[0] & _LENGTH_MASK) * 4 + port_at
        share = self.loss.get(int.from_bytes(packet[at : at + 2], "big"), 0.0)
        return share > 0.0 and random.random() < share


def _check(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
