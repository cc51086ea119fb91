"""The older model's calls against the real admin API: versions, marks, traffic, keys."""

from collections.abc import Iterator
from datetime import UTC, datetime

import attrs
import pytest

import trioroute
from tests.admin.small_desk import SmallDesk, make_signing_key
from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import running_admin
from trioroute.client.sdk import Client
from trioroute.client.shapes.aks import AksEndpoint, InferenceConfig
from trioroute.core.status import DeploymentStatus, EndpointStatus
from trioroute.errors import ConfigError, TrioRouteError

ADDRESS = {"trioroute.addresses": "127.0.0.1:9401"}


@pytest.fixture
def desk() -> SmallDesk:
    return SmallDesk()


@pytest.fixture
def client(desk: SmallDesk) -> Iterator[Client]:
    assert STATUS.raft is not None
    rows = tuple(
        DeploymentStatus(endpoint="fraud", name=name, provisioning_state=state)
        for name, state in (("versiona", "Succeeded"), ("versionb", "Succeeded"))
    )
    fraud = EndpointStatus(name="fraud", deployments=rows)
    raft = attrs.evolve(STATUS.raft, applied_index=10**9)
    view = SmallView(current=attrs.evolve(STATUS, endpoints=(fraud,), raft=raft))
    with running_admin(view, desk=desk) as url:
        yield trioroute.connect(url)


def deployed(client: Client, **parameters: object) -> AksEndpoint:
    configuration = AksEndpoint.deploy_configuration(
        version_name="versiona", properties=ADDRESS, tags={"team": "risk"}, **parameters
    )
    return AksEndpoint.deploy(client, "fraud", deployment_config=configuration)


def test_the_blog_s_story(client: Client, desk: SmallDesk) -> None:
    endpoint = deployed(client, traffic_percentile=20)
    # The only version is the default and gets what nobody else takes: all.
    assert endpoint.versions["versiona"].traffic_percentile == 100
    endpoint.create_version("versionb", traffic_percentile=10, properties=ADDRESS)
    shares = {name: one.traffic_percentile for name, one in endpoint.versions.items()}
    assert shares == {"versiona": 90, "versionb": 10}
    endpoint.update_version(
        "versionb", traffic_percentile=40, is_default=True, is_control_version_type=True
    )
    a, b = endpoint.versions["versiona"], endpoint.versions["versionb"]
    assert (a.is_default, a.version_type, a.traffic_percentile) == (False, "Treatment", 20)
    assert (b.is_default, b.version_type, b.traffic_percentile) == (True, "Control", 80)
    assert b.state == "Healthy"
    assert b.scoring_uri.endswith("/api/v1/endpoint/fraud/version/versionb/score")
    assert desk.state.endpoints["fraud"].traffic == {"versiona": 20, "versionb": 80}
    with pytest.raises(ConfigError, match="versionb is the default"):
        endpoint.delete_version("versionb")
    endpoint.delete_version("versiona")
    assert set(desk.state.deployments) == {"fraud/versionb"}
    assert desk.state.endpoints["fraud"].traffic == {"versionb": 100}
    endpoint.delete()
    assert not desk.state.endpoints


def test_a_version_has_the_older_model_s_defaults_until_they_are_changed(
    client: Client, desk: SmallDesk
) -> None:
    endpoint = deployed(client)
    found = desk.state.deployments["fraud/versiona"]
    assert (found.request_timeout_s, found.queue_wait_max_s) == (60.0, 0.5)
    assert (found.liveness.initial_delay_s, found.liveness.failure_threshold) == (310.0, 3)
    endpoint.update_version("versiona", scoring_timeout_ms=5000)
    endpoint.update_version("versiona", max_request_wait_time=900)
    found = desk.state.deployments["fraud/versiona"]
    assert (found.request_timeout_s, found.queue_wait_max_s) == (5.0, 0.9)


def test_keys_are_replaced_or_set(client: Client) -> None:
    endpoint = deployed(client, primary_key="given-primary-key", secondary_key="given-other-key")
    assert endpoint.get_keys() == ("given-primary-key", "given-other-key")
    endpoint.regen_key("Primary")
    assert endpoint.get_keys()[0] != "given-primary-key"
    endpoint.regen_key("Secondary", set_key="chosen-secondary-key")
    assert endpoint.get_keys()[1] == "chosen-secondary-key"
    with pytest.raises(ConfigError, match="must be 'primary' or 'secondary'"):
        endpoint.regen_key("third")


def test_tokens(client: Client, desk: SmallDesk) -> None:
    endpoint = deployed(client, token_auth_enabled=True, auth_enabled=False)
    make_signing_key(desk, "fraud")
    token, refresh_at = endpoint.get_token()
    assert token.count(".") == 2
    assert refresh_at > datetime.now(UTC)
    assert endpoint.get_access_token().token_type == "Bearer"
    with pytest.raises(TrioRouteError, match="does not use keys"):
        endpoint.get_keys()


def test_what_is_printed(client: Client) -> None:
    endpoint = deployed(client)
    endpoint.wait_for_deployment(show_output=True)
    assert endpoint.state == "Healthy"
    assert endpoint.tags == {"team": "risk"}
    assert endpoint.get_logs() == ""
    assert endpoint.serialize()["versions"]["versiona"]["version_type"] == "Treatment"
    assert repr(endpoint) == "AksEndpoint(name='fraud', versions=['versiona'])"
    assert repr(AksEndpoint(client, "fraud")) == repr(endpoint)


def test_mistakes_are_told(client: Client) -> None:
    with pytest.raises(ConfigError, match="the first version needs one"):
        AksEndpoint.deploy(client, "fraud")
    endpoint = deployed(client)
    with pytest.raises(ConfigError, match="whole percent"):
        endpoint.create_version("versionb", traffic_percentile=12.5, properties=ADDRESS)
    with pytest.raises(ConfigError, match="exists already"):
        endpoint.create_version("versiona", properties=ADDRESS)
    with pytest.raises(ConfigError, match="there is no version versionx"):
        endpoint.update_version("versionx", traffic_percentile=1)
    with pytest.raises(ConfigError, match="one folder"):
        endpoint.update_version("versiona", models=["a", "b"])
    client.online_endpoints.begin_create_or_update({"name": "other", "auth_mode": "key"})
    with pytest.raises(ConfigError, match=r"use client\.online_endpoints"):
        AksEndpoint(client, "other")
    inference = InferenceConfig("score.py", "/none", "conda.yml")
    with pytest.raises(TrioRouteError, match="no file"):
        endpoint.create_version("versionb", inference, models=["/none/model.pkl"])
