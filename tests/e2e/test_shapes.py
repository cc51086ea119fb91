"""Every shape of the system serves, and its witness would see a limit that does not hold."""

import http.client
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from tests.e2e.system import (
    REPLICA,
    Outcome,
    command_line,
    offer_load,
    read_records,
    running_up,
    write_files,
)
from trioroute.app.host.ports import reserved_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


#: In one process `tests/app/test_supervisor.py` has one to four front-ends.
@pytest.mark.parametrize(
    ("front_ends", "workers"),
    [
        (1, 0),
        (1, 2),
        pytest.param(2, 1, marks=pytest.mark.long),
        pytest.param(3, 0, marks=pytest.mark.long),
        (5, 1),
    ],
    ids=str,
)
def test_any_number_of_front_ends_and_workers_serves(
    front_ends: int, workers: int, tmp_path: Path
) -> None:
    write_files(tmp_path, replicas=2, service_s=0.01, request_timeout_ms=20_000)
    outcomes: list[Outcome] = []
    shape = ["--front-ends", str(front_ends), "--workers", str(workers)]
    with running_up(tmp_path, *shape) as system:
        trio.run(offer_load, system, outcomes, 50.0, 1.0)
        assert len(system.admin_urls) == front_ends
    assert [outcome.status for outcome in outcomes] == [200] * 50
    assert read_records(tmp_path).running_max == 1


def test_the_access_log_has_a_line_for_each_request_of_all_workers(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=2, service_s=0.01, request_timeout_ms=20_000)
    outcomes: list[Outcome] = []
    log = tmp_path / "access.log"
    with running_up(tmp_path, "--workers", "2", "--access-log", str(log)) as system:
        trio.run(offer_load, system, outcomes, 50.0, 1.0)
    written = [json.loads(line) for line in log.read_text().splitlines()]
    lines = [line for line in written if "ready" not in line]  # starts of replicas
    assert len(lines) == len(outcomes) == 50
    assert {line["status"] for line in lines} == {200}
    assert {line["front_end"] for line in lines} <= {"fe-0", "fe-1", "fe-2"}
    assert len({line["request_id"] for line in lines}) == 50


@pytest.mark.parametrize("workers", [pytest.param("0", marks=pytest.mark.long), "1"])
def test_a_trusted_proxys_request_id_is_kept(tmp_path: Path, workers: str) -> None:
    write_files(tmp_path, replicas=1, service_s=0.01, request_timeout_ms=20_000)
    shape = ["--front-ends", "1", "--workers", workers]
    for believed in (False, True):
        trust = ["--trusted-proxy", "127.0.0.1"] * believed
        with running_up(tmp_path, *shape, *trust, "--no-address-cap") as system:
            connection = http.client.HTTPConnection(*system.scoring, timeout=10)
            path = "/api/v1/service/witness/score"
            connection.request("POST", path, b"1", {"x-request-id": "edge-7"})
            answer = connection.getresponse()
            assert answer.status == 200
            assert (answer.getheader("x-request-id") == "edge-7") is believed
            connection.close()


def test_a_folder_keeps_its_number_of_voters(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0.01, request_timeout_ms=20_000)
    with running_up(tmp_path, "--front-ends", "1") as system:
        data = system.data
    line = command_line("up", "--data", data, "--port", 0, "--admin-port", 0, "--front-ends", 3)
    refused = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2, refused.stderr
    assert "was made with 1, of which 1 votes" in refused.stderr


def test_for_seconds_it_ends_by_itself(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0.01, request_timeout_ms=20_000)
    with running_up(tmp_path, "--front-ends", "1", "--for", "1") as system:
        assert system.process.wait(20) == 0


def test_the_witness_sees_two_requests_at_once(tmp_path: Path) -> None:
    """Without a router in between: what all other tests here rely on."""
    (tmp_path / "records").mkdir()
    with reserved_ports("127.0.0.1", 1) as (port,), running_witness(tmp_path, port) as replica:
        first, second = (_connect(port) for _ in range(2))
        request = b"POST /score HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n"
        first.sendall(request + b"1")
        second.sendall(request + b"2")
        assert all(sock.recv(100).startswith(b"HTTP/1.1 200") for sock in (first, second))
        first.close()
        second.close()
        replica.kill()
    assert read_records(tmp_path).running_max == 2


def running_witness(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, str(REPLICA), str(port), str(folder / "records"), "0.3"]
    return subprocess.Popen(command)


def _connect(port: int) -> socket.socket:
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
