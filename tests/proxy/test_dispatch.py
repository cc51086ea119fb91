"""What a replica is sent, and which requests never get that far."""

import re
import uuid
from typing import Any

import attrs
import pytest

from tests.proxy.standalone import snapshot_of
from tests.proxy.world import blue
from trioroute.core.headers import ForwardedBy
from trioroute.core.holding.holding import Grant
from trioroute.core.model import Endpoint, RoutingSnapshot
from trioroute.core.retry import RetryBudget
from trioroute.core.routing import RoutingTable
from trioroute.core.slots.priority import Priority
from trioroute.errors import MalformedRequestError, NoSuchEndpointError, UnauthorizedError
from trioroute.proxy.dispatch import OwnAnswerError, Plan, RequestIds, make_plan
from trioroute.trust.doorkeeper import Doorkeeper
from trioroute.wire.fast import FastRequestDecoder
from trioroute.wire.http import Limits

GRANT = Grant("echo/blue", "r1", 2, 3, 4)
IDS = RequestIds()


def plan_of(
    request: bytes, snapshot: RoutingSnapshot | None = None, *, is_trusted: bool = False
) -> Plan:
    head = FastRequestDecoder(Limits()).feed_head(request)
    assert head is not None
    return make_plan(
        head,
        RoutingTable.from_snapshot(snapshot or snapshot_of([])),
        forwarded_by=ForwardedBy(b"10.0.0.9", tls=False, trusted=is_trusted),
        is_trusted=is_trusted,
        budget_of=lambda _: RetryBudget(),
        admit=lambda endpoint, value: Doorkeeper().admit(endpoint, value, address="", now=0.0),
    )


def echo(**settings: Any) -> Endpoint:
    """The endpoint at `/`, with some settings changed."""
    return attrs.evolve(snapshot_of([]).endpoints[0], **settings)


def sent_lines(plan: Plan, **settings: object) -> list[bytes]:
    deployment = blue(**settings)
    out = plan.request_bytes(deployment, GRANT, b"id-1", host=b"r1:80", ids=IDS)
    assert out.endswith(b"\r\n\r\n")
    return out[:-4].split(b"\r\n")


def test_a_head_is_written_anew() -> None:
    lines = sent_lines(plan_of(b"GET /p?q HTTP/1.1\r\nHost: a.example\r\nAccept:  */*\r\n\r\n"))
    assert lines[0] == b"GET /p?q HTTP/1.1"
    assert {b"host: a.example", b"accept: */*", b"via: 1.1 trioroute"} <= set(lines)
    assert {b"x-request-id: id-1", b"x-ms-request-id: id-1"} <= set(lines)
    assert b"x-trioroute-slot: r1/2/3/4" in lines
    assert b"x-forwarded-for: 10.0.0.9" in lines


@pytest.mark.parametrize(
    ("request_head", "framing"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", b"content-length: 3"),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", b"content-length: 0"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
            b"transfer-encoding: chunked",
        ),
    ],
)
def test_framing_is_written_once(request_head: bytes, framing: bytes) -> None:
    lines = sent_lines(plan_of(request_head))
    assert [line for line in lines if re.match(rb"content-length|transfer-enc", line)] == [framing]


