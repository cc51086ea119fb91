"""Traces as people write them, as the access log writes them, and wrong."""

import msgspec
import pytest

from trioroute.core.yardstick.trace import TracedRequest, parse_trace
from trioroute.errors import ConfigError
from trioroute.telemetry.access_log import AccessRecord


def access_line(at: float, *, deployment: str = "blue", replica: str = "r1") -> str:
    record = AccessRecord(
        ts=at,
        request_id="1",
        endpoint="e" if deployment else "",
        deployment=deployment,
        replica=replica,
        queue_s=0.2,
        route_s=0.01,
        upstream_s=0.08 if replica else 0.0,
        total_s=0.3,
    )
    return msgspec.json.encode(record).decode()


def test_requests_are_sorted_and_begin_at_zero() -> None:
    lines = ["# a comment", "", '{"at": 12.5, "service": 1}', '{"ready": 3}', '{"at": 10}']
    trace = parse_trace(lines, name="t")
    assert trace.requests == (TracedRequest(0.0, 1.0), TracedRequest(2.5, 1.0))
    assert trace.ready_times_s == (3.0,)
    assert trace.guessed == 1


def test_an_access_log_is_a_trace() -> None:
    """What was not routed is no load; what no replica answered took as long as the others."""
    lines = [access_line(5.0), access_line(6.0, replica=""), access_line(7.0, deployment="")]
    trace = parse_trace(lines, name="t")
    assert [request.arrived_at for request in trace.requests] == [0.0, 1.0]
    assert [r.service_s for r in trace.requests] == pytest.approx([0.09, 0.09])
    assert trace.guessed == 1


def test_ready_times_are_those_of_the_deployment() -> None:
    """As `app.host.start_log` writes them; the others' are of other models."""
    starts = [
        '{"ts": 1, "endpoint": "e", "deployment": "blue", "ready": 3}',
        '{"ts": 2, "endpoint": "e", "deployment": "green", "ready": 40}',
        '{"ready": 4}',
    ]
    assert parse_trace([*starts, access_line(5.0)], name="t").ready_times_s == (3.0, 4.0)
    green = access_line(5.0, deployment="green")
    trace = parse_trace([*starts, access_line(5.0), green], name="t", deployment="e/green")
    assert trace.ready_times_s == (40.0, 4.0)


def test_one_deployment_of_several_is_chosen() -> None:
    lines = [access_line(5.0), access_line(6.0, deployment="green")]
    assert len(parse_trace(lines, name="t", deployment="e/green").requests) == 1
    with pytest.raises(ConfigError, match="several deployments: name one of e/blue, e/green"):
        parse_trace(lines, name="t")
    with pytest.raises(ConfigError, match="no request of e/red; it has e/blue, e/green"):
        parse_trace(lines, name="t", deployment="e/red")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "t:2: not JSON"),
        ("[1]", "t:2: expected a JSON object"),
        ('{"when": 1}', 't:2: expected {"at": s, "service": s}, '),
        ('{"at": "1"}', "t:2: \"at\" must be a number of seconds, not '1'"),
        ('{"at": true}', 't:2: "at" must be a number'),
        ('{"at": NaN}', 't:2: "at" must be a number'),
        ('{"at": 1, "service": -1}', 't:2: "service" must be seconds, 0 or more, not -1'),
        ('{"ready": -0.5}', 't:2: "ready" must be seconds, 0 or more'),
        ('{"ts": 1, "total_s": "x", "deployment": "d"}', 't:2: "total_s" must be a number'),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_trace(["# first", line], name="t")
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("lines", "message"),
    [([], "t has no request"), (['{"at": 1}'], "t has no request with a service time")],
)
def test_nothing_to_replay_is_an_error(lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_trace(lines, name="t")
