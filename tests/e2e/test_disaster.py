"""All volumes are lost: what was exported is the same system again, for clients too."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.system import REPLICA, command_line
from trioroute.testing import LocalCluster, local_cluster

DEPLOYMENT = """\
name: blue
endpoint_name: echo
instance_type: any
instance_count: 1
request_settings: {max_concurrent_requests_per_instance: 4, max_queue_wait_ms: 10000}
properties: {trioroute.command: "COMMAND"}
"""


def run(cluster: LocalCluster, *words: object) -> str:
    done = subprocess.run(
        command_line(*words, "--data", cluster.data),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_new_system_takes_over_endpoints_traffic_and_keys(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    files = tmp_path / "files"
    files.mkdir()
    command = f"{sys.executable} {REPLICA} {{port}} {tmp_path / 'records'} 0"
    (files / "e.yml").write_text("name: echo\nauth_mode: key\ntraffic: {blue: 100}\n")
    (files / "d.yml").write_text(DEPLOYMENT.replace("COMMAND", command))
    saved = tmp_path / "saved.yml"
    with local_cluster(files) as cluster:
        keys = cluster.client.endpoints.get_keys("echo")
        run(cluster, "export", "--with-keys", "-f", saved)
    # Its folder is gone; the next one has another, and another secret.
    with local_cluster(front_ends=1) as cluster:
        out = run(cluster, "import", saved)
        assert out == "endpoint echo created\ndeployment echo/blue created\n"
        assert cluster.client.endpoints.get_keys("echo") == keys
        assert cluster.invoke("echo", 1) == "1"
        assert "unchanged" in run(cluster, "import", saved)
