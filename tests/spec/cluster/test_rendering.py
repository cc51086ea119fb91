"""Files as objects: order, names, and that a resource reads back as what the file said."""

from pathlib import Path

import pytest

from trioroute.core.model import ContainerSource
from trioroute.spec.cluster.container import ContainerFinder
from trioroute.spec.cluster.rendering import manifests_of
from trioroute.spec.cluster.resources import read_resource
from trioroute.spec.load import load_paths
from trioroute.spec.problems import SpecError

ENDPOINT = "name: iris\nauth_mode: Key\ntraffic: {blue: 100}\n"
BLUE = """\
name: blue
endpoint_name: Iris
environment: {image: "registry.example/iris:1"}
code_configuration: {code: ./src, scoring_script: score.py}
model: {path: "pvc://models/iris/1"}
resources: {requests: {cpu: 0.5}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "score.py").write_text("def run(data): return data\n")
    (tmp_path / "endpoint.yml").write_text(ENDPOINT)
    (tmp_path / "blue.yml").write_text(BLUE)
    return tmp_path


def test_each_object_comes_after_those_that_it_names(folder: Path) -> None:
    loaded = load_paths([folder], cluster=ContainerFinder(packs_code=True))
    made = manifests_of(loaded, namespace="models")
    kinds = [one["kind"] for one in made]
    assert kinds == ["ConfigMap", "OnlineEndpoint", "OnlineDeployment"]
    assert {one["metadata"]["namespace"] for one in made} == {"models"}
    code, endpoint, blue = made
    assert endpoint["spec"]["auth_mode"] == "key"
    assert blue["spec"]["code_configuration"]["code"] == f"configmap://{code['metadata']['name']}"
    assert blue["spec"]["resources"] == {"requests": {"cpu": "0.5"}}
    blue["metadata"]["uid"] = "u"
    reading = read_resource(blue)
    assert reading.problems == ()
    source = getattr(reading.said, "source", None)
    assert isinstance(source, ContainerSource)
    assert (source.code, source.model_claim, source.model_path) == (
        code["metadata"]["name"],
        "models",
        "iris/1",
    )


def test_what_the_registry_keeps_is_what_the_resource_says(folder: Path) -> None:
    """Else applying the same file again would find a difference."""
    loaded = load_paths([folder], cluster=ContainerFinder(packs_code=True))
    for made in manifests_of(loaded)[1:]:
        made["metadata"]["uid"] = "u"
        reading = read_resource(made)
        assert f'"{loaded.documents[reading.key].content["name"]}"' in reading.document
        again = load_paths([folder], cluster=ContainerFinder(packs_code=True))
        assert again.documents[reading.key].content == loaded.documents[reading.key].content
        assert made["spec"] == loaded.documents[reading.key].content


def test_code_that_nobody_brings_there_is_refused_with_its_line(folder: Path) -> None:
    with pytest.raises(SpecError, match=r"blue\.yml:4:28: TR0403 .*is not in the cluster"):
        load_paths([folder], cluster=ContainerFinder())
    (folder / "src" / "deep").mkdir()
    with pytest.raises(SpecError, match="has a folder in it, deep"):
        load_paths([folder], cluster=ContainerFinder(packs_code=True))
    (folder / "src" / "deep").rmdir()
    (folder / "src" / "score.py").unlink()
    (folder / "src").rmdir()
    with pytest.raises(SpecError, match="there is no folder"):
        load_paths([folder], cluster=ContainerFinder(packs_code=True))


def test_a_deployment_without_a_type_is_one_of_the_clusters(folder: Path) -> None:
    loaded = load_paths([folder], cluster=ContainerFinder(packs_code=True))
    assert loaded.documents["iris/blue"].content["type"] == "kubernetes"
    assert [one for one in loaded.warnings if one.field == "instance_type"] == []
