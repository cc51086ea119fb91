"""`apply` on a cluster: to the custom resources and back, with code that is brought there."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.running import RunningCluster
from tests.k8s.system import start_system
from tests.spec.cluster.test_rendering import BLUE, ENDPOINT
from trioroute.cli.main import main
from trioroute.core.status import DeploymentStatus, EndpointStatus

pytestmark = pytest.mark.slow

SERVING = EndpointStatus(
    name="iris",
    deployments=(DeploymentStatus(endpoint="iris", name="blue", provisioning_state="Succeeded"),),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "score.py").write_text("def run(data): return data\n")
    (folder / "endpoint.yml").write_text(ENDPOINT)
    (folder / "blue.yml").write_text(BLUE)
    return folder


def run(capsys: pytest.CaptureFixture[str], line: str, *, status: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    out, err = capsys.readouterr()
    assert ended.value.code == status, out + err
    return out, err


def code_of(cluster: RunningCluster) -> list[dict[str, Any]]:
    return [one for one in cluster.list("ConfigMap") if "-code-" in one["metadata"]["name"]]


def test_files_become_resources_once_and_code_follows_its_deployment(
    cluster: RunningCluster,
    environment: dict[str, str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del environment
    cluster.do(cluster.inner.delete, "OnlineDeployment", "iris-blue")
    cluster.make_front_end("trioroute-0", start_system(cluster, SERVING))
    out, err = run(capsys, f"apply {folder}")
    assert out == "endpoint iris created\ndeployment iris/blue created\n"
    (code,) = code_of(cluster)
    assert f"create configmap {code['metadata']['name']}" in err
    assert code["data"] == {"score.py": "def run(data): return data\n"}
    blue = cluster.get("OnlineDeployment", "iris-blue")
    assert blue is not None
    assert blue["spec"]["code_configuration"]["code"] == f"configmap://{code['metadata']['name']}"
    assert [one["uid"] for one in code["metadata"]["ownerReferences"]] == [blue["metadata"]["uid"]]

    # By the cluster's own forms, the same files are no change, whatever words they use.
    out, _ = run(capsys, f"apply {folder}")
    assert out == "deployment iris/blue unchanged\nendpoint iris unchanged\n"
    run(capsys, f"diff {folder}")

    (folder / "src" / "score.py").write_text("def run(data): return 1\n")
    out, _ = run(capsys, f"diff {folder} -o json", status=1)
    (changed,) = (one for one in json.loads(out) if one["action"] == "update")
    assert "code_configuration.code: configmap://iris-blue-code-" in changed["changes"][0]
    assert len(code_of(cluster)) == 1, "diff changes nothing"
    _, err = run(capsys, f"apply {folder}")
    (after,) = code_of(cluster)
    assert f"delete configmap {code['metadata']['name']}" in err
    assert after["metadata"]["name"] != code["metadata"]["name"]

    # One field of what is there: read by the cluster's rules, not by a laptop's.
    run(capsys, "scale iris/blue 2 --no-wait")
    blue = cluster.get("OnlineDeployment", "iris-blue")
    assert blue is not None
    assert blue["spec"]["instance_count"] == 2

    run(capsys, "delete iris --yes")
    assert cluster.list("OnlineEndpoint") == []


def test_without_the_right_to_make_config_maps_nothing_is_changed(
    cluster: RunningCluster,
    environment: dict[str, str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = start_system(cluster, SERVING)
    cluster.make_front_end("trioroute-0", url)
    # Who reaches the admin API alone cannot bring files into the cluster.
    for name in environment:
        monkeypatch.delenv(name)
    _, err = run(capsys, f"apply {folder} --admin {url}", status=2)
    assert "blue.yml:4:28" in err
    assert "./src is not in the cluster" in err
    assert cluster.list("OnlineEndpoint") == []
