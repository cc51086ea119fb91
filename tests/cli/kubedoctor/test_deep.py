"""What `doctor --deep` finds in a cluster whose machines run its Jobs, and that nothing is left."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from chaos.sim.kubernetes_cluster.kubelet import Ended, Idle, Ready
from tests.cli.kubedoctor.test_requirements import Rows
from tests.k8s.cluster import NAMESPACE, wait_until
from tests.k8s.rendered import documents_of
from tests.k8s.running import RunningCluster, running_cluster
from trioroute.cli.kubedoctor import errands
from trioroute.cli.main import main

Json = dict[str, Any]

#: By RFC 6761 no resolver knows it.
NOWHERE = "nowhere.invalid"
PROMPT = "--timeout 20s"


class Machine(Idle):
    """Runs what doctor sends as processes of this machine, in whose place it stands.

    `meant` has what names and paths of the cluster are here.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.meant: dict[str, str] = {}
        self.ends: dict[str, Ended] = {}
        self.pulled: dict[str, str] = {}

    async def run(self, pod: Json, address: str, ready: Ready) -> None:
        (container,) = pod["spec"]["containers"]
        uid, command = pod["metadata"]["uid"], container.get("command")
        if command is None:
            await super().run(pod, address, ready)
        if command == ["/bin/true"]:
            self.pulled[container["image"]] = container["imagePullPolicy"]
            await trio.lowlevel.checkpoint()
            return
        python, flag, source, wish, place = command
        assert (python, flag, place) == ("python", "-c", "/dev/termination-log")
        for text, here in self.meant.items():
            wish = wish.replace(text, here)
        word = self.folder / uid
        words = [sys.executable, flag, source, wish, str(word)]
        ended = await trio.run_process(words, check=False)
        self.ends[uid] = Ended(ended.returncode, word.read_text() if word.exists() else "")

    def ended(self, uid: str) -> Ended:
        return self.ends.get(uid, Ended(0))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "words").mkdir()
    return Machine(tmp_path / "words")


@pytest.fixture
def cluster(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningCluster]:
    with running_cluster(is_alive=True, runtime=machine) as opened:
        monkeypatch.setenv("TRIOROUTE_CONFIG", str(tmp_path / "contexts.json"))
        monkeypatch.setenv("TRIOROUTE_NAMESPACE", NAMESPACE)
        path = opened.write_kubeconfig(tmp_path / "kubeconfig")
        monkeypatch.setenv("TRIOROUTE_KUBECONFIG", str(path))
        port = opened.inner.server.port
        machine.meant['"kubernetes.default.svc", 443'] = f'"127.0.0.1", {port}'
        for name in ("trioroute-0.trioroute-peers", "trioroute-peers"):
            machine.meant[f'"{name}", 0'] = '"localhost", 0'
        yield opened


