"""Azure's safe rollout for online endpoints, `trioroute` written for `az ml`, under traffic."""

import http.client
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import attrs
import pytest

from tests.e2e.system import REPLICA, System, command_line, running_up, write_files

ENDPOINT = """\
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json
name: my-endpoint
auth_mode: key
"""

DEPLOYMENT = """\
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: COLOUR
endpoint_name: my-endpoint
instance_type: Standard_DS3_v2
instance_count: 1
request_settings: {max_concurrent_requests_per_instance: 4, max_queue_wait_ms: 10000}
environment_variables: {RELEASE: "1"}
properties:
  trioroute.command: "COMMAND"
"""
CLIENTS = 3


@attrs.define
class Client:
    """Scores without a pause on one connection each, and keeps what did not work."""

    host: str
    port: int
    key: str
    answered: Counter[int] = attrs.field(factory=Counter)
    failed: list[str] = attrs.field(factory=list)
    _stop: threading.Event = attrs.field(factory=threading.Event)
    _threads: list[threading.Thread] = attrs.field(factory=list)

    def start(self) -> None:
        for number in range(CLIENTS):
            thread = threading.Thread(target=self._run, args=(number,))
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        while not self._stop.is_set():
            headers = {"authorization": f"Bearer {self.key}"}
            try:
                path = "/api/v1/service/my-endpoint/score"
                connection.request("POST", path, f"c{number}", headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
                continue
            if answer.status == 200:
                self.answered[number] += 1
            else:
                self.failed.append(f"{answer.status} {body!r}")
        connection.close()


def run(system: System, command: str, *, status: int = 0) -> str:
    """One line of the script."""
    done = subprocess.run(
        command_line(*command.split()),
        env={**os.environ, "TRIOROUTE_DATA": str(system.data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout if status == 0 else done.stderr


def write_story(folder: Path) -> None:
    folder.mkdir()
    (folder / "endpoint.yml").write_text(ENDPOINT)
    (folder / "request.json").write_text('{"data": [1]}')
    for colour in ("blue", "green"):
        (folder / f"records-{colour}").mkdir()
        line = f"{sys.executable} {REPLICA} {{port}} {folder / f'records-{colour}'} 0.02"
        text = DEPLOYMENT.replace("COLOUR", colour).replace("COMMAND", line)
        (folder / f"{colour}.yml").write_text(text)


def served_by(folder: Path, colour: str) -> int:
    return sum(
        '"begin"' in line
        for path in (folder / f"records-{colour}").iterdir()
        for line in path.read_text().splitlines()
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_story_drops_no_request(tmp_path: Path) -> None:
    up, story = tmp_path / "up", tmp_path / "story"
    up.mkdir()
    write_files(up, replicas=1, service_s=0.01)
    write_story(story)
    one = "--endpoint my-endpoint --name"
    request = f"--request-file {story / 'request.json'}"
    with running_up(up) as system:
        run(system, f"online-endpoint create --name my-endpoint -f {story / 'endpoint.yml'}")
        run(system, f"online-endpoint create -n my-endpoint -f {story / 'endpoint.yml'}", status=5)
        run(system, f"online-deployment create -f {story / 'blue.yml'} {one} blue --all-traffic")
        keys = json.loads(run(system, "online-endpoint get-credentials -n my-endpoint"))
        client = Client(*system.scoring, keys["secondaryKey"])
        client.start()
        try:
            run(system, f"online-endpoint invoke --name my-endpoint {request}")
            run(system, f"online-deployment update {one} blue --set instance_count=2")
            run(system, f"online-deployment create {one} green --file {story / 'green.yml'}")
            answer = run(
                system, f"online-endpoint invoke -n my-endpoint --deployment green {request}"
            )
            assert answer == '{"data": [1]}\n'
            assert served_by(story, "green") == 1
            # The source changes: new replicas beside the old ones, and no request is dropped.
            variable = "environment_variables.RELEASE=2"
            run(system, f"online-deployment update {one} blue --set {variable}")
            assert len(list((story / "records-blue").iterdir())) == 4
            run(system, "online-endpoint regenerate-keys -n my-endpoint --key-type primary")
            run(system, "online-endpoint update -n my-endpoint --mirror-traffic green=10")
            run(system, "online-endpoint update -n my-endpoint --mirror-traffic green=0")
            run(system, "traffic my-endpoint blue=9 green=1", status=5)
            split = run(system, "traffic my-endpoint blue=90 green=rest")
            assert split == "traffic of my-endpoint: blue 100 → 90, green 0 → 10\n"
            shown = run(system, "online-endpoint show -n my-endpoint --query traffic -o tsv")
            assert shown == "90\t10\n"
            refused = run(system, f"online-deployment delete {one} blue --yes", status=5)
            assert "90 % of the traffic" in refused
            run(system, "traffic my-endpoint blue=0 green=100")
            run(system, f"online-deployment delete {one} blue --yes --no-wait")
            run(system, f"online-deployment get-logs {one} green --lines 100")
        finally:
            client.stop()
        new = json.loads(run(system, "online-endpoint get-credentials -n my-endpoint"))
        assert new["primaryKey"] != keys["primaryKey"]
        run(system, "delete my-endpoint", status=5)
        run(system, "online-endpoint delete --name my-endpoint --yes --no-wait")
        assert "my-endpoint" not in run(system, "get endpoints")
    assert client.failed == []
    assert sum(client.answered.values()) > 100
    assert served_by(story, "green") > 10
