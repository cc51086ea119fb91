"""`trioroute up` says what it cannot do, and what serves where."""

from pathlib import Path

import pytest

from trioroute.admin.resources.vault import EndpointKeys
from trioroute.app.host.ports import ScoringSockets, open_listening_socket
from trioroute.app.laptop.front_ends import Layout
from trioroute.app.up import Running
from trioroute.cli.main import main
from trioroute.cli.up import UpScreen
from trioroute.core.status import (
    ClusterStatus,
    CoordinatorStatus,
    DeploymentStatus,
    EndpointStatus,
    ReplicaCondition,
    ReplicaStatus,
)

STATUS = ClusterStatus(
    reporter="fe-0",
    coordinator=CoordinatorStatus(name="fe-1", epoch=3),
    endpoints=(
        EndpointStatus(
            name="wine",
            deployments=(
                DeploymentStatus(
                    endpoint="wine",
                    name="blue",
                    traffic_percent=90,
                    replicas=(
                        ReplicaStatus(id="a", state=ReplicaCondition.READY, slots=1),
                        ReplicaStatus(id="b", state=ReplicaCondition.STARTING, slots=1),
                    ),
                ),
            ),
        ),
    ),
)


def refusal(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["up", *options])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_missing_file_touches_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refusal(capsys, str(tmp_path / "none.yml"), "--data", str(tmp_path / "data"))
    assert "TR0001" in said
    assert not (tmp_path / "data").exists()


def test_the_screen_tells_how_to_score_watch_and_stop(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with open_listening_socket("127.0.0.1", 0, option="--port") as listening:
        port = listening.getsockname()[1]
        layout = Layout(
            data=tmp_path,
            lock_fd=0,
            host="127.0.0.1",
            listening=ScoringSockets(listening),
            admin_ports={"fe-0": 9090, "fe-1": 9091},
            peer_ports={"fe-0": 1, "fe-1": 2},
            peer_files={},
            workers=1,
            drain_s=5.0,
        )
        running = Running(
            layout=layout,
            endpoints={"wine": "/api/v1/service/wine/score", "open": "/", "tok": "/tok"},
            keys={"wine": EndpointKeys("first", "second")},
            takes_tokens=frozenset({"tok"}),
            samples={"wine": tmp_path / "request.json"},
            status=STATUS,
            started_in_s=1.25,
            demo=None,
            drills=None,
        )
        UpScreen().show(running)
    shown = capsys.readouterr().out
    assert "✓ front-end fe-0 fe-1 up (1.2 s)" in shown
    assert "✓ coordinator fe-1, epoch 3" in shown
    assert "✓ endpoint wine: blue 1/2 ready (90 %)" in shown
    assert (
        f"curl http://127.0.0.1:{port}/api/v1/service/wine/score "
        "-H 'Content-Type: application/json' -H 'Authorization: Bearer first' "
        f"-d @{tmp_path / 'request.json'}"
    ) in shown
    assert f"curl http://127.0.0.1:{port}/ -H 'Content-Type: application/json' -d '{{}}'" in shown
    assert f'-H "Authorization: Bearer $(trioroute token tok --data {tmp_path})" -d' in shown
    assert "http://127.0.0.1:9090  http://127.0.0.1:9091" in shown
    assert "second" not in shown
    assert "Ctrl-C" in shown
