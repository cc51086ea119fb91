"""Who may read and who may change, on which listener, asked for by which name."""

import pytest
import trio

from tests.admin.asgi import call
from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from trioroute.admin.guard import AdminPolicy, digest_of_token
from trioroute.admin.operations import OPERATIONS
from trioroute.admin.views import build_app
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.core.resources.commands import PutDeployment, PutEndpoint

TOKEN = AdminPolicy(token_digest=digest_of_token("secret"))
READ_ONLY = AdminPolicy(is_read_only=True)
IN_CLUSTER = AdminPolicy(is_loopback=False)

#: Every operation there is, so that a new one cannot be forgotten; the stream does not end.
READS = [
    o.path.format(endpoint="echo", deployment="blue")
    for o in OPERATIONS
    if o.method == "GET" and o.path != "/v1/stream"
]
WRITES = [(o.method, o.path) for o in OPERATIONS if o.method != "GET"]
BODIES = {
    "/v1/registry": b'{"endpoints": [], "deployments": []}',
    "/v1/endpoints/echo": b'{"endpoint": {"name": "echo", "anonymous": true}}',
    "/v1/endpoints/echo/traffic": b'{"traffic": {}}',
    "/v1/endpoints/echo/deployments/blue": b'{"deployment": {"endpoint": "echo", "name": "blue",'
    b' "source": {"kind": "StaticSource", "addresses": []}}}',
}


async def desk_with_blue() -> SmallDesk:
    desk = SmallDesk()
    await desk.change(PutEndpoint(endpoint=Endpoint(name="echo")))
    source = StaticSource(addresses=())
    blue = Deployment(endpoint="echo", name="blue", source=source)
    await desk.change(PutDeployment(deployment=blue))
    return desk


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("policy", [AdminPolicy(), TOKEN, READ_ONLY, IN_CLUSTER])
async def test_reading_is_open_everywhere(path: str, policy: AdminPolicy) -> None:
    app = build_app(SmallView(), policy, desk=await desk_with_blue(), stopping=trio.Event())
    assert (await call(app, "GET", path)).status == 200


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    ("policy", "headers", "status"),
    [
        (AdminPolicy(), {}, 202),
        (IN_CLUSTER, {"host": "trioroute-admin.ml.svc:9090"}, 202),
        (TOKEN, {"authorization": "Bearer secret"}, 202),
        (TOKEN, {"authorization": "bearer secret"}, 202),
        (TOKEN, {}, 401),
        (TOKEN, {"authorization": "Bearer wrong"}, 401),
        (TOKEN, {"authorization": "Basic secret"}, 401),
        (TOKEN, {"authorization": "secret"}, 401),
        (READ_ONLY, {}, 403),
        (AdminPolicy(), {"origin": "https://evil.example"}, 403),
        (TOKEN, {"origin": "null", "authorization": "Bearer secret"}, 403),
    ],
)
async def test_changing_needs_what_the_policy_says(
    method: str, path: str, policy: AdminPolicy, headers: dict[str, str], status: int
) -> None:
    view, desk = SmallView(), await desk_with_blue()
    index = desk.state.index
    app = build_app(view, policy, desk=desk, stopping=trio.Event())
    path = path.format(endpoint="echo", deployment="blue")
    answer = await call(app, method, path, BODIES.get(path, b"{}"), headers=headers)
    if status == 202:
        # Credentials are read, and there are none; all others change something.
        is_read = "credentials" in path
        assert (answer.status, is_read) in ((200, False), (202, False), (409, True))
        assert is_read or bool(view.written) or desk.state.index > index
    else:
        assert answer.status == status
        assert not view.written
        assert desk.state.index == index
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("host", "is_answered"),
    [
        ("127.0.0.1:9090", True),
        ("127.0.0.1", True),
        ("127.1.2.3:1", True),
        ("localhost:9090", True),
        ("LOCALHOST", True),
        ("[::1]:9090", True),
        ("evil.example:9090", False),
        ("localhost.evil.example", False),
        ("192.168.1.7:9090", False),
        ("[fe80::1]:9090", False),
        ("", False),
    ],
)
async def test_a_loopback_listener_answers_to_loopback_names_only(
    host: str, is_answered: bool
) -> None:
    """Otherwise a page whose name resolves to 127.0.0.1 could read everything."""
    answer = await call(
        build_app(SmallView(), AdminPolicy(), desk=SmallDesk(), stopping=trio.Event()),
        "GET",
        "/v1/status",
        headers={"host": host},
    )
    assert answer.status == (200 if is_answered else 403)
