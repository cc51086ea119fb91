"""TLS: contexts that follow their files, and a stream that speaks TLS over a socket.

The stream has the same calls as `SocketStream`, so nothing above knows the difference. Encryption
runs through memory BIOs: Trio's own SSLStream would bring back the checkpoints that
`net.stream` avoids, and cannot tell "nothing there yet" from "wait".
"""

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Final

from trioroute.net.reactor import Reactor
from trioroute.net.stream import SocketStream, StreamBrokenError

__all__ = ["ClientTls", "ServerTls", "TlsStream"]

#: One TLS record; a larger plaintext write would only be split by the library.
_RECORD_BYTES: Final = 16 * 1024


#: What tells one state of some files from another: of each, when it was written and which it is.
_Stamp = tuple[tuple[int, int], ...]


def _stamp(*files: Path | None) -> _Stamp:
    """The files' state now.

    Raises:
        OSError: one is missing.
    """
    stats = [file.stat() for file in files if file is not None]
    return tuple((stat.st_mtime_ns, stat.st_ino) for stat in stats)


class ServerTls:
    """The listener's context, made anew when the certificate or key file changes.

    Connections that are open keep the context they began with, so a reload drops none. A pair of
    files that does not fit together (one replaced, the other not yet) leaves the old context in
    use; the next look tries again.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Load both files.

        Raises:
            OSError: a file cannot be read (`ssl.SSLError` when it is no certificate or key).
        """
        self._certificate = certificate
        self._key = key
        self._stamp = _stamp(certificate, key)
        self.context = self._load()
        self.reloads = 0
        self.error: str | None = None

    def reload_if_changed(self) -> bool:
        """Look at the files; returns True when a new context is in use from now on."""
        try:
            stamp = _stamp(self._certificate, self._key)
            if stamp == self._stamp:
                return False
            self.context = self._load()
        except OSError as error:
            self.error = str(error)
            return False
        self._stamp = stamp
        self.error = None
        self.reloads += 1
        return True

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._certificate, self._key)
        return context


class ClientTls:
    """The context for connections to replicas, made when first needed and anew when files change.

    Certificates are always verified: TLS to somebody unknown protects from nobody. A replica's
    own certificate may be the authority's file, and the name to expect is the dialler's to say.
    """

    def __init__(
        self,
        authority: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        """Remember the files; they are read when the first connection is opened.

        Args:
            authority: PEM of the certificates to trust; None for the system's.
            certificate, key: PEM to show replicas that ask who we are; None for nobody.
        """
        self._authority = authority
        self._certificate = certificate
        self._key = key
        self._stamp: _Stamp | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """For a connection that is opened now: what the files said when last they fitted together.

        Raises:
            OSError: they never did (`ssl.SSLError` when one is no certificate or key).
        """
        try:
            # Looked at for each new connection: those are few, and three `stat` cost nothing beside
            # a handshake.
            stamp = _stamp(self._authority, self._certificate, self._key)
            if self._context is None or stamp != self._stamp:
                self._context = self._load()
                self._stamp = stamp
        except OSError:
            if self._context is None:
                raise
        return self._context

    def _load(self) -> ssl.SSLContext:
        authority = None if self._authority is None else str(self._authority)
        context = ssl.create_default_context(cafile=authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if self._certificate is not None:
            # An empty password, or OpenSSL would ask a terminal that nobody watches.
            context.load_cert_chain(self._certificate, self._key, password="")
        return context


class TlsStream(SocketStream):  # house: as its base, and the handshake
    """A `SocketStream` with TLS in between.

    `send_nowait` may have accepted bytes that are still here as ciphertext: `is_flushed` tells,
    and `send_all` waits for it.
    """

    __slots__ = ("_incoming", "_is_aborted", "_is_dry", "_outgoing", "_pending", "_tls")

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        server_hostname: str | None = None,
    ) -> None:
        """Wrap a connected socket.

        Args:
            server_hostname: the name to verify when we are the client; None when we are the server.
        """
        super().__init__(sock)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._pending = b""
        # Whether the last read found nothing: one socket read can bring several records.
        self._is_dry = True
        self._is_aborted = False
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
        )

    def attach(self, reactor: Reactor) -> None:
        """Not watched: one edge can bring several records, and a record is no edge."""

    async def wait_readable(self) -> None:
        """As in `SocketStream`: returns at once while records may be left from the last read."""
        if self._is_dry:
            await super().wait_readable()
        self._is_dry = True

    async def do_handshake(self) -> None:
        """Finish the handshake.

        Raises:
            StreamBrokenError: the peer left, or no version, cipher or certificate fits.
            StreamInterruptedError: see `interrupt`.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError as error:
                with contextlib.suppress(StreamBrokenError):
                    self._flush_nowait()  # the alert that tells the peer why
                raise StreamBrokenError(str(error)) from None
            else:
                await self._flush()
                return

    def receive_nowait(self) -> bytes | None:
        """As in `SocketStream`; an end without close_notify counts as a break."""
        self._is_dry = False
        while True:
            try:
                return self._tls.read(self.receive_bytes)
            except ssl.SSLWantReadError:
                data = super().receive_nowait()
                if data is None:
                    self._is_dry = True
                    return None
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise StreamBrokenError(str(error)) from None

    def send_nowait(self, data: bytes | memoryview) -> int:
        """As in `SocketStream`, at most one record a call."""
        if not self._flush_nowait() or not data:
            return 0
        try:
            sent = self._tls.write(memoryview(data)[:_RECORD_BYTES])
        except ssl.SSLError as error:
            raise StreamBrokenError(str(error)) from None
        self._flush_nowait()
        return sent

    async def send_all(self, data: bytes | memoryview) -> None:
        """As in `SocketStream`."""
        rest = memoryview(data)
        while rest or not self.is_flushed():
            sent = self.send_nowait(rest)
            rest = rest[sent:]
            if not sent and (rest or not self.is_flushed()):
                await self.wait_writable()

    def is_flushed(self) -> bool:
        """Whether no ciphertext waits here."""
        return not self._pending and not self._outgoing.pending

    def is_quiet(self) -> bool:
        """Whether nothing has arrived; tickets and other records without data do not count."""
        if super().is_quiet():
            return True
        try:
            return self.receive_nowait() is None
        except StreamBrokenError:
            return False

    def shutdown_send(self) -> None:
        """Send close_notify and FIN."""
        self._say_goodbye()
        super().shutdown_send()

    def close(self) -> None:
        """Close; close_notify goes out if the peer's window has room for it."""
        if not self.is_closed and not self._is_aborted:
            self._say_goodbye()
        super().close()

    def reset(self) -> None:
        """Close with RST and without close_notify: TLS peers too must see a break."""
        self._is_aborted = True
        super().reset()

    def _say_goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        with contextlib.suppress(StreamBrokenError):
            self._flush_nowait()

    def _flush_nowait(self) -> bool:
        while self._pending or self._outgoing.pending:
            if not self._pending:
                self._pending = self._outgoing.read()
            sent = super().send_nowait(self._pending)
            if not sent:
                return False
            self._pending = self._pending[sent:]
        return True

    async def _flush(self) -> None:
        while not self._flush_nowait():
            await self.wait_writable()

    async def _fill(self) -> None:
        while (data := super().receive_nowait()) is None:
            await self.wait_readable()
        if not data:
            raise StreamBrokenError("the peer left during the handshake")
        self._incoming.write(data)
