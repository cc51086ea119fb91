"""The defaults that the service fills in."""

import pytest
from hypothesis import given

from tests.spec.test_azure_client import FILES
from trioroute.core.model import (
    AuthMode,
    CommandSource,
    Deployment,
    Endpoint,
    Probe,
    ScaleKind,
    ScaleSettings,
    Source,
    StaticSource,
)
from trioroute.spec import azure
from trioroute.spec.convert import to_deployment, to_endpoint, to_variables
from trioroute.spec.problems import Problems
from trioroute.spec.properties import DeploymentProperties, EndpointProperties
from trioroute.spec.reading import ReadFile, read_text
from trioroute.wire.records import pack_record, unpack_record

#: Not static: the number of replicas must not come from addresses.
COMMAND = CommandSource(command=("run", "{port}"), cwd="/")


def read(text: str) -> ReadFile:
    problems = Problems()
    file = read_text(text, "f.yml", problems)
    assert file is not None, problems.errors
    return file


def endpoint(text: str) -> Endpoint:
    spec = read(f"name: fraud\n{text}").spec
    assert isinstance(spec, azure.Endpoint)
    return to_endpoint(spec, EndpointProperties())


def deployment(text: str, source: Source | None = None) -> Deployment:
    spec = read(f"name: blue\nendpoint_name: Fraud\n{text}").spec
    assert isinstance(spec, azure.Deployment)
    return to_deployment(spec, DeploymentProperties(), source or COMMAND)


def test_an_endpoints_defaults() -> None:
    assert endpoint("") == Endpoint(name="fraud", auth_mode=AuthMode.KEY)


@pytest.mark.parametrize(("grace_ms", "grace_s"), [(None, 1.0), (0, 0.0), (250, 0.25), (-1, None)])
def test_a_grace_of_zero_is_no_default(grace_ms: int | None, grace_s: float | None) -> None:
    spec = read("name: fraud\n").spec
    assert isinstance(spec, azure.Endpoint)
    made = to_endpoint(spec, EndpointProperties(half_close_grace_ms=grace_ms))
    assert made.half_close_grace_s == grace_s


def test_what_an_endpoint_says_about_exchanges() -> None:
    extras = EndpointProperties(
        cors=("*",),
        status_codes="managed",
        body_bytes_max=0,
        server_timing=False,
        idempotent=True,
        forward_authorization=True,
    )
    spec = read("name: fraud\n").spec
    assert isinstance(spec, azure.Endpoint)
    made = to_endpoint(spec, extras)
    assert (made.cors_origins, made.managed_codes, made.body_bytes_max) == (("*",), True, 0)
    assert (made.server_timing, made.idempotent) == (False, True)
    assert made.forwards_authorization


def test_traffic_is_folded_as_on_sending() -> None:
    made = endpoint("traffic: {Blue: 100, green: 0}\nmirror_traffic: {Green: 5}\n")
    assert (made.traffic, made.mirror_traffic) == ({"blue": 100}, {"green": 5})


def test_tags_become_plain_values() -> None:
    made = endpoint("tags: {1: 2026-01-02, a: [!!binary aGk=, {b: null}], c: 1.5}\n")
    assert made.tags == {
        "1": "2026-01-02",
        "a": ["aGk=", {"b": None}],
        "c": 1.5,
    }


def test_a_deployments_defaults() -> None:
    made = deployment("type: kubernetes")
    assert made.key == "fraud/blue"
    assert (made.slots_per_replica, made.request_timeout_s, made.queue_wait_max_s) == (1, 5.0, 0.5)
    assert (made.scoring_path, made.readiness_path, made.scoring_port) == ("/score", "/", 5001)
    assert made.readiness == Probe()


def test_a_time_of_zero_is_the_default() -> None:
    made = deployment(
        "type: kubernetes\n"
        "request_settings: {request_timeout_ms: 0, max_queue_wait_ms: 0}\n"
        "liveness_probe: {period: 0, timeout: 7}\n"
    )
    assert (made.request_timeout_s, made.queue_wait_max_s) == (5.0, 0.5)
    assert (made.liveness.period_s, made.liveness.timeout_s) == (10.0, 7.0)


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("type: kubernetes", ScaleSettings(kind=ScaleKind.TARGET_UTILIZATION)),
        ("type: kubernetes\ninstance_count: 3", ScaleSettings(instance_count=3)),
        ("instance_type: x", ScaleSettings()),
        ("instance_type: x\ninstance_count: 0", ScaleSettings(instance_count=0)),
        (
            "type: kubernetes\ninstance_count: 9\n"
            "scale_settings: {type: target_utilization, min_instances: 0, max_instances: 4}",
            ScaleSettings(
                kind=ScaleKind.TARGET_UTILIZATION,
                instance_count=4,
                min_instances=0,
                max_instances=4,
            ),
        ),
    ],
)
def test_how_many_replicas(text: str, scale: ScaleSettings) -> None:
    assert deployment(text).scale == scale


def test_static_replicas_are_as_many_as_addresses() -> None:
    source = StaticSource(addresses=(("a", 1), ("b", 1)))
    assert deployment("type: kubernetes", source).scale == ScaleSettings(instance_count=2)


def test_routes_of_a_container() -> None:
    routes = "{liveness_route: {port: 1, path: /l}, readiness_route: {port: 1, path: /r}"
    made = deployment(
        "type: kubernetes\nenvironment:\n  image: i\n  inference_config: "
        + routes
        + ", scoring_route: {port: 8080, path: /s}}\n"
    )
    assert (made.liveness_path, made.readiness_path) == ("/l", "/r")
    assert (made.scoring_path, made.scoring_port) == ("/s", 8080)


def test_variables_stay_as_written() -> None:
    text = "a: 1.10\nb: yes\nc: 0x1F\nd: 'x'\ne:\nf: [1, 2]\n5: {g: 1}\n"
    file = read(f"name: fraud\ntags:\n{'  '.join(['', *text.splitlines(True)])}")
    assert to_variables(file.at("tags")) == {
        "a": "1.10",
        "b": "yes",
        "c": "0x1F",
        "d": "x",
        "e": "",
        "f": "[1, 2]",
        "5": '{"g": 1}',
    }


@given(FILES)
def test_whatever_is_accepted_can_be_routed_and_recorded(file: tuple[str, str]) -> None:
    """No accepted number, date or tag is too much for the log of the front-ends."""
    kind, text = file
    read = read_text(text, "f.yml", Problems(), kind=kind)
    if read is None:
        return
    if isinstance(read.spec, azure.Endpoint):
        made = to_endpoint(read.spec, EndpointProperties())
        assert unpack_record(pack_record(made), Endpoint) == made
    else:
        deployed = to_deployment(read.spec, DeploymentProperties(), COMMAND)
        assert unpack_record(pack_record(deployed), Deployment) == deployed
