"""What each path of the admin API answers, errors included."""

import msgspec
import pytest
import trio
from starlette.types import Message
from trio.testing import MockClock

from tests.admin.asgi import call
from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import STATUS, SmallView
from trioroute.admin.guard import AdminPolicy, Guard
from trioroute.admin.operations import EndpointList, FrontEndList, ReplicaList, ReplicaOf
from trioroute.admin.transfer import BODY_BYTES_MAX
from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.admin.views import build_app
from trioroute.core.model import CommandSource, Deployment, Endpoint, ScriptSource, StaticSource
from trioroute.core.registry import PutRegistry
from trioroute.core.status import ClusterStatus
from trioroute.errors import NoCoordinatorError
from trioroute.wire.records import unstructure_record

REGISTRY = PutRegistry(
    endpoints=(
        Endpoint(name="echo", traffic={"blue": 100}, key_digests=(bytes(32), b"\xff" * 32)),
    ),
    deployments=(
        Deployment(endpoint="echo", name="blue", source=StaticSource(addresses=(("::1", 9401),))),
        Deployment(
            endpoint="echo", name="green", source=ScriptSource(code="/c", script="score.py")
        ),
        Deployment(endpoint="echo", name="red", source=CommandSource(command=("a",), cwd="/")),
    ),
)
REGISTRY_JSON = msgspec.json.encode(unstructure_record(REGISTRY))


def app_of(view: SmallView) -> Guard:
    return build_app(view, AdminPolicy(), desk=SmallDesk(), stopping=trio.Event())


async def test_status_is_the_whole_picture() -> None:
    answer = await call(app_of(SmallView()), "GET", "/v1/status")
    assert answer.status == 200
    assert msgspec.json.decode(answer.body, type=ClusterStatus) == STATUS
    assert answer.headers["cache-control"] == "no-store"


async def test_parts_of_the_picture_can_be_asked_for() -> None:
    app = app_of(SmallView())
    (echo,) = STATUS.endpoints
    replica = echo.deployments[0].replicas[0]
    for path, expected in (
        ("/v1/endpoints", EndpointList((echo,))),
        ("/v1/endpoints/echo", echo),
        ("/v1/front-ends", FrontEndList(STATUS.front_ends)),
        ("/v1/replicas", ReplicaList((ReplicaOf("echo", "blue", replica),))),
    ):
        answer = await call(app, "GET", path)
        assert (answer.status, answer.body) == (200, msgspec.json.encode(expected))


async def test_an_unknown_endpoint_is_a_problem_without_its_name() -> None:
    """What a client sent is never repeated."""
    answer = await call(app_of(SmallView()), "GET", "/v1/endpoints/nobody")
    assert (answer.status, answer.json()["code"]) == (404, "TR0801")
    assert b"nobody" not in answer.body


async def test_live_is_not_ready() -> None:
    app = app_of(SmallView(readiness=(False, "no coordinator known")))
    assert (await call(app, "GET", "/livez")).status == 200
    answer = await call(app, "GET", "/readyz")
    assert (answer.status, answer.body) == (503, b"no coordinator known\n")


