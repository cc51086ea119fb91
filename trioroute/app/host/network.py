"""The peers port: consensus and slot links share it, over TCP in real front-ends."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import trio

from consensus import MemberConfig, PeerAddress, SettingsError, Transport
from consensus.certificates import PeerTls
from consensus.errors import HandshakeError
from consensus.tcp import TcpTransport, open_peer_stream
from trioroute.app.host.ports import is_loopback
from trioroute.errors import ConfigError, LinkLostError

__all__ = ["SLOTS_PROTOCOL", "Network", "TcpNetwork"]

#: What a slot link calls itself in the first frame on the peers port.
SLOTS_PROTOCOL: Final = "slots"

ServeStream = Callable[[trio.abc.Stream, str], Awaitable[None]]


class Network(Protocol):
    """How front-ends reach one another."""

    def transport(self, config: MemberConfig, protocols: Mapping[str, ServeStream]) -> Transport:
        """What carries a member's frames; streams of other protocols go to their servers."""

    async def open_slot_stream(self, address: PeerAddress, front_end: str) -> trio.abc.Stream:
        """A stream to the coordinator at that address, for a worker of a front-end."""


class TcpNetwork:
    """The peers port over TCP.

    Args:
        tls: this front-end's certificates; None only where all peers are on this machine.
    """

    def __init__(self, tls: PeerTls | None = None) -> None:
        self._tls = tls

    def transport(self, config: MemberConfig, protocols: Mapping[str, ServeStream]) -> Transport:
        """See `Network`.

        Raises:
            ConfigError: peers on other machines, which only TLS may connect.
        """
        own = config.address(config.name)
        try:
            return TcpTransport(
                config,
                tls=self._tls,
                listen_host=own.host if is_loopback(own.host) else None,
                other_protocols=protocols,
            )
        except SettingsError as error:
            raise ConfigError(f"--peers: {error}") from None

    async def open_slot_stream(self, address: PeerAddress, front_end: str) -> trio.abc.Stream:
        """See `Network`.

        Raises:
            LinkLostError: whoever answers there is not that front-end.
            OSError, trio.BrokenResourceError, trio.TooSlowError: nobody answers properly.
        """
        try:
            return await open_peer_stream(address, SLOTS_PROTOCOL, front_end, self._tls)
        except HandshakeError as error:
            raise LinkLostError(f"{address.name}: {error}") from None
