"""Who may do what, on which listener, asked for by which name: every operation, every role."""

import logging

import pytest
import trio

from tests.admin.asgi import Answer, call
from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from trioroute.admin.guard import AdminPolicy
from trioroute.admin.operations import OPERATIONS
from trioroute.admin.roles import AdminToken, Role, digest_of_token
from trioroute.admin.views import build_app
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.core.resources.commands import PutDeployment, PutEndpoint

TOKENS = tuple(
    AdminToken(name=f"{role.name.lower()}er", role=role, digest=digest_of_token(role.name.lower()))
    for role in Role
)
WITH_TOKENS = AdminPolicy(tokens=TOKENS)
READ_ONLY = AdminPolicy(is_read_only=True)
IN_CLUSTER = AdminPolicy(is_loopback=False)

#: Operation → the least that may have it. Written down again by hand: a new operation fails the
#: tests below until somebody has thought about its row.
#:   anybody: on every listener, without a token   scrape: read; anybody on the read-only listener
MATRIX = {
    ("GET", "/livez"): "anybody",
    ("GET", "/readyz"): "anybody",
    ("GET", "/metrics"): "scrape",
    ("GET", "/openapi.json"): "scrape",
    ("GET", "/v1/status"): "scrape",
    ("GET", "/v1/endpoints"): "scrape",
    ("GET", "/v1/endpoints/{endpoint}"): "scrape",
    ("GET", "/v1/front-ends"): "scrape",
    ("GET", "/v1/replicas"): "scrape",
    ("GET", "/v1/stream"): "scrape",
    ("GET", "/v1/decisions"): "scrape",
    ("GET", "/v1/registry"): "read",
    ("GET", "/v1/endpoints/{endpoint}/deployments/{deployment}/logs"): "read",
    ("PATCH", "/v1/endpoints/{endpoint}/traffic"): "operate",
    ("PUT", "/v1/endpoints/{endpoint}/deployments/{deployment}"): "operate",
    ("DELETE", "/v1/endpoints/{endpoint}/deployments/{deployment}"): "operate",
    ("POST", "/v1/endpoints/{endpoint}/token"): "operate",
    ("POST", "/v1/raft/transfer"): "operate",
    ("POST", "/v1/drain"): "operate",
    ("POST", "/v1/drills"): "operate",
    ("PUT", "/v1/registry"): "admin",
    ("PUT", "/v1/endpoints/{endpoint}"): "admin",
    ("DELETE", "/v1/endpoints/{endpoint}"): "admin",
    ("POST", "/v1/endpoints/{endpoint}/token/revoke"): "admin",
    ("POST", "/v1/endpoints/{endpoint}/credentials"): "admin",
    ("POST", "/v1/endpoints/{endpoint}/credentials/regenerate"): "admin",
}
ORDER = ("anybody", "scrape", "read", "operate", "admin")
#: Who asks → how far down ORDER the operations go that it may have.
ASKERS = {"nobody": 1, "read": 3, "operate": 4, "admin": 5}
REFUSALS = (401, 403, 429)
BODIES = {
    "/v1/registry": b'{"endpoints": [], "deployments": []}',
    "/v1/drills": b'{"subject": "fe-0", "summary": "drill"}',
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


async def ask(
    policy: AdminPolicy, operation: tuple[str, str], headers: dict[str, str]
) -> tuple[Answer, bool]:
    """The answer of a fresh front-end, and whether anything was changed or begun."""
    view, desk = SmallView(), await desk_with_blue()
    index = desk.state.index
    stopping = trio.Event()
    stopping.set()  # so that the stream ends
    app = build_app(view, policy, desk=desk, stopping=stopping)
    method, path = operation[0], operation[1].format(endpoint="echo", deployment="blue")
    body = b"" if method == "GET" else BODIES.get(path, b"{}")
    answer = await call(app, method, path, body, headers=headers)
    return answer, bool(view.written) or desk.state.index > index


def test_every_operation_has_its_row() -> None:
    assert MATRIX.keys() == {(one.method, one.path) for one in OPERATIONS}
    assert {(one.method, one.path): one.access.value for one in OPERATIONS} == {
        operation: "health" if least == "anybody" else least for operation, least in MATRIX.items()
    }


@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize("operation", MATRIX, ids=" ".join)
async def test_every_operation_for_every_role(operation: tuple[str, str], asker: str) -> None:
    headers = {} if asker == "nobody" else {"authorization": f"Bearer {asker}"}
    answer, is_changed = await ask(WITH_TOKENS, operation, headers)
    is_allowed = ORDER.index(MATRIX[operation]) < ASKERS[asker]
    assert (answer.status not in REFUSALS) == is_allowed
    if not is_allowed:
        assert answer.status == (401 if asker == "nobody" else 403)
        assert not is_changed
    assert ("www-authenticate" in answer.headers) == (answer.status == 401)


@pytest.mark.parametrize("authorization", ["Bearer wrong", "Basic admin", "admin", "Bearer ", ""])
@pytest.mark.parametrize("operation", MATRIX, ids=" ".join)
async def test_what_is_no_token_is_nobody(operation: tuple[str, str], authorization: str) -> None:
    answer, is_changed = await ask(WITH_TOKENS, operation, {"authorization": authorization})
    is_open = MATRIX[operation] == "anybody"
    assert (answer.status == 401, is_changed) == (not is_open, False)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer admin"}])
@pytest.mark.parametrize("operation", MATRIX, ids=" ".join)
async def test_the_read_only_listener_answers_scrapes_and_nothing_else(
    operation: tuple[str, str], headers: dict[str, str]
) -> None:
    policy = AdminPolicy(is_read_only=True, tokens=TOKENS)
    answer, is_changed = await ask(policy, operation, headers)
    is_open = MATRIX[operation] in ("anybody", "scrape")
    assert (answer.status == 200, answer.status == 403) == (is_open, not is_open)
    assert not is_changed


@pytest.mark.parametrize("operation", MATRIX, ids=" ".join)
async def test_without_tokens_whoever_reaches_the_listener_may_do_everything(
    operation: tuple[str, str],
) -> None:
    answer, is_changed = await ask(AdminPolicy(), operation, {})
    assert answer.status not in REFUSALS
    # This endpoint has neither keys nor tokens: those who ask for them are told so.
    is_reading = operation[0] == "GET" or any(w in operation[1] for w in ("credentials", "token"))
    assert is_changed or is_reading


@pytest.mark.parametrize("policy", [AdminPolicy(), WITH_TOKENS])
@pytest.mark.parametrize("operation", MATRIX, ids=" ".join)
async def test_pages_of_other_sites_change_nothing(
    operation: tuple[str, str], policy: AdminPolicy
) -> None:
    headers = {"origin": "https://evil.example", "authorization": "Bearer admin"}
    answer, is_changed = await ask(policy, operation, headers)
    assert (answer.status == 403) == (operation[0] != "GET")
    assert not is_changed


async def test_the_scheme_is_read_in_any_case_and_the_token_is_not() -> None:
    for authorization, status in (("bearer ADMIN", 401), ("BEARER admin", 202)):
        answer, _ = await ask(WITH_TOKENS, ("POST", "/v1/drain"), {"authorization": authorization})
        assert answer.status == status


async def test_an_address_that_guesses_has_to_wait_and_who_has_a_token_does_not() -> None:
    app = build_app(SmallView(), WITH_TOKENS, desk=SmallDesk(), stopping=trio.Event())
    right, wrong = {"authorization": "Bearer read"}, {"authorization": "Bearer guess"}
    assert (await call(app, "GET", "/v1/status", headers=right)).status == 200
    statuses = [(await call(app, "GET", "/v1/status", headers=wrong)).status for _ in range(40)]
    assert set(statuses) == {401, 429}
    assert statuses == sorted(statuses)
    late = await call(app, "GET", "/v1/status", headers=wrong)
    assert (late.json()["code"], late.headers["retry-after"]) == ("TR0817", "1")
    assert (await call(app, "GET", "/v1/status", headers=right)).status == 200
    # A right token that was never seen before waits as well: it might be a guess.
    other = {"authorization": "Bearer admin"}
    assert (await call(app, "GET", "/v1/status", headers=other)).status == 429
    assert (await call(app, "GET", "/livez", headers=wrong)).status == 200


async def test_the_audit_log_names_who_changed_and_never_a_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="trioroute.admin.audit")
    for token in ("admin", "read", "planted-token"):
        await ask(WITH_TOKENS, ("POST", "/v1/drain"), {"authorization": f"Bearer {token}"})
    assert [record.getMessage() for record in caplog.records] == [
        "adminer: POST '/v1/drain'",
        "reader (read) refused: POST '/v1/drain'",
        "no valid token from 127.0.0.1: POST '/v1/drain'",
    ]


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
    for policy, can_be_refused in ((AdminPolicy(), True), (IN_CLUSTER, False)):
        answer, _ = await ask(policy, ("GET", "/v1/status"), {"host": host})
        assert answer.status == (200 if is_answered or not can_be_refused else 403)
