"""The SDK against the real admin API and registry."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import trioroute
from tests.admin.small_desk import SmallDesk, make_signing_key
from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import running_admin
from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.resources import NoSuchResourceError
from trioroute.client.sdk import Client
from trioroute.core.model import CommandSource
from trioroute.core.status import DeploymentStatus, EndpointStatus
from trioroute.wire.resources import Credentials, ScoringToken

BLUE = {
    "name": "blue",
    "endpoint_name": "fraud",
    "instance_type": "any",
    "instance_count": 1,
    "properties": {"trioroute.addresses": "127.0.0.1:9401"},
}


@pytest.fixture
def desk() -> SmallDesk:
    return SmallDesk()


@pytest.fixture
def client(desk: SmallDesk) -> Iterator[Client]:
    assert STATUS.raft is not None
    row = DeploymentStatus(endpoint="fraud", name="blue", provisioning_state="Succeeded")
    fraud = EndpointStatus(name="fraud", deployments=(row,))
    raft = attrs.evolve(STATUS.raft, applied_index=10**9)
    view = SmallView(current=attrs.evolve(STATUS, endpoints=(fraud,), raft=raft))
    with running_admin(view, desk=desk) as url:
        yield trioroute.connect(url)


def test_azure_s_calls(client: Client, desk: SmallDesk) -> None:
    made = client.online_endpoints.begin_create_or_update({"name": "fraud", "auth_mode": "key"})
    assert made.result().provisioning_state == "Succeeded"
    blue = client.online_deployments.begin_create_or_update(BLUE).result()
    assert (blue.name, blue.instance_count, blue.app_insights_enabled) == ("blue", 1, None)
    endpoint = client.online_endpoints.get("fraud")
    endpoint.traffic = {"blue": 100}
    client.online_endpoints.begin_create_or_update(endpoint).result()
    assert desk.state.endpoints["fraud"].traffic == {"blue": 100}
    keys = client.online_endpoints.get_keys(name="fraud")
    new = client.online_endpoints.begin_regenerate_keys("fraud", key_type="secondary").result()
    assert isinstance(keys, Credentials)
    assert keys.primary_key == new.primary_key
    assert keys.secondary_key != new.secondary_key
    assert client.online_deployments.get_logs("blue", "fraud", lines=10) == ""
    assert [one.name for one in client.online_deployments.list("fraud")] == ["blue"]
    with pytest.raises(ProblemAnswerError, match=r"live traffic \(blue 100 %\)"):
        client.online_endpoints.begin_delete("fraud")
    client.online_endpoints.set_traffic("fraud", {})
    client.online_deployments.begin_delete(name="blue", endpoint_name="fraud").result()
    client.online_endpoints.begin_delete(name="fraud").result()
    assert client.online_endpoints.list() == []


def test_who_says_so_deletes_what_serves(client: Client, desk: SmallDesk) -> None:
    client.endpoints.update({"name": "fraud", "auth_mode": "key", "traffic": {"blue": 100}})
    client.deployments.begin_create_or_update(BLUE)
    client.endpoints.begin_delete("fraud", with_traffic=True)
    assert not desk.state.endpoints


def test_status_has_a_row_for_each_front_end() -> None:
    with running_admin(SmallView()) as url, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{dead.getsockname()[1]}"
        rows = trioroute.connect(f"{gone},{url}").status().front_ends
    assert {row.name for row in STATUS.front_ends} < {row.name for row in rows}
    assert [row.is_up for row in rows if row.name == gone] == [False]


def test_tokens(client: Client, desk: SmallDesk) -> None:
    client.endpoints.update({"name": "fraud", "auth_mode": "aml_token"})
    make_signing_key(desk, "fraud")
    found = client.online_endpoints.get_keys("fraud")
    assert isinstance(found, ScoringToken)
    assert found.expiry_time_utc > found.refresh_after_time_utc > time.time()
    short = client.endpoints.get_token("fraud", ttl_s=60)
    assert short.expiry_time_utc <= time.time() + 60
    with pytest.raises(ProblemAnswerError, match="'fraud' does not use keys"):
        client.endpoints.begin_regenerate_keys("fraud")
    client.endpoints.update({"name": "keyed", "auth_mode": "key"})
    with pytest.raises(ProblemAnswerError, match="'keyed' does not use tokens"):
        client.endpoints.get_token("keyed")
    client.resources.revoke_tokens("fraud")
    assert desk.state.token_keys.get("fraud", ()) == ()


def test_what_was_read_can_be_changed_and_written_back(client: Client, desk: SmallDesk) -> None:
    client.endpoints.update({"name": "fraud", "auth_mode": "key", "traffic": {"blue": 100}})
    client.deployments.begin_create_or_update(BLUE)
    blue = client.deployments.get("blue", "fraud")
    blue.request_settings = {"max_queue_wait_ms": 250}
    client.deployments.begin_create_or_update(blue)
    assert desk.state.deployments["fraud/blue"].queue_wait_max_s == 0.25
    client.endpoints.update({"name": "fraud", "auth_mode": "key"})
    assert desk.state.endpoints["fraud"].traffic == {"blue": 100}


def test_files_are_applied(client: Client, desk: SmallDesk, tmp_path: Path) -> None:
    file = tmp_path / "fraud.yml"
    file.write_text("name: fraud\nauth_mode: key\n")
    assert [step.action for step in client.apply(file)] == ["create"]
    assert [step.action for step in client.apply(file)] == ["unchanged"]
    assert client.endpoints.begin_create_or_update(file).done()
    assert client.status().reporter == "fe-0"
    with pytest.raises(NoSuchResourceError, match="did you mean fraud"):
        client.endpoints.get("fruad")


def test_registered_models_are_found_through_assets(
    client: Client, desk: SmallDesk, tmp_path: Path
) -> None:
    (tmp_path / "endpoint.yml").write_text("name: fraud\nauth_mode: key\n")
    (tmp_path / "blue.yml").write_text(
        "name: blue\nendpoint_name: fraud\ninstance_type: any\nmodel: azureml:forest:1\n"
        'properties: {trioroute.command: "true {port}"}\n'
    )
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "forest.pkl").touch()
    assets = tmp_path / "assets.yml"
    assets.write_text("forest: models/forest.pkl\n")
    files = (tmp_path / "endpoint.yml", tmp_path / "blue.yml")
    client.apply(*files, assets=assets)
    source = desk.state.deployments["fraud/blue"].source
    assert isinstance(source, CommandSource)
    assert source.model == str(tmp_path / "models")


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        trioroute.connect(data=tmp_path)
    with pytest.raises(UnreachableError):
        trioroute.connect("http://127.0.0.1:9").status()
    with pytest.raises(AttributeError, match="nothing"):
        trioroute.nothing  # noqa: B018
