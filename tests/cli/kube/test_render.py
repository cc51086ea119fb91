"""`trioroute render k8s`."""

import json
from pathlib import Path

import pytest
import yaml

from tests.k8s.running import RunningCluster
from tests.spec.cluster.test_rendering import BLUE, ENDPOINT
from trioroute.cli.main import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "score.py").write_text("def run(data): return data\n")
    (folder / "endpoint.yml").write_text(ENDPOINT)
    (folder / "blue.yml").write_text(BLUE)
    return folder


def run(capsys: pytest.CaptureFixture[str], line: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_yaml_and_json_say_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text, _ = run(capsys, f"render k8s {folder} -n models")
    assert status == 0
    documents = list(yaml.safe_load_all(text))
    assert [one["kind"] for one in documents] == ["ConfigMap", "OnlineEndpoint", "OnlineDeployment"]
    _, text, _ = run(capsys, f"render k8s {folder} -n models -o json")
    assert json.loads(text)["items"] == documents


def test_large_code_is_told_how_to_apply_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "src" / "table.txt").write_text("x" * 300_000)
    _, _, err = run(capsys, f"render k8s {folder}")
    assert "kubectl apply --server-side" in err


def test_mistakes_have_their_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "blue.yml").write_text(BLUE.replace("image:", "imagee:"))
    status, out, err = run(capsys, f"render k8s {folder}")
    assert (status, out) == (2, "")
    assert "blue.yml:3" in err


def test_the_api_server_takes_what_is_rendered(
    cluster: RunningCluster, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the definitions' own schemas: the plain form of every value."""
    blue = {"name": "green", "scale_settings": {"type": "Default"}, "app_insights_enabled": "true"}
    (folder / "blue.yml").write_text(BLUE.replace("name: blue\n", yaml.safe_dump(blue)))
    _, text, _ = run(capsys, f"render k8s {folder} -n models")
    for document in yaml.safe_load_all(text):
        cluster.make(document["kind"], document)
    made = cluster.get("OnlineDeployment", "iris-green")
    assert made is not None
    assert made["spec"]["code_configuration"]["code"].startswith("configmap://iris-green-code-")
    assert made["spec"]["scale_settings"] == {"type": "default"}
