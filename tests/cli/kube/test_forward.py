"""Verbs reach a system in a cluster by themselves, by a real WebSocket to a real admin API."""

import json
import socket
from pathlib import Path

import pytest

from tests.cli.console import open_console
from tests.k8s.cluster import NAMESPACE
from tests.k8s.running import RunningCluster
from trioroute.cli.kube import forward
from trioroute.cli.kube.access import Access, open_access
from trioroute.cli.kube.forward import Forward
from trioroute.cli.main import main
from trioroute.client.saved.settings import find_settings


@pytest.fixture
def access(environment: dict[str, str]) -> Access:
    return open_access(find_settings(None, None, environment))


def run(capsys: pytest.CaptureFixture[str], line: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_verbs_go_through_the_cluster(
    cluster: RunningCluster,
    environment: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_console(tmp_path, capsys) as console:
        cluster.make_front_end("trioroute-0", console.url)
        console(f"apply {console.write('blue')}")
        status, out, _ = run(capsys, "get endpoints -o json")
        assert status == 0
        assert [row["name"] for row in json.loads(out)] == ["fraud"]
        # Again in the same process: the tunnel is kept.
        assert run(capsys, "status -o json")[0] in (0, 1)
    targets = [target for _, target in cluster.inner.server.log]
    assert any("/pods/trioroute-0/portforward?ports=" in target for target in targets)


def test_a_context_names_a_cluster(
    cluster: RunningCluster,
    environment: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = environment["TRIOROUTE_KUBECONFIG"]
    for name in ("TRIOROUTE_NAMESPACE", "TRIOROUTE_KUBECONFIG"):
        monkeypatch.delenv(name)
    line = f"config set prod --namespace {NAMESPACE} --kubeconfig {file} --kube-context fake"
    assert run(capsys, line)[0] == 0
    with open_console(tmp_path, capsys) as console:
        cluster.make_front_end("trioroute-0", console.url)
        status, _, err = run(capsys, "get endpoints")
        assert status == 0, err
    status, _, err = run(capsys, f"config set prod --kube-context other --kubeconfig {file}")
    assert status == 0
    status, _, err = run(capsys, "get endpoints")
    assert status == 2
    assert "other" in err
    status, _, err = run(capsys, "config set both --namespace a --admin http://127.0.0.1:9")
    assert (status, "one of them" in err) == (2, True)


def test_nobody_there_is_said_with_what_to_do(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "get endpoints")
    assert status == 3
    assert f"no front-end runs in namespace {NAMESPACE}" in err
    assert "trioroute doctor" in err


def test_a_right_that_is_missing_is_named(
    cluster: RunningCluster,
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.write_kubeconfig(Path(environment["TRIOROUTE_KUBECONFIG"]), token="router")
    # The router's own account may list pods, and forward no port.
    cluster.make_front_end("trioroute-0", "http://127.0.0.1:9")
    status, _, err = run(capsys, "get endpoints")
    assert status == 3
    assert "port-forward to trioroute-0:9: " in err
    assert "403" in err
    cluster.write_kubeconfig(Path(environment["TRIOROUTE_KUBECONFIG"]), token="unknown")
    forward._TUNNELS.clear()
    status, _, err = run(capsys, "get endpoints")
    assert status == 3
    assert "Unauthorized" in err


def test_a_port_where_nobody_listens_is_told(cluster: RunningCluster, access: Access) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    cluster.make_front_end("trioroute-0", f"http://127.0.0.1:{port}")
    told: list[str] = []
    listening = Forward(access, "trioroute-0", port, told.append)
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", int(listening.url.rpartition(":")[2]))) as one:
            assert one.recv(100) == b""
    listening.close()
    assert len(told) == 1, "once is enough"
    assert f"port-forward to trioroute-0:{port}: error forwarding port {port}" in told[0]


def test_every_byte_arrives_both_ways(cluster: RunningCluster, access: Access) -> None:
    """More than a frame's short lengths, and a close right behind the last byte."""
    data = bytes(range(256)) * 1024
    with socket.create_server(("127.0.0.1", 0)) as pod:
        port = pod.getsockname()[1]
        cluster.make_front_end("trioroute-0", f"http://127.0.0.1:{port}")
        listening = Forward(access, "trioroute-0", port, print)
        here = socket.create_connection(("127.0.0.1", int(listening.url.rpartition(":")[2])))
        there, _ = pod.accept()
        with here, there:
            here.sendall(data[:100] + data)
            assert _read(there, 100 + len(data)) == data[:100] + data
            there.sendall(data)
            there.shutdown(socket.SHUT_RDWR)
            assert _read(here, len(data)) == data
            assert here.recv(1) == b""
        listening.close()


def _read(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        data = connection.recv(65536)
        assert data, f"{len(found)} of {count} bytes"
        found += data
    return found
