"""HTTPS in front of a real `up`, with new certificates while it runs, and TLS behind it."""

import shutil
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Self

import pytest
import trio
import trustme

from tests.e2e.system import ENDPOINT, PATIENCE_S, running_up, score, write_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

#: A replica that can speak TLS, and asks for a certificate then.
REPLICA = Path(__file__).with_name("http_replica.py")

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
    write_files(tmp_path / "files", replicas=1, service_s=0.01, request_timeout_ms=20_000)
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


DEPLOYMENT = """\
name: blue
endpoint_name: witness
instance_type: local
instance_count: 1
readiness_probe: {initial_delay: 0, period: 1, timeout: 2}
properties:
  trioroute.command: "COMMAND"
  trioroute.replica_tls: "true"
  trioroute.replica_tls_name: model.internal
"""


def test_replicas_that_speak_tls_are_probed_and_asked_with_it(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    for name in ("model.internal", "front-end.internal"):
        issued = authority.issue_cert(name)
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / name))
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "endpoint.yml").write_text(ENDPOINT)
    words = [sys.executable, REPLICA, "--port", "{port}", "--tls"]
    words += [tmp_path / "model.internal", tmp_path / "authority.pem"]
    command = " ".join(map(str, words))
    (folder / "blue.yml").write_text(DEPLOYMENT.replace("COMMAND", command))
    own = tmp_path / "front-end.internal"
    options = ["--replica-authority", tmp_path / "authority.pem"]
    options += ["--replica-certificate", own, "--replica-key", own]
    with running_up(folder, *map(str, options), "--limit", "upstream_idle_s=30") as system:
        assert "blue 1/1 ready" in system.screen
        answers = [trio.run(score, system.scoring, f"{n}") for n in range(4)]
        assert {answer.status for answer in answers} == {200}
        log = (folder / "data" / "log" / "fe-0.log").read_text()
        assert "set on the command line: --limit=upstream_idle_s=30.0" in log


def certificate_of_new_connection(port: int, authority: trustme.CA) -> bytes:
    with Client(port, authority) as client:
        return client.certificate()
