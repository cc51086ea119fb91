"""What users wrote, kept and read again."""

from pathlib import Path

import pytest

from trioroute.errors import ConfigError
from trioroute.spec.load import load_documents, load_paths
from trioroute.spec.problems import SpecError
from trioroute.spec.update import set_value
from trioroute.spec.written.documents import Document

ENDPOINT = """\
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json
name: fraud
auth_mode: key
traffic: {blue: 100}
tags: {since: 2026-01-01, ratio: 1.5}
properties: {trioroute.priority: "true"}
"""
DEPLOYMENT = """\
name: blue
endpoint_name: fraud
instance_type: any
instance_count: 2
environment_variables: {VERSION: 1.10, FLAG: yes}
request_settings: {max_queue_wait_ms: 100}
properties: {trioroute.addresses: "127.0.0.1:9401"}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "endpoint.yml").write_text(ENDPOINT)
    (tmp_path / "deployment.yml").write_text(DEPLOYMENT)
    return tmp_path


def test_documents_read_to_the_same_resources(files: Path) -> None:
    loaded = load_paths([files])
    assert set(loaded.documents) == {"fraud", "fraud/blue"}
    again = load_documents(list(loaded.documents.values()))
    assert again.endpoints == loaded.endpoints
    assert again.deployments == loaded.deployments
    assert again.documents == loaded.documents


def test_a_document_is_the_same_after_the_log(files: Path) -> None:
    for document in load_paths([files]).documents.values():
        assert Document.decode(document.encode()) == document


def test_variables_stay_as_they_were_written(files: Path) -> None:
    document = load_paths([files]).documents["fraud/blue"]
    assert document.content["environment_variables"] == {"VERSION": "1.10", "FLAG": "yes"}


def test_a_field_is_set_and_checked_like_a_file_s(files: Path) -> None:
    document = load_paths([files]).documents["fraud/blue"]
    content = set_value(document.content, "request_settings.max_queue_wait_ms=250")
    changed = Document(kind=document.kind, folder=document.folder, content=content)
    (deployment,) = load_documents([changed]).deployments
    assert deployment.queue_wait_max_s == 0.25
    wrong = set_value(document.content, "request_settings.max_queue_wait=250")
    with pytest.raises(SpecError, match="max_queue_wait_ms"):
        load_documents([Document(kind="deployment", folder=document.folder, content=wrong)])


def test_what_was_registered_without_a_file_cannot_be_edited() -> None:
    with pytest.raises(ConfigError, match="without a file"):
        Document.decode("")


def test_a_deployment_alone_finds_its_endpoint_among_the_registered(files: Path) -> None:
    alone = [files / "deployment.yml"]
    with pytest.raises(SpecError, match="fraud"):
        load_paths(alone)
    loaded = load_paths(alone, registered={"fraud": ["green"]})
    assert [each.key for each in loaded.deployments] == ["fraud/blue"]


def test_a_registered_model_is_found_again_without_the_file_of_assets(tmp_path: Path) -> None:
    (tmp_path / "blue.pkl").write_text("")
    path = tmp_path / "blue.yml"
    addresses = 'properties: {trioroute.addresses: "127.0.0.1:9401"}\n'
    command = 'model: azureml:churn:1\nproperties: {trioroute.command: "serve {port}"}\n'
    path.write_text(DEPLOYMENT.replace(addresses, command))
    (tmp_path / "endpoint.yml").write_text(ENDPOINT)
    loaded = load_paths([tmp_path], assets={"churn": tmp_path / "blue.pkl"})
    document = Document.decode(loaded.documents["fraud/blue"].encode())
    assert document.assets == {"churn:1": str(tmp_path / "blue.pkl")}
    assert load_documents([document]).deployments == loaded.deployments
