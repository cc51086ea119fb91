"""The cluster that trioroute offers to others' tests, with real processes."""

import sys
from pathlib import Path

import pytest

import trioroute
from tests.e2e.system import REPLICA
from trioroute.testing import ClusterError, local_cluster

DEPLOYMENT = """\
name: blue
endpoint_name: echo
instance_type: any
instance_count: 2
request_settings: {max_concurrent_requests_per_instance: 4, max_queue_wait_ms: 10000}
properties: {trioroute.command: "COMMAND"}
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_requests_go_on_when_the_coordinator_is_killed(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    command = f"{sys.executable} {REPLICA} {{port}} {tmp_path / 'records'} 0"
    (tmp_path / "e.yml").write_text("name: echo\nauth_mode: key\ntraffic: {blue: 100}\n")
    (tmp_path / "d.yml").write_text(DEPLOYMENT.replace("COMMAND", command))
    with local_cluster(tmp_path) as cluster:
        assert cluster.invoke("echo", 1) == "1"
        # Its admin addresses are all that anybody has to know.
        admin = ",".join(cluster.client.system.admin_urls)
        assert trioroute.connect(admin).online_endpoints.invoke("echo", 3) == "3"
        keys = cluster.client.endpoints.get_keys("echo")
        old = cluster.coordinator()
        new = cluster.kill_coordinator()
        assert new.epoch > old.epoch
        assert cluster.invoke("echo", 2) == "2"
        assert cluster.client.endpoints.get_keys("echo") == keys


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_what_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="TR0006"), local_cluster(tmp_path):
        raise AssertionError("it must not start")
