"""The registry's JSON: what passes arrives unchanged, what does not is named with its path."""

import base64
import json
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spec.test_cases import CASES, CASES_READ, SUPPLIED, needs_cases
from trioroute.admin.registry_json import RegistryJSONError, RegistryWish, decode_registry
from trioroute.admin.view import RefusedError
from trioroute.core.model import (
    AuthMode,
    CommandSource,
    Deployment,
    Endpoint,
    Isolation,
    OnAbandon,
    Probe,
    RoutingSnapshot,
    ScaleKind,
    ScaleSettings,
    ScriptSource,
    StaticSource,
)
from trioroute.core.registry import PutRegistry
from trioroute.core.routing import RoutingTable
from trioroute.spec.load import load_paths
from trioroute.wire.records import unstructure_record

ECHO = Endpoint(
    name="echo",
    auth_mode=AuthMode.AML_TOKEN,
    traffic={"blue": 90, "green": 10},
    key_digests=(bytes(32), b"\xff" * 32),
    description="ü",
    tags={"a": [1, {"b": None}], "c": 1.5},
)
BLUE = Deployment(
    endpoint="echo",
    name="blue",
    source=ScriptSource(code="/c", script="s.py", environment={"A": "b"}),
    slots_per_replica=4,
    stream_max_s=60.0,
    on_abandon=OnAbandon.CLOSE,
    isolation=Isolation.STOP,
    scale=ScaleSettings(kind=ScaleKind.TARGET_UTILIZATION, min_instances=0, max_instances=5),
    liveness=Probe(timeout_s=1.5),
)
GREEN = Deployment(
    endpoint="echo", name="green", source=CommandSource(command=("a", "{port}"), cwd="/")
)
ROOT = Endpoint(name="root", anonymous=True, mount="/", traffic={"o": 100})
ONLY = Deployment(
    endpoint="root", name="o", source=StaticSource(addresses=(("::1", 9401), ("host", 1)))
)
ENDPOINTS, DEPLOYMENTS = (ECHO, ROOT), (BLUE, GREEN, ONLY)


def encoded(endpoints: tuple[Endpoint, ...], deployments: tuple[Deployment, ...]) -> bytes:
    """What the client sends."""
    wish = PutRegistry(endpoints=endpoints, deployments=deployments)
    return msgspec.json.encode(unstructure_record(wish))


def form_faults(body: bytes) -> list[str]:
    """What is wrong with the form: nothing of it could be meant."""
    with pytest.raises(RegistryJSONError) as caught:
        decode_registry(body)
    return str(caught.value).splitlines()


def faults(body: bytes) -> list[str]:
    """What is wrong with the meaning of a well-formed registry."""
    with pytest.raises(RefusedError) as caught:
        decode_registry(body)
    return str(caught.value).splitlines()


def changed(part: str, index: int, **changes: Any) -> bytes:
    plain = json.loads(encoded(ENDPOINTS, DEPLOYMENTS))
    plain[part][index].update(changes)
    return json.dumps(plain).encode()


