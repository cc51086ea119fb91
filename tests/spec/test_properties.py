"""The `trioroute.` properties of endpoints and deployments."""

import pytest

from trioroute.spec.problems import Problem, Problems
from trioroute.spec.properties import (
    DeploymentProperties,
    EndpointProperties,
    key_of,
    read_properties,
)
from trioroute.spec.reading import read_text


def read_endpoint(properties: str) -> tuple[EndpointProperties | None, list[Problem]]:
    problems = Problems()
    file = read_text(f"name: fraud\nproperties:\n  {properties}\n", "f.yml", problems)
    assert file is not None
    return read_properties(EndpointProperties, file), problems.errors


def read_deployment(properties: str) -> tuple[DeploymentProperties | None, list[Problem]]:
    problems = Problems()
    head = "name: blue\nendpoint_name: fraud\ntype: kubernetes\nproperties:\n"
    file = read_text(f"{head}  {properties}\n", "f.yml", problems)
    assert file is not None
    return read_properties(DeploymentProperties, file), problems.errors


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ('trioroute.mount: "/"', "mount", "/"),
        ('trioroute.anonymous: "true"', "anonymous", True),
        ("trioroute.anonymous: true", "anonymous", True),
        ('trioroute.canary.halt_error_rate: "0.05"', "canary_halt_error_rate", 0.05),
        ("trioroute.canary.halt_p99_ratio: 2", "canary_halt_p99_ratio", 2.0),
        ('trioroute.cors: "*"', "cors", ("*",)),
        (
            "trioroute.cors: https://a.example, http://localhost:3000",
            "cors",
            ("https://a.example", "http://localhost:3000"),
        ),
        ("trioroute.status_codes: managed", "status_codes", "managed"),
        ('trioroute.body_bytes_max: "1048576"', "body_bytes_max", 1_048_576),
        ('trioroute.half_close_grace_ms: "-1"', "half_close_grace_ms", -1),
        ('trioroute.server_timing: "false"', "server_timing", False),
        ('trioroute.idempotent: "true"', "idempotent", True),
        ('trioroute.forward_authorization: "true"', "forward_authorization", True),
    ],
)
def test_an_endpoints_properties(line: str, name: str, value: object) -> None:
    properties, errors = read_endpoint(line)
    assert errors == []
    assert getattr(properties, name) == value


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ('trioroute.addresses: "a:1,b:2"', "addresses", (("a", 1), ("b", 2))),
        ('trioroute.addresses: "[::1]:80"', "addresses", (("::1", 80),)),
        ("trioroute.command: run --port={port}", "command", ("run", "--port={port}")),
        ("trioroute.command: \"sh -c 'run {port}'\"", "command", ("sh", "-c", "run {port}")),
        ("trioroute.workload: theirs", "workload", "theirs"),
        ('trioroute.unlimited: "true"', "unlimited", True),
        ('trioroute.stream_max_s: "600"', "stream_max_s", 600.0),
        ("trioroute.upgrade_max_s: 0.5", "upgrade_max_s", 0.5),
        ("trioroute.on_abandon: close", "on_abandon", "close"),
        ("trioroute.isolation: stop", "isolation", "stop"),
        ("trioroute.queue_depth_max: 10", "queue_depth_max", 10),
        ('trioroute.burst_wait_max_s: "0"', "burst_wait_max_s", 0.0),
        ("trioroute.burst_wait_max_s: 600", "burst_wait_max_s", 600.0),
    ],
)
def test_a_deployments_properties(line: str, name: str, value: object) -> None:
    properties, errors = read_deployment(line)
    assert errors == []
    assert getattr(properties, name) == value


@pytest.mark.parametrize(
    ("line", "code", "hint"),
    [
        ("trioroute.on_abandn: close", "TR0201", "did you mean trioroute.on_abandon?"),
        ('trioroute.mount: "/"', "TR0201", ""),
        ("trioroute.on_abandon: never", "TR0105", ""),
        ("trioroute.stream_max_s: 0", "TR0108", ""),
        ("trioroute.stream_max_s: soon", "TR0104", ""),
        ("trioroute.burst_wait_max_s: 3601", "TR0108", ""),
        ("trioroute.burst_wait_max_s: -1", "TR0108", ""),
        ("trioroute.addresses: localhost", "TR0202", "127.0.0.1:9401,127.0.0.1:9402"),
        ("trioroute.addresses: 'a:1,a:1'", "TR0202", ""),
        ("trioroute.addresses: 'a:99999'", "TR0202", "127.0.0.1:9401,127.0.0.1:9402"),
        ("trioroute.addresses: '::1:80'", "TR0202", "127.0.0.1:9401,127.0.0.1:9402"),
        ("trioroute.addresses: ','", "TR0202", ""),
        ("trioroute.command: run", "TR0202", "run --port {port}"),
        ("trioroute.command: 'run \"{port}'", "TR0202", ""),
        ("trioroute: {on_abandon: close}", "TR0202", 'write flat keys, for example '
         'trioroute.addresses: "…"'),
    ],
)  # fmt: skip
def test_what_a_deployment_may_not_say(line: str, code: str, hint: str) -> None:
    properties, (problem, *more) = read_deployment(line)
    assert properties is None
    assert (problem.code, problem.hint, more) == (code, hint, [])
    assert problem.line == 5


def test_a_deployments_property_in_an_endpoint() -> None:
    _, (problem,) = read_endpoint('trioroute.addresses: "a:1"')
    assert problem.message == "trioroute.addresses belongs into the deployment's file"


def test_another_mount_than_the_root() -> None:
    assert [problem.code for problem in read_endpoint("trioroute.mount: /x")[1]] == ["TR0202"]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (
            "trioroute.cors: https://app.example/index.html",
            "TR0202",
            'expected origins like https://host:port, found "https://app.example/index.html"',
        ),
        (
            'trioroute.cors: "*,https://app.example"',
            "TR0202",
            'expected origins like https://host:port, found "*"',
        ),
        ('trioroute.cors: ","', "TR0202", "expected origins like https://host:port, found none"),
        ('trioroute.cors: "https://a\\r\\nx: y"', "TR0202", "expected origins like"),
        ("trioroute.status_codes: azure", "TR0105", "azure"),
        ('trioroute.half_close_grace_ms: "300001"', "TR0108", "between -1 and 300000"),
        ('trioroute.body_bytes_max: "-1"', "TR0108", "0 or more"),
        ('trioroute.server_timings: "false"', "TR0201", "trioroute.server_timings"),
    ],
)
def test_what_an_endpoint_may_not_say(line: str, code: str, message: str) -> None:
    properties, [error] = read_endpoint(line)
    assert properties is None
    assert error.code == code
    assert message in error.message


def test_an_endpoints_property_in_a_deployment() -> None:
    properties, [error] = read_deployment('trioroute.idempotent: "true"')
    assert properties is None
    assert error.message == "trioroute.idempotent belongs into the endpoint's file"


def test_other_properties_are_none_of_our_business() -> None:
    assert read_endpoint("enforce_access: enabled") == (EndpointProperties(), [])


def test_keys_of_attributes() -> None:
    assert key_of("canary_halt_error_rate") == "trioroute.canary.halt_error_rate"
    assert key_of("stream_max_s") == "trioroute.stream_max_s"
