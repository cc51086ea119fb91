"""Custom resources read by the rules for files, and written from what users wrote."""

from pathlib import Path
from typing import Any

from trioroute.core.model import ContainerSource, Deployment, Endpoint
from trioroute.spec.cluster.container import resource_name
from trioroute.spec.cluster.resources import key_of, read_resource, resource_of
from trioroute.spec.load import load_documents
from trioroute.spec.written.documents import Document

IMAGE = {"image": "registry.example/iris:1"}


def resource(kind: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "trioroute.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "some", "uid": "u1", "generation": 3},
        "spec": spec,
    }


def test_a_deployment_belongs_to_its_resource_and_is_of_type_kubernetes() -> None:
    reading = read_resource(
        resource("OnlineDeployment", name="blue", endpoint_name="Iris", environment=IMAGE)
    )
    assert (reading.key, reading.generation, reading.problems) == ("iris/blue", 3, ())
    assert isinstance(reading.said, Deployment)
    source = reading.said.source
    assert isinstance(source, ContainerSource)
    assert (source.resource, source.uid) == ("some", "u1")
    assert Document.decode(reading.document).content["type"] == "kubernetes"


def test_a_made_anew_resource_is_another_source() -> None:
    """What it owned has gone with the old one, so its pods have to be made again."""
    old = resource("OnlineDeployment", name="blue", endpoint_name="iris", environment=IMAGE)
    new = {**old, "metadata": {**old["metadata"], "uid": "u2"}}
    assert read_resource(old).said != read_resource(new).said


def test_an_endpoint_is_read_as_its_file() -> None:
    reading = read_resource(resource("OnlineEndpoint", name="iris", auth_mode="key"))
    assert isinstance(reading.said, Endpoint)
    assert reading.said.name == reading.key == "iris"


def test_all_problems_are_kept_with_their_fields() -> None:
    reading = read_resource(
        resource(
            "OnlineDeployment",
            name="blue",
            endpoint_name="iris",
            instance_count=-1,
            model={"path": "./model"},
        )
    )
    assert (reading.said, reading.document) == (None, "")
    assert {"instance_count"} <= {problem.field for problem in reading.problems}


def test_a_resource_without_a_spec_has_no_key_and_is_refused() -> None:
    bare = resource("OnlineDeployment")
    assert key_of(bare) == "/"
    assert read_resource(bare).said is None


def test_what_a_user_wrote_makes_a_resource_that_reads_to_the_same() -> None:
    content = {
        "name": "blue",
        "endpoint_name": "iris",
        "type": "kubernetes",
        "environment": IMAGE,
        "environment_variables": {"N": "1.10"},
    }
    document = Document(kind="deployment", folder=str(Path("/")), content=content)
    written = resource_of(document)
    assert written["metadata"] == {"name": "iris-blue"} == {"name": resource_name("iris/blue")}
    written["metadata"]["uid"] = "u1"
    said = read_resource(written).said
    (direct,) = load_documents([document], cluster=True).deployments
    assert isinstance(said, Deployment)
    assert isinstance(said.source, ContainerSource)
    assert isinstance(direct.source, ContainerSource)
    assert said.source.environment == direct.source.environment == {"N": "1.10"}
    assert resource_of(document, name="other")["metadata"] == {"name": "other"}