@pytest.fixture
def door() -> Iterator[int]:
    """Where something listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def install(cluster: RunningCluster) -> None:
    """One front-end."""
    (stateful,) = (one for one in documents_of("base") if one["kind"] == "StatefulSet")
    stateful["metadata"].pop("namespace", None)
    labels = {"app.kubernetes.io/name": "trioroute"}  # kustomize's part
    stateful["spec"] |= {"replicas": 1, "selector": {"matchLabels": labels}}
    stateful["spec"]["template"]["metadata"] = {"labels": labels}
    cluster.make("StatefulSet", stateful)


def deploy(cluster: RunningCluster, **more: Any) -> None:
    """In the place of what the fixture has."""
    cluster.do(
        cluster.inner.change,
        "OnlineDeployment",
        "iris-blue",
        lambda old: {**old, "spec": {**old["spec"], **more}},
    )


def deep(capsys: pytest.CaptureFixture[str], line: str = PROMPT) -> Rows:
    with pytest.raises(SystemExit):
        main(["doctor", "--only", "kubernetes", "--deep", "-o", "json", *line.split()])
    rows = json.loads(capsys.readouterr().out)
    found = {row["id"].removeprefix("kubernetes."): row for row in rows}
    return {name: row for name, row in found.items() if name.startswith("deep")}


def expect_nothing_left(cluster: RunningCluster) -> None:
    def left() -> list[Json]:
        inner = cluster.inner
        pods = [one for one in inner.list("Pod") if errands.LABEL in one["metadata"]["labels"]]
        return [*inner.list("Job"), *pods]

    trio.from_thread.run(partial(wait_until, lambda: not left()), trio_token=cluster._token)


def test_what_machines_pull_and_pods_reach_is_told(
    cluster: RunningCluster, machine: Machine, door: int, capsys: pytest.CaptureFixture[str]
) -> None:
    install(cluster)
    claims = machine.folder / "models"
    (claims / "iris" / "1").mkdir(parents=True)
    machine.meant["/model/"] = f"{claims}/"
    deploy(
        cluster,
        environment={"image": f"{NOWHERE}/iris:1"},
        environment_variables={"MODEL_URL": f"http://127.0.0.1:{door}/iris"},
        model={"path": "pvc://models/iris/1"},
    )
    rows = deep(capsys)
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "deep-image-0": "good",
        "deep-image-1": "good",
        "deep-kubernetes.default.svc": "good",
        "deep-trioroute-peers": "good",
        "deep-trioroute-0.trioroute-peers": "good",
        # The image of the front-ends; here nothing leads there.
        "deep-registry-1.docker.io": "warning",
        f"deep-{NOWHERE}": "warning",
        "deep-127.0.0.1": "good",
        "deep-model-0": "good",
    }
    assert rows["deep-image-0"]["text"] == "node-a pulls trioroute (front-ends)"
    assert rows["deep-image-1"]["text"] == f"node-a pulls {NOWHERE}/iris:1 (iris-blue)"
    # Else a machine that has it would ask nobody.
    assert machine.pulled == dict.fromkeys(("trioroute", f"{NOWHERE}/iris:1"), "Always")
    assert "from a pod on node-a" in rows[f"deep-{NOWHERE}"]["text"]
    assert rows["deep-model-0"]["text"] == "iris/1 of volume models (iris-blue) is there"
    expect_nothing_left(cluster)


def test_what_cannot_be_pulled_reached_or_found_is_bad(
    cluster: RunningCluster, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    install(cluster)
    cluster.inner.kubelet.missing_images.add("localhost:9/missing:1")
    machine.meant["/model/"] = f"{machine.folder}/"
    machine.meant['"kubernetes.default.svc", 443'] = '"127.0.0.1", 9'
    machine.meant['"trioroute-0.trioroute-peers", 0'] = f'"{NOWHERE}", 0'
    deploy(
        cluster,
        environment={"image": "localhost:9/missing:1"},
        environment_variables={"MODEL_URL": f"https://{NOWHERE}/iris"},
        model="pvc://models/gone",
    )
    issuer = {"trioroute.oidc.issuer": "https://login.invalid", "trioroute.oidc.audience": "a"}
    said = {"name": "iris", "auth_mode": "aad_token", "properties": issuer}
    cluster.make("OnlineEndpoint", {"metadata": {"name": "iris"}, "spec": said})
    rows = deep(capsys)
    assert {name: row["verdict"] for name, row in rows.items() if row["verdict"] != "good"} == {
        "deep-image-1": "bad",
        "deep-kubernetes.default.svc": "bad",
        "deep-trioroute-0.trioroute-peers": "bad",
        "deep-registry-1.docker.io": "warning",
        "deep-localhost": "warning",
        f"deep-{NOWHERE}": "bad",
        "deep-login.invalid": "bad",
        "deep-model-0": "bad",
    }
    assert (
        "node-a cannot pull localhost:9/missing:1 (iris-blue): ImagePullBackOff: Back-off"
        in (rows["deep-image-1"]["text"])
    )
    assert "imagePullSecrets" in rows["deep-image-1"]["fix"]
    assert "Connection refused" in rows["deep-kubernetes.default.svc"]["text"]
    assert (
        f"{NOWHERE}:443 from a pod on node-a (MODEL_URL of iris-blue)"
        in (rows[f"deep-{NOWHERE}"]["text"])
    )
    assert "issuer of tokens for iris" in rows["deep-login.invalid"]["text"]
    assert "gone of volume models (iris-blue) is not there" in rows["deep-model-0"]["text"]
    expect_nothing_left(cluster)


def test_before_front_ends_are_installed_somebody_names_an_image(
    cluster: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = deep(capsys, "--pre").values()
    assert row["verdict"] == "skipped"
    assert "--image IMAGE" in row["fix"]
    cluster.inner.kubelet.missing_images.add("registry.example/missing:1")
    rows = deep(capsys, f"--pre --image registry.example/missing:1 {PROMPT}")
    assert rows["deep-image-0"]["verdict"] == "bad"
    assert rows["deep-inside"]["verdict"] == "warning"
    assert (
        "nobody looked from inside: its pod waits: ImagePullBackOff"
        in (rows["deep-inside"]["text"])
    )
    expect_nothing_left(cluster)


def test_where_no_pod_comes_it_ends_in_time_and_says_that_it_did_not_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_cluster() as still:
        monkeypatch.setenv("TRIOROUTE_CONFIG", str(tmp_path / "contexts.json"))
        monkeypatch.setenv("TRIOROUTE_NAMESPACE", NAMESPACE)
        path = still.write_kubeconfig(tmp_path / "kubeconfig")
        monkeypatch.setenv("TRIOROUTE_KUBECONFIG", str(path))
        rows = deep(capsys, "--pre --image i:1 --timeout 500ms")
        assert {row["verdict"] for row in rows.values()} == {"warning"}
        assert "no pod came within 0.5 s" in rows["deep-inside"]["text"]
        assert "--timeout 10m" in rows["deep-inside"]["fix"]
        assert still.list("Job") == []
        # Whose rights do not reach so far.
        rule = {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get"]}
        more = {"rules": [*(still.get("Role", "trioroute") or {})["rules"], rule]}
        still.do(still.inner.change, "Role", "trioroute", lambda old: {**old, **more})
        still.write_kubeconfig(tmp_path / "kubeconfig", token="router")
        (row,) = deep(capsys, "--pre --image i:1").values()
        assert row["verdict"] == "skipped"
        assert "jobs.batch is forbidden" in row["text"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interruption_leaves_nothing(
    cluster: RunningCluster, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    install(cluster)
    seen: list[int] = []
    # As in a process of its own: loops of tests before this one may have left theirs.
    fresh = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, fresh)

    def interrupt(_: float) -> None:
        seen.append(len(cluster.list("Job")))
        os.kill(os.getpid(), number)

    monkeypatch.setattr(time, "sleep", interrupt)
    try:
        with pytest.raises((SystemExit, KeyboardInterrupt)):
            main(["doctor", "--only", "kubernetes", "--deep"])
        assert seen == [3]
        assert signal.getsignal(number) is fresh
    finally:
        signal.signal(number, before)
    expect_nothing_left(cluster)


def test_a_last_word_that_is_none_is_shown(
    cluster: RunningCluster, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    install(cluster)
    machine.meant["targets"] = "nothing"
    rows = deep(capsys)
    assert rows["deep-inside"]["verdict"] == "warning"
    assert "its pod ended without an answer: exit status 1" in rows["deep-inside"]["text"]


def test_without_a_cluster_there_is_no_inside(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--deep", "--only", "runtime"])
    assert ended.value.code == 2
    assert "none is named" in capsys.readouterr().err