def test_a_get_without_content_has_no_framing() -> None:
    lines = sent_lines(plan_of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert not [line for line in lines if re.match(rb"content-length|transfer-enc", line)]


def test_a_request_without_host_gets_the_replicas() -> None:
    assert b"host: r1:80" in sent_lines(plan_of(b"GET / HTTP/1.0\r\n\r\n"))


def test_a_trace_goes_on_below_a_new_parent() -> None:
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request = b"GET / HTTP/1.1\r\nHost: a\r\ntraceparent: %b\r\ntracestate: v=1\r\n\r\n" % parent
    plan = plan_of(request)
    lines = sent_lines(plan)
    [line] = [line for line in lines if line.startswith(b"traceparent")]
    assert line.startswith(b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-")
    assert parent not in line
    assert b"tracestate: v=1" in lines
    assert plan.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert line not in sent_lines(plan)


def test_an_invalid_trace_is_dropped_whole() -> None:
    lines = sent_lines(
        plan_of(b"GET / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-x\r\ntracestate: v=1\r\n\r\n")
    )
    assert not [line for line in lines if line.startswith(b"trace")]


@pytest.mark.parametrize(
    ("upgrade", "upgrade_max_s", "passes"),
    [(b"websocket", 60.0, True), (b"websocket", None, False), (b"h2c", 60.0, False)],
)
def test_only_listed_upgrades_pass(
    upgrade: bytes, upgrade_max_s: float | None, passes: bool
) -> None:
    plan = plan_of(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: %b\r\n\r\n" % upgrade
    )
    lines = sent_lines(plan, upgrade_max_s=upgrade_max_s)
    assert (b"upgrade: " + upgrade in lines) is passes
    assert (b"connection: upgrade" in lines) is passes


def test_max_forwards_counts_down_for_options_only() -> None:
    fields = b"HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n"
    assert b"max-forwards: 2" in sent_lines(plan_of(b"OPTIONS / " + fields))
    with pytest.raises(OwnAnswerError):
        plan_of(b"OPTIONS / " + fields.replace(b"3", b"0"))
    with pytest.raises(MalformedRequestError):
        plan_of(b"OPTIONS / " + fields.replace(b"3", b"x"))
    assert plan_of(b"GET / " + fields.replace(b"3", b"x")).head.method == b"GET"


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT"])
def test_methods_that_are_not_forwarded_are_405(method: bytes) -> None:
    target = b"a:80" if method == b"CONNECT" else b"/"
    with pytest.raises(MalformedRequestError) as caught:
        plan_of(method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert caught.value.answer_status == 405


def test_nothing_there_and_no_key() -> None:
    closed = attrs.evolve(
        snapshot_of([]), endpoints=(Endpoint(name="echo", traffic={"blue": 100}),)
    )
    with pytest.raises(NoSuchEndpointError):
        plan_of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", closed)
    with pytest.raises(UnauthorizedError):
        plan_of(b"GET /api/v1/service/echo/score HTTP/1.1\r\nHost: a\r\n\r\n", closed).check()


def test_a_request_id_is_believed_only_from_a_trusted_proxy() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: edge-7\r\n\r\n"
    assert plan_of(request).trusted_id is None
    assert plan_of(request, is_trusted=True).trusted_id == b"edge-7"
    assert plan_of(request.replace(b"edge-7", b"b d"), is_trusted=True).trusted_id is None


def test_post_is_repeatable_only_when_it_says_so() -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    assert not plan_of(post).is_idempotent
    assert plan_of(post.replace(b"\r\n\r\n", b"\r\nIdempotency-Key: k\r\n\r\n")).is_idempotent
    assert plan_of(post.replace(b"POST", b"PUT")).is_idempotent
    assert plan_of(post, snapshot_of([], endpoint=echo(idempotent=True))).is_idempotent


@pytest.mark.parametrize("forwards", [False, True])
def test_credentials_go_on_only_where_the_endpoint_says_so(forwards: bool) -> None:
    snapshot = snapshot_of([], endpoint=echo(forwards_authorization=forwards))
    request = b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n\r\n"
    lines = sent_lines(plan_of(request, snapshot))
    assert lines.count(b"authorization: Bearer k") == forwards


def test_ids_are_random_uuids() -> None:
    ids = RequestIds()
    made = [ids.next() for _ in range(600)]
    assert len(set(made)) == 600
    for text in made:
        parsed = uuid.UUID(text.decode())
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)
        assert str(parsed).encode() == text


@pytest.mark.parametrize(
    ("said", "is_enabled", "expected"),
    [
        (b"high", True, Priority.HIGH),
        (b" LOW ", True, Priority.LOW),
        (b"high", False, Priority.NORMAL),
        (b"seven", False, Priority.NORMAL),
        (None, True, Priority.NORMAL),
    ],
)
def test_clients_choose_a_priority_where_the_endpoint_lets_them(
    said: bytes | None, is_enabled: bool, expected: Priority
) -> None:
    line = b"" if said is None else b"X-Trioroute-Priority: %b\r\n" % said
    snapshot = attrs.evolve(snapshot_of([]), endpoints=(echo(priority=is_enabled),))
    plan = plan_of(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % line, snapshot)
    assert plan.priority is expected
    assert not [sent for sent in sent_lines(plan) if b"priority" in sent], "ours: not passed on"


def test_a_priority_that_there_is_not_is_refused() -> None:
    snapshot = attrs.evolve(snapshot_of([]), endpoints=(echo(priority=True),))
    with pytest.raises(MalformedRequestError, match="high, normal or low"):
        plan_of(b"GET / HTTP/1.1\r\nHost: a\r\nX-Trioroute-Priority: 7\r\n\r\n", snapshot)