def test_what_the_client_sends_arrives_unchanged() -> None:
    expected = RegistryWish(endpoints=ENDPOINTS, deployments=DEPLOYMENTS)
    assert decode_registry(encoded(ENDPOINTS, DEPLOYMENTS)) == expected
    assert decode_registry(b'{"endpoints": [], "deployments": []}') == RegistryWish(
        endpoints=(), deployments=()
    )


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "not a registry"),
        (b"{", "not a registry"),
        (b"null", "not a registry"),
        (b"[]", "not a registry"),
        (b'{"endpoints": [1], "deployments": []}', "not a registry"),
        (b'{"deployments": []}', "`endpoints` is missing"),
        (b'{"endpoints": []}', "`deployments` is missing"),
        (b'{"endpoints": [], "deployments": [], "replicas": []}', "unknown: replicas"),
        (changed("endpoints", 0, name=5), "endpoints[0]: Expected `str`, got `int` - at `$.name`"),
        (changed("endpoints", 1, name=None), "endpoints[1]: Expected `str`, got `null`"),
        (changed("endpoints", 0, trafic={}), "endpoints[0]: unknown: trafic"),
        (changed("endpoints", 0, key_digests=["*"]), "endpoints[0]: Invalid base64"),
        (changed("endpoints", 0, traffic={"blue": 1.5}), "endpoints[0]: Expected `int`"),
        (changed("endpoints", 0, auth_mode="none"), "endpoints[0]: `auth_mode` is one of"),
        (changed("deployments", 0, scale={"max": 1}), "deployments[0]: unknown: max"),
        (changed("deployments", 0, slots="4"), "deployments[0]: unknown: slots"),
        (changed("deployments", 0, slots_per_replica="4"), "deployments[0]: Expected `int`"),
        (changed("deployments", 0, source=None), "deployments[0]: `source.kind` is one of"),
        (changed("deployments", 0, source={"kind": "X"}), "deployments[0]: `source.kind`"),
        (changed("deployments", 0, source={"kind": []}), "deployments[0]: `source.kind`"),
        (
            changed("deployments", 0, source={"kind": "ScriptSource", "code": "/"}),
            "deployments[0]: Object missing required field `script`",
        ),
        (
            changed("deployments", 2, source={"kind": "StaticSource", "x": 1}),
            "deployments[2]: unknown: x",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(body: bytes, fault: str) -> None:
    (found,) = form_faults(body)
    assert found.startswith(fault)


NAME_RULE = "a name has 3 to 32 of a-z"
DIGEST = base64.b64encode(bytes(31)).decode()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (changed("deployments", 0, generation=2**64), "beyond 64 bits"),
        (changed("endpoints", 0, tags={"a": -(2**64)}), "beyond 64 bits"),
        (changed("endpoints", 1, name="echo", mount=None), "echo occurs 2 times"),
        (changed("deployments", 1, name="blue"), "echo/blue occurs 2 times"),
        (changed("endpoints", 0, mount="/"), "only one endpoint can be mounted"),
        (changed("endpoints", 1, mount="/x"), "mounted at / only"),
        (changed("endpoints", 0, traffic={"blue": 101, "green": -1}), "percentages are 0 to 100"),
        (changed("endpoints", 0, traffic={"blue": 90}), "must sum to 0 or 100"),
        (changed("endpoints", 0, mirror_traffic={"green": 51}), "mirror traffic is 0 to 50 %"),
        (changed("endpoints", 0, mirror_traffic={"green": -1}), "mirror traffic is 0 to 50 %"),
        (changed("deployments", 0, scoring_port=0), "scoring_port is 1 to"),
        (changed("deployments", 0, isolation_max_s=-1), "isolation_max_s must not"),
        (changed("deployments", 0, burst_wait_max_s=-1), "burst_wait_max_s must not"),
        (changed("deployments", 0, liveness_path=""), "liveness_path must begin"),
        (changed("endpoints", 0, key_digests=[DIGEST]), "SHA-256"),
        (changed("deployments", 0, name=""), "a name has 1 to 32"),
        (changed("deployments", 0, name="a/b"), "a name has 1 to 32"),
        (changed("deployments", 0, slots_per_replica=0), "slots_per_replica is 1 to"),
        (changed("deployments", 0, request_timeout_s=0), "request_timeout_s must be above 0"),
        (changed("deployments", 0, queue_wait_max_s=-1), "queue_wait_max_s must not"),
        (changed("deployments", 0, queue_depth_max=-1), "queue_depth_max must not"),
        (changed("deployments", 0, stream_max_s=0), "stream_max_s must be above 0"),
        (changed("deployments", 0, upgrade_max_s=-1), "upgrade_max_s must be above 0"),
        (changed("deployments", 0, scale={"instance_count": -1}), "instance_count must not"),
        (changed("deployments", 0, scale={"min_instances": 2}), "0 ≤ min ≤ max"),
        (changed("deployments", 0, scale={"target_utilization_percentage": 0}), "1 to 100 %"),
        (changed("deployments", 0, scale={"polling_interval_s": 0}), "polling_interval_s must"),
        (changed("deployments", 0, scoring_path="score"), "scoring_path must begin"),
        (changed("deployments", 0, scoring_path="/a\r\nx: y"), "scoring_path must begin"),
        (changed("deployments", 0, readiness_path="/a b"), "readiness_path must begin"),
        (
            changed("deployments", 2, source={"kind": "StaticSource", "addresses": [["h", 0]]}),
            "h:0 is no address",
        ),
        (
            changed("deployments", 2, source={"kind": "StaticSource", "addresses": [["", 80]]}),
            ":80 is no address",
        ),
    ],
)
def test_what_no_front_end_could_route_by_is_refused(body: bytes, fault: str) -> None:
    assert [found for found in faults(body) if fault in found]


@pytest.mark.parametrize("name", ["ab", "a" * 33, "Echo", "1ab", "a_b", "ab-", "a/b", "äbc"])
def test_names_that_no_path_could_carry_are_refused(name: str) -> None:
    found = faults(encoded((Endpoint(name=name),), ()))
    assert NAME_RULE in found[0]


def test_a_deployment_without_its_endpoint_is_refused() -> None:
    assert faults(encoded((), (BLUE,))) == ["deployment 'echo/blue': its endpoint is missing"]


def test_all_faults_are_named_at_once() -> None:
    body = encoded((attrs.evolve(ECHO, name="X"), attrs.evolve(ROOT, name="y")), ())
    assert len(faults(body)) == 2
    plain = json.loads(body)
    plain["endpoints"] = [{}, {"name": 1}]
    assert len(form_faults(json.dumps(plain).encode())) == 2


@given(
    traffic=st.dictionaries(st.sampled_from(["blue", "green", "red"]), st.integers()),
    scoring_path=st.text(max_size=8),
    slots=st.integers(-1, 2**70),
)
@settings(deadline=None)
def test_whatever_passes_can_be_routed_by(
    traffic: dict[str, int], scoring_path: str, slots: int
) -> None:
    """A registry that a front-end cannot use would end every worker again and again."""
    endpoint = attrs.evolve(ECHO, traffic=traffic)
    deployment = attrs.evolve(BLUE, scoring_path="/" + scoring_path, slots_per_replica=slots)
    try:
        wish = decode_registry(encoded((endpoint,), (deployment,)))
    except (RegistryJSONError, RefusedError, UnicodeEncodeError):
        return  # refused here, or no JSON to begin with
    table = RoutingTable.from_snapshot(
        RoutingSnapshot(version=1, endpoints=wish.endpoints, deployments=wish.deployments)
    )
    match = table.match(b"/api/v1/endpoint/echo/version/blue/score", {})
    assert b" " not in match.upstream_target(table.pick(match))


@needs_cases
def test_every_accepted_file_of_azure_s_users_passes_unchanged() -> None:
    """The strict door must not refuse what `spec` accepts."""
    accepted = [case for case in CASES_READ if case.verdict != "ERR"]
    for case in accepted:
        loaded = load_paths(
            [CASES / case.path], dev=True, starting=False, overrides=SUPPLIED[case.kind]
        )
        endpoints = loaded.endpoints or (Endpoint(name="my-endpoint"),)
        wish = decode_registry(encoded(endpoints, loaded.deployments))
        assert (wish.endpoints, wish.deployments) == (endpoints, loaded.deployments)
    assert len(accepted) == 46
