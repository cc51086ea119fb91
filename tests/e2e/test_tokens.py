"""A token endpoint in a real system: fetched, presented, revoked."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.system import REPLICA, command_line
from trioroute.testing import LocalCluster, local_cluster
from trioroute.wire.resources import ScoringToken

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DEPLOYMENT = """\
name: blue
endpoint_name: echo
instance_type: any
request_settings: {max_concurrent_requests_per_instance: 4, max_queue_wait_ms: 10000}
properties: {trioroute.command: "COMMAND"}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """One for all tests here: a token endpoint, and one front-end."""
    tmp_path = tmp_path_factory.mktemp("tokens")
    (tmp_path / "records").mkdir()
    command = f"{sys.executable} {REPLICA} {{port}} {tmp_path / 'records'} 0"
    (tmp_path / "e.yml").write_text("name: echo\nauth_mode: aml_token\ntraffic: {blue: 100}\n")
    (tmp_path / "d.yml").write_text(DEPLOYMENT.replace("COMMAND", command))
    with local_cluster(tmp_path, front_ends=1) as cluster:
        yield cluster


def run(cluster: LocalCluster, *words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command_line(*words, "--data", cluster.data),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_token_opens_until_it_is_revoked(cluster: LocalCluster, tmp_path: Path) -> None:
    fetched = run(cluster, "token", "echo", "--ttl", "1m")
    assert fetched.returncode == 0, fetched.stderr
    file = tmp_path / "token"
    file.write_text(fetched.stdout)
    with_it = ("invoke", "echo", "-d", "7", "--token-file", file)
    assert run(cluster, *with_it).stdout == "7\n"
    # Without one, the verb fetches its own.
    assert run(cluster, "invoke", "echo", "-d", "8").stdout == "8\n"
    assert cluster.invoke("echo", 9) == "9"
    found = cluster.client.endpoints.get_keys("echo")
    assert isinstance(found, ScoringToken)
    assert run(cluster, "token", "echo", "--revoke").returncode == 0
    refused = run(cluster, *with_it)
    assert refused.returncode == 1
    assert "echo answered 401" in refused.stderr
    file.write_text(found.access_token)
    assert "echo answered 401" in run(cluster, *with_it).stderr
    # The next one is signed with a new key.
    assert cluster.invoke("echo", 10) == "10"


def test_the_token_of_another_endpoint_opens_nothing(cluster: LocalCluster, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "e.yml").write_text("name: other\nauth_mode: aml_token\n")
    cluster.client.apply(other)
    token = cluster.client.endpoints.get_token("other").access_token
    file = tmp_path / "token"
    file.write_text(token)
    refused = run(cluster, "invoke", "echo", "-d", "7", "--token-file", file)
    assert "echo answered 401" in refused.stderr
