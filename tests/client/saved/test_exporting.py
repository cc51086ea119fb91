"""Everything registered, written down and registered again in an empty system."""

from pathlib import Path

import pytest

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from tests.client.running_admin import running_admin
from trioroute.client.applying import apply_steps, plan_steps
from trioroute.client.resources import ResourceClient
from trioroute.client.saved.exporting import (
    Export,
    export_state,
    import_state,
    read_export,
    to_files,
)
from trioroute.client.system import System
from trioroute.core.model import Endpoint
from trioroute.errors import ConfigError
from trioroute.spec.load import load_paths
from trioroute.spec.written.documents import to_yaml

SCRIPT = """\
name: blue
endpoint_name: fraud
type: kubernetes
code_configuration: {code: src, scoring_script: score.py}
model: azureml:churn:1
environment: {conda_file: conda.yml}
environment_variables: {VERSION: 1.10}
"""
COMMAND = """\
name: green
endpoint_name: fraud
type: kubernetes
model: {path: model.bin}
properties: {trioroute.command: "serve {port}", trioroute.python: bin/python}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "files"
    (where / "src").mkdir(parents=True)
    (where / "src" / "score.py").write_text("")
    (where / "model.bin").write_text("weights")
    (where / "conda.yml").write_text("dependencies: [{pip: [a]}]\n")
    (where / "e.yml").write_text("name: fraud\nauth_mode: key\ntags: {team: risk}\n")
    (where / "blue.yml").write_text(SCRIPT)
    (where / "green.yml").write_text(COMMAND)
    return where


def client_at(url: str) -> ResourceClient:
    return ResourceClient(System(admin_urls=(url,)))


def fill(client: ResourceClient, folder: Path) -> None:
    loaded = load_paths([folder], assets={"churn": folder / "model.bin"})
    steps = plan_steps(loaded, client.registry())
    apply_steps(client, loaded, steps, wait_s=None, progress=lambda _: None)
    client.set_traffic("fraud", {"blue": 90, "green": 10})


def written(export: Export, path: Path) -> Path:
    path.write_text(to_yaml(export.content()))
    return path


def test_an_empty_system_becomes_the_same_with_the_same_keys(folder: Path, tmp_path: Path) -> None:
    old, new = SmallDesk(), SmallDesk()
    with running_admin(SmallView(), desk=old) as url:
        fill(client_at(url), folder)
        keys = client_at(url).credentials("fraud")
        saved = written(export_state(client_at(url), with_keys=True), tmp_path / "s.yml")
    with running_admin(SmallView(), desk=new) as url:
        client = client_at(url)
        steps = import_state(
            client, read_export(saved), prune=False, wait_s=None, progress=lambda _: None
        )
        assert [step.action for step in steps] == ["create"] * 3
        assert client.credentials("fraud") == keys
        again = import_state(
            client, read_export(saved), prune=True, wait_s=None, progress=lambda _: None
        )
        assert {step.action for step in again} == {"unchanged"}
        assert export_state(client, with_keys=True) == read_export(saved)
    assert new.state.deployments == old.state.deployments
    assert new.state.endpoints["fraud"].traffic == {"blue": 90, "green": 10}


def test_without_keys_there_are_none_and_a_dry_run_changes_nothing(
    folder: Path, tmp_path: Path
) -> None:
    with running_admin(SmallView(), desk=SmallDesk()) as url:
        fill(client_at(url), folder)
        keys = client_at(url).credentials("fraud")
        saved = written(export_state(client_at(url), with_keys=False), tmp_path / "s.yml")
    assert keys.primary_key not in saved.read_text()
    desk = SmallDesk()
    with running_admin(SmallView(), desk=desk) as url:
        export = read_export(saved)
        import_state(
            client_at(url),
            export,
            prune=True,
            wait_s=None,
            progress=lambda _: None,
            dry_run=True,
        )
    assert not desk.state.endpoints


def test_files_for_apply_mean_the_same_from_another_folder(folder: Path, tmp_path: Path) -> None:
    desk = SmallDesk()
    with running_admin(SmallView(), desk=desk) as url:
        fill(client_at(url), folder)
        export = export_state(client_at(url), with_keys=False)
    for name, content in to_files(export).items():
        (tmp_path / name).write_text(to_yaml(content))
    loaded = load_paths([tmp_path / name for name in to_files(export)])
    found = {deployment.key: deployment.source for deployment in loaded.deployments}
    assert found["fraud/blue"] == desk.state.deployments["fraud/blue"].source
    green = desk.state.deployments["fraud/green"].source
    assert found["fraud/green"].model == green.model  # type: ignore[union-attr]
    assert found["fraud/green"].command == ("env", f"--chdir={folder}", "serve", "{port}")  # type: ignore[union-attr]


def test_what_has_no_document_is_named() -> None:
    with running_admin(SmallView(), desk=SmallDesk()) as url:
        client_at(url).put_endpoint(Endpoint(name="bare"))
        found = export_state(client_at(url), with_keys=False)
    assert found.left_out == ("endpoint bare",)
    assert found.documents == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: fraud\n", "not written by `trioroute export`; .* use `trioroute apply"),
        ("a: [", r"s\.yml:.*no YAML"),
        ("trioroute_export: 9\n", "has format 9, this version reads 1"),
        ("trioroute_export: 1\nresources: {}\n1: 2\nresources: x\n", "resources is not a list"),
        ("trioroute_export: 1\nresources: [{kind: pod}]\n", "resource 1 has no kind"),
        ("trioroute_export: 1\nresources: [{kind: deployment, content: {name: a}}]\n", "content"),
        (
            "trioroute_export: 1\nresources: [{kind: endpoint, content: {name: a}, keys: {}}, "
            "{kind: endpoint, content: {name: b}, keys: {primary: x}}]\n",
            "keys of b: expected primary and secondary",
        ),
    ],
)
def test_a_file_that_is_no_export_is_told_apart(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_export(path)


def test_a_missing_export_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_export(tmp_path / "none.yml")
