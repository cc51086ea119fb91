"""TLS over real sockets against the standard library's client, and contexts that follow files."""

import contextlib
import os
import socket
import ssl
from pathlib import Path

import pytest
import trio
import trustme

from trioroute.net.stream import StreamBrokenError
from trioroute.net.tls import ClientTls, ServerTls, TlsStream


def files(folder: Path, authority: trustme.CA) -> tuple[Path, Path]:
    """A new certificate and its key in their files."""
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    return certificate, key


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    peer.settimeout(5)
    return accepted, peer


@pytest.fixture
def authority() -> trustme.CA:
    """Whom the clients trust."""
    return trustme.CA()


@pytest.fixture
def server(tmp_path: Path, authority: trustme.CA) -> ServerTls:
    """A server's context from files."""
    return ServerTls(*files(tmp_path, authority))


def trusting(authority: trustme.CA, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_speak_http_1_1_and_carry_large_data(
    server: ServerTls, authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    sock, peer = connected()
    stream = TlsStream(sock, server.context)
    sent, answer = os.urandom(300_000), os.urandom(300_000)

    def client() -> tuple[str | None, bytes]:
        with trusting(authority, version).wrap_socket(peer, server_hostname="127.0.0.1") as tls:
            tls.sendall(sent)
            got = b""
            while len(got) < len(answer):
                got += tls.recv(65536)
            return tls.selected_alpn_protocol(), got

    async def serve() -> None:
        await stream.do_handshake()
        got = b""
        while len(got) < len(sent):
            await stream.wait_readable()
            got += stream.receive_nowait() or b""
        assert got == sent
        await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        assert await trio.to_thread.run_sync(client) == ("http/1.1", answer)
    stream.close()


async def test_an_older_version_is_refused(server: ServerTls, authority: trustme.CA) -> None:
    sock, peer = connected()
    stream = TlsStream(sock, server.context)

    def client() -> None:
        context = trusting(authority)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with peer, pytest.raises(ssl.SSLError):
            context.wrap_socket(peer, server_hostname="127.0.0.1")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, client)
        with pytest.raises(StreamBrokenError):
            await stream.do_handshake()
        stream.reset()


async def test_plain_http_on_the_tls_port_is_a_break(server: ServerTls) -> None:
    sock, peer = connected()
    stream = TlsStream(sock, server.context)
    with peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(StreamBrokenError):
            await stream.do_handshake()
        stream.reset()


async def test_the_two_ends_fit_and_an_idle_end_is_quiet(
    server: ServerTls, authority: trustme.CA, tmp_path: Path
) -> None:
    sock, peer = connected()
    trust = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trust))
    one = TlsStream(sock, server.context)
    other = TlsStream(peer, ClientTls(trust).context(), server_hostname="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.do_handshake)
        nursery.start_soon(other.do_handshake)
    # A TLS 1.3 server sends tickets after the handshake: bytes, and yet nothing arrived.
    assert other.is_quiet()
    await one.send_all(b"data")
    assert not other.is_quiet() or await other.receive() == b"data"
    one.shutdown_send()
    assert not other.is_quiet()
    one.close()
    other.close()


def test_new_files_make_a_new_context_and_broken_ones_keep_the_old(
    server: ServerTls, authority: trustme.CA, tmp_path: Path
) -> None:
    before = server.context
    assert not server.reload_if_changed()
    other = authority.issue_cert("127.0.0.1")
    key = tmp_path / "key.pem"
    other.private_key_pem.write_to_path(str(key))  # the certificate is still the old one
    os.utime(key, ns=(1, 1))
    assert not server.reload_if_changed()
    assert server.context is before
    assert server.error
    other.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    assert server.reload_if_changed()
    assert server.context is not before
    assert server.reloads == 1


def test_a_clients_context_follows_its_files(authority: trustme.CA, tmp_path: Path) -> None:
    trust = tmp_path / "trust.pem"
    tls = ClientTls(trust)
    with pytest.raises(OSError, match="No such file"):
        tls.context()
    authority.cert_pem.write_to_path(str(trust))
    first = tls.context()
    assert tls.context() is first
    assert first.verify_mode is ssl.CERT_REQUIRED
    assert first.check_hostname
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "next.pem"))
    (tmp_path / "next.pem").replace(trust)
    second = tls.context()
    assert second is not first
    trust.write_text("no certificate")
    assert tls.context() is second
    trust.unlink()
    assert tls.context() is second


async def test_a_replica_that_asks_is_shown_our_certificate(
    authority: trustme.CA, tmp_path: Path
) -> None:
    for name in ("theirs", "ours"):
        issued = authority.issue_cert("127.0.0.1" if name == "theirs" else "front-end.test")
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / name))
    trust = tmp_path / "trust.pem"
    authority.cert_pem.write_to_path(str(trust))
    asking = ServerTls(tmp_path / "theirs", tmp_path / "theirs").context
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(trust)
    for ours, is_welcome in ((tmp_path / "ours", True), (None, False)):
        sock, peer = connected()
        one = TlsStream(sock, asking)
        other = TlsStream(peer, ClientTls(trust, ours, ours).context(), server_hostname="127.0.0.1")
        with contextlib.ExitStack() as ends:
            for stream in (one, other):
                ends.callback(stream.reset)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(other.do_handshake)
                if is_welcome:
                    await one.do_handshake()
                else:
                    with pytest.raises(StreamBrokenError):
                        await one.do_handshake()
