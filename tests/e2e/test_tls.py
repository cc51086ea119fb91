"""HTTPS beside HTTP under a real `up`: both versions, and new certificates while it runs."""

import shutil
import socket
import ssl
import time
from pathlib import Path
from typing import Self

import pytest
import trio
import trustme

from tests.e2e.system import PATIENCE_S, running_up, score, write_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

REQUEST = (
    b"POST /api/v1/service/witness/score HTTP/1.1\r\nhost: witness\r\n"
    b"content-length: 5\r\n\r\nhello"
)


def write_pair(folder: Path, authority: trustme.CA) -> bytes:
    """A new certificate and key, each replaced in one step; returns the certificate."""
    issued = authority.issue_cert("127.0.0.1")
    for name, pem in (("key", issued.private_key_pem), ("cert", issued.cert_chain_pems[0])):
        pem.write_to_path(str(folder / f"{name}.draft"))
        shutil.move(folder / f"{name}.draft", folder / f"{name}.pem")
    return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())


class Client:
    """A connection that is kept alive."""

    def __init__(
        self, port: int, authority: trustme.CA, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2", "http/1.1"])
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.tls = context.wrap_socket(sock, server_hostname="127.0.0.1")

    def score(self) -> bytes:
        self.tls.sendall(REQUEST)
        received = b""
        while not received.endswith(b"hello"):
            data = self.tls.recv(65536)
            assert data, received
            received += data
        return received

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.tls.close()

    def certificate(self) -> bytes:
        return self.tls.getpeercert(binary_form=True) or b""


def test_https_in_both_versions_and_new_certificates_drop_nobody(tmp_path: Path) -> None:
    authority = trustme.CA()
    first = write_pair(tmp_path, authority)
    (tmp_path / "files").mkdir()
    write_files(tmp_path / "files", replicas=1, service_s=0.01)
    options = ["--tls-certificate", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem"]
    with running_up(tmp_path / "files", *map(str, options), "--tls-port", "0") as system:
        url = next(line for line in system.screen.splitlines() if "https://" in line)
        port = int(url.rpartition(":")[2])
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with Client(port, authority, version) as client:
                assert client.tls.selected_alpn_protocol() == "http/1.1"
                assert client.score().startswith(b"HTTP/1.1 200 ")
                assert client.certificate() == first
        assert trio.run(score, system.scoring, "plain").status == 200

        with Client(port, authority) as early:
            second = write_pair(tmp_path, authority)
            # Each worker looks by itself: new connections until one has the new certificate …
            deadline = time.monotonic() + PATIENCE_S
            while certificate_of_new_connection(port, authority) != second:
                assert time.monotonic() < deadline, "the new certificate is not used"
                time.sleep(0.2)
            # … and the connection of before goes on.
            assert early.certificate() == first
            assert early.score().startswith(b"HTTP/1.1 200 ")


def certificate_of_new_connection(port: int, authority: trustme.CA) -> bytes:
    with Client(port, authority) as client:
        return client.certificate()