async def test_ready_says_so() -> None:
    answer = await call(app_of(SmallView()), "GET", "/readyz")
    assert (answer.status, answer.body) == (200, b"ready\n")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openm")],
)
async def test_metrics_come_in_the_scraper_s_format(accept: str, content_type: str) -> None:
    answer = await call(app_of(SmallView()), "GET", "/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith(content_type)
    assert b"trioroute_requests_total{" in answer.body


async def test_a_registry_arrives_as_it_was_sent() -> None:
    view = SmallView()
    answer = await call(app_of(view), "PUT", "/v1/registry", REGISTRY_JSON)
    assert (answer.status, answer.json()) == (200, {"index": 42})
    assert view.written == [(REGISTRY.endpoints, REGISTRY.deployments)]


async def test_a_registry_may_come_in_pieces() -> None:
    view = SmallView()
    pieces = [REGISTRY_JSON[i : i + 100] for i in range(0, len(REGISTRY_JSON), 100)]
    assert (await call(app_of(view), "PUT", "/v1/registry", pieces)).status == 200
    assert len(view.written) == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "detail"),
    [
        (b"", 400, "TR0803", "not a registry"),
        (b"{}", 400, "TR0803", "`endpoints` is missing"),
        (
            b'{"endpoints": [{"name": "X"}], "deployments": []}',
            409,
            "TR0809",
            "endpoint 'X': a name has 3 to 32",
        ),
        (b" " * (BODY_BYTES_MAX + 1), 413, "TR0804", "8388608 bytes"),
    ],
)
async def test_what_is_no_registry_is_refused(
    body: bytes, status: int, code: str, detail: str
) -> None:
    view = SmallView()
    answer = await call(app_of(view), "PUT", "/v1/registry", body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert detail in answer.json()["detail"]
    assert view.written == []


async def test_another_media_type_is_refused() -> None:
    """A web page can send text/plain to another site without asking first."""
    answer = await call(
        app_of(SmallView()),
        "PUT",
        "/v1/registry",
        REGISTRY_JSON,
        headers={"content-type": "text/plain"},
    )
    assert (answer.status, answer.json()["code"]) == (415, "TR0805")


@pytest.mark.parametrize(
    ("path", "written"), [("/v1/raft/transfer", "transfer"), ("/v1/drain", "drain")]
)
async def test_orders_are_passed_on(path: str, written: str) -> None:
    view = SmallView()
    assert (await call(app_of(view), "POST", path)).status == 202
    assert view.written == [written]


@pytest.mark.parametrize(
    ("failure", "status", "code", "detail"),
    [
        (RefusedError("no such endpoint: x"), 409, "TR0809", "no such endpoint: x"),
        (NoCoordinatorError(), 503, "TR0810", "try again in a second"),
        (NoCoordinatorError("an election is on"), 503, "TR0810", "an election is on"),
        (OutcomeUnknownError("timed out"), 504, "TR0811", "timed out"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/registry", REGISTRY_JSON),
        ("POST", "/v1/raft/transfer", b""),
        ("POST", "/v1/drain", b""),
    ],
)
async def test_a_failed_write_says_what_became_of_it(
    failure: Exception, status: int, code: str, detail: str, method: str, path: str, body: bytes
) -> None:
    answer = await call(app_of(SmallView(failure=failure)), method, path, body)
    assert (answer.status, answer.json()["code"], answer.json()["detail"]) == (status, code, detail)
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_a_fault_of_ours_is_answered_and_then_raised_for_the_log() -> None:
    sent: list[int] = []

    async def with_status(app: Guard) -> None:
        answer = await call(app, "POST", "/v1/drain")
        sent.append(answer.status)

    with pytest.raises(ZeroDivisionError):
        await with_status(app_of(SmallView(failure=ZeroDivisionError())))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "TR0801"),
        ("GET", "/v1/nothing", 404, "TR0801"),
        ("GET", "/v1/drain", 405, "TR0802"),
        ("POST", "/v1/status", 405, "TR0802"),
        ("DELETE", "/v1/registry", 405, "TR0802"),
    ],
)
async def test_unknown_paths_and_methods_are_problems_too(
    method: str, path: str, status: int, code: str
) -> None:
    answer = await call(app_of(SmallView()), method, path)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert ("allow" in answer.headers) == (status == 405)


async def test_a_body_that_does_not_come_is_given_up(autojump_clock: MockClock) -> None:
    view = SmallView()

    async def receive() -> Message:
        await trio.sleep_forever()
        raise AssertionError

    answer = await call(app_of(view), "PUT", "/v1/registry", receive=receive)
    assert (answer.status, answer.json()["code"]) == (408, "TR0814")
    assert view.written == []
