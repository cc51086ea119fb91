"""Changes of a running system that go wrong, race with fail-overs, or happen under load."""

import http.client
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.system import REPLICA
from trioroute.client.applying import ProvisioningFailedError
from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.testing import LocalCluster, local_cluster
from trioroute.wire.resources import Credentials

#: The goal's figure is 50,000 (TRIOROUTE_ROTATION_REQUESTS=50000): a minute of a whole core.
ROTATION_REQUESTS = int(os.environ.get("TRIOROUTE_ROTATION_REQUESTS", "2000"))

ENDPOINT = "name: echo\nauth_mode: key\ntraffic: {blue: 100}\ndescription: '0'\n"
DEPLOYMENT = """\
name: blue
endpoint_name: echo
instance_type: any
instance_count: 2
request_settings: {max_concurrent_requests_per_instance: 16, max_queue_wait_ms: 10000}
properties: {trioroute.command: "COMMAND"}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "records").mkdir()
    (tmp_path / "e.yml").write_text(ENDPOINT)
    write_command(tmp_path, f"{sys.executable} {REPLICA} {{port}} {tmp_path / 'records'} 0")
    return tmp_path


@pytest.fixture
def cluster(files: Path) -> Iterator[LocalCluster]:
    with local_cluster(files) as cluster:
        yield cluster


def write_command(folder: Path, command: str) -> None:
    (folder / "d.yml").write_text(DEPLOYMENT.replace("COMMAND", command))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_failed_rollout_keeps_the_old_serving_and_shows_what_was_printed(
    cluster: LocalCluster, files: Path
) -> None:
    good = (files / "d.yml").read_text()
    (files / "broken.py").write_text("print('about to fail')\nimport no_such_module\n")
    write_command(files, f"{sys.executable} {files / 'broken.py'} {{port}}")
    with pytest.raises(ProvisioningFailedError) as raised:
        cluster.client.apply(files)
    message = str(raised.value)
    assert "2 of the version before go on serving" in message
    assert "about to fail" in message
    assert "ModuleNotFoundError" in message
    for number in range(20):
        assert cluster.invoke("echo", number) == str(number)
    before = {path.name for path in (files / "records").iterdir()}
    (files / "d.yml").write_text(good)
    cluster.client.apply(files)
    assert {path.name for path in (files / "records").iterdir()} == before, "none was restarted"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_acknowledged_writes_survive_the_coordinator_s_death(cluster: LocalCluster) -> None:
    """Writers go on while coordinators are killed; what was acknowledged is never lost."""
    acknowledged = [0]
    outcomes: Counter[str] = Counter()
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            endpoint = {"name": "echo", "auth_mode": "key", "description": str(number)}
            try:
                cluster.client.endpoints.begin_create_or_update(endpoint)
            except (ProblemAnswerError, UnreachableError) as error:
                outcomes[getattr(error, "code", "") or "unreachable"] += 1
            else:
                acknowledged.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            cluster.kill_coordinator()
            count = len(acknowledged)
            deadline = time.monotonic() + 20
            while len(acknowledged) < count + 3 and time.monotonic() < deadline:
                time.sleep(0.05)
    finally:
        stop.set()
        writer.join(60)
    found = int(cluster.client.endpoints.get("echo").description)
    # Whole or not at all: the last acknowledged one, or one whose outcome was not known after it.
    assert acknowledged[-1] <= found <= acknowledged[-1] + 1
    assert len(acknowledged) > 10
    assert set(outcomes) <= {"TR0810", "TR0811", "unreachable"}, outcomes


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_keys_are_rotated_under_load_without_a_401(cluster: LocalCluster) -> None:
    """Clients use whichever key was told last; keys change all the time."""
    keys = cluster.client.endpoints.get_keys("echo")
    assert isinstance(keys, Credentials)
    current = [keys.primary_key]
    statuses: Counter[int] = Counter()
    stop = threading.Event()

    def score() -> None:
        parts = urlsplit(cluster.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        while not stop.is_set():
            headers = {"authorization": f"Bearer {current[0]}"}
            connection.request("POST", "/api/v1/service/echo/score", b"1", headers)
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
        connection.close()

    clients = [threading.Thread(target=score) for _ in range(4)]
    for each in clients:
        each.start()
    rotations = 0
    try:
        while statuses.total() < ROTATION_REQUESTS or rotations < 4:
            # As Azure's users do it: renew the key that nobody uses, then use that one.
            kind = "primary" if rotations % 2 else "secondary"
            new = cluster.client.endpoints.begin_regenerate_keys("echo", key_type=kind).result()
            current[0] = new.primary_key if kind == "primary" else new.secondary_key
            rotations += 1
    finally:
        stop.set()
        for each in clients:
            each.join(30)
    assert set(statuses) == {200}, statuses
    print(f"\n{statuses.total()} requests, {rotations} rotations")
