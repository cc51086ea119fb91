"""A network namespace for each front-end, and this process as the switch between them all.

Whatever a front-end sends and hears goes through it packet by packet, so a fault is one of all its
traffic: peers, slot links, replicas, clients. Who is outside (model servers, clients, the onlooker)
shares one more namespace, the run's own: nothing of it is seen on the machine, and nothing is left.
"""

import contextlib
import os
import random
from collections.abc import Iterable, Sequence
from typing import Final

import attrs
import trio

from chaos.lines.namespace import Namespace, open_device

__all__ = ["OUTSIDE", "Networks", "Treatment"]

#: The name of whoever is no front-end.
OUTSIDE: Final = ""

#: RFC 2544: for tests of networks, never routed.
_NETWORK: Final = "198.18.0"
_PREFIX_LENGTH: Final = 24
_OUTSIDE_HOST: Final = 1
_FIRST_HOST: Final = 10

#: IPv4: where source and destination stand in the header.
_SOURCE_AT, _SINK_AT, _HEADER_BYTES = 12, 16, 20
_PACKET_BYTES_MAX: Final = 65535
#: So many packets of one device before others get their turn.
_BURST: Final = 32


@attrs.frozen(kw_only=True)
class Treatment:
    """What becomes of the packets from one place to another.

    Attributes:
        loss: the share that vanishes, 1 for all.
        delay_s, jitter_s: the others come so much later, plus up to the jitter; some overtake.
    """

    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0


class Networks:
    """The namespaces, and the switch.

    Attributes:
        lost, delayed, passed: how many packets vanished by their treatment, were held up by it, and
            arrived.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Make them; only after `enter_private_network`, and the outside's device is there.

        Raises:
            OSError: not root, no TUN device, or no namespaces.
            subprocess.SubprocessError: `ip` does not work here.
        """
        self.lost = self.delayed = self.passed = 0
        self._hosts = {OUTSIDE: _OUTSIDE_HOST}
        self._hosts |= {name: _FIRST_HOST + number for number, name in enumerate(names)}
        self._names = {bytes((198, 18, 0, host)): name for name, host in self._hosts.items()}
        self._treatments: dict[tuple[str, str], Treatment] = {}
        self._outside = open_device(self._with_prefix(OUTSIDE))
        self._namespaces = {name: Namespace(self._with_prefix(name)) for name in names}
        self._devices = {name: one.tun for name, one in self._namespaces.items()}
        self._devices[OUTSIDE] = self._outside

    @property
    def names(self) -> list[str]:
        """Of all front-ends."""
        return [*self._namespaces]

    def address(self, name: str) -> str:
        """Where it is reached by everybody."""
        return f"{_NETWORK}.{self._hosts[name]}"

    def wrapper(self, name: str) -> tuple[str, ...]:
        """The command that another one runs under to be in a front-end's namespace."""
        return ("nsenter", f"--net={self._namespaces[name].path}")

    def treat(
        self, treatment: Treatment, *, senders: Iterable[str], receivers: Iterable[str]
    ) -> None:
        """From now on packets from any of these to any of those are treated so."""
        to = list(receivers)
        for sender in senders:
            self._treatments |= {(sender, receiver): treatment for receiver in to}

    def heal(self) -> None:
        """Everything passes again."""
        self._treatments.clear()

    async def run(self) -> None:
        """Be the switch until cancelled."""
        async with trio.open_nursery() as nursery:
            for device in self._devices.values():
                nursery.start_soon(self._carry, device, nursery)

    def close(self) -> None:
        """Take it away."""
        os.close(self._outside)
        for one in self._namespaces.values():
            one.close()

    def _with_prefix(self, name: str) -> str:
        return f"{self.address(name)}/{_PREFIX_LENGTH}"

    async def _carry(self, device: int, nursery: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(device)
            for _ in range(_BURST):
                try:
                    packet = os.read(device, _PACKET_BYTES_MAX)
                except BlockingIOError:
                    break
                self._pass(packet, nursery)

    def _pass(self, packet: bytes, nursery: trio.Nursery) -> None:
        sender = self._names.get(packet[_SOURCE_AT:_SINK_AT])
        receiver = self._names.get(packet[_SINK_AT:_HEADER_BYTES])
        if packet[0] >> 4 != 4 or sender is None or receiver is None:
            return  # IPv6 looks for neighbours: there are none
        treatment = self._treatments.get((sender, receiver))
        if treatment is None:
            self._write(self._devices[receiver], packet)
        elif treatment.loss and random.random() < treatment.loss:
            self.lost += 1
        else:
            self.delayed += treatment.delay_s > 0
            delay_s = treatment.delay_s + random.uniform(0, treatment.jitter_s)
            nursery.start_soon(self._write_later, delay_s, self._devices[receiver], packet)

    async def _write_later(self, delay_s: float, device: int, packet: bytes) -> None:
        await trio.sleep(delay_s)
        self._write(device, packet)

    def _write(self, device: int, packet: bytes) -> None:
        # Dropped as a full queue does: that is no fault's doing, and no proof that one was felt.
        with contextlib.suppress(BlockingIOError):
            os.write(device, packet)
            self.passed += 1
