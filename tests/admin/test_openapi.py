"""The OpenAPI document describes what is routed, and its schemas what is sent and read."""

import re
from typing import Any

import msgspec
import pytest
import trio

from tests.admin.asgi import call
from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from trioroute.admin.guard import AdminPolicy
from trioroute.admin.operations import OPERATIONS
from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.admin.views import build_app
from trioroute.errors import NoCoordinatorError

ROLES = ("read", "operate", "admin")


async def document() -> dict[str, Any]:
    app = build_app(SmallView(), AdminPolicy(), desk=SmallDesk(), stopping=trio.Event())
    answer = await call(app, "GET", "/openapi.json")
    found: dict[str, Any] = answer.json()
    return found


async def test_every_operation_is_described() -> None:
    described = await document()
    assert described["openapi"] == "3.1.0"
    assert described["info"]["version"] == "0.1.0"
    operations = {
        (method.upper(), path): operation["operationId"]
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {(one.method, one.path): one.name for one in OPERATIONS}
    assert len(set(operations.values())) == len(OPERATIONS)


async def test_every_reference_leads_somewhere() -> None:
    described = await document()
    schemas = described["components"]["schemas"]
    text = msgspec.json.encode(described).decode()
    names = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', text))
    assert {"ClusterStatus", "Registry", "Problem", "Endpoint", "Deployment"} <= names
    assert names <= schemas.keys()
    assert set(re.findall(r'"\$ref":"([^"]+)"', text)) == {
        f"#/components/schemas/{name}" for name in names
    }


async def test_a_registry_refuses_unknown_fields_and_a_status_may_grow() -> None:
    schemas = (await document())["components"]["schemas"]
    for name in ("Registry", "Endpoint", "Deployment", "ScaleSettings", "Probe", "StaticSource"):
        assert schemas[name]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["ClusterStatus"]
    assert schemas["ScriptSource"]["properties"]["kind"] == {"const": "ScriptSource"}
    assert {"endpoint", "name", "source"} <= set(schemas["Deployment"]["required"])


async def test_everything_but_health_may_need_a_token_and_says_of_which_role() -> None:
    for path, methods in (await document())["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) == (path not in ("/livez", "/readyz"))
            assert ("security" in operation) == (operation.get("x-role") in ROLES)


@pytest.mark.parametrize(
    "failure",
    [RefusedError("x"), NoCoordinatorError("x"), OutcomeUnknownError("x"), None],
    ids=["refused", "no-coordinator", "unknown", "fine"],
)
@pytest.mark.parametrize("origin", [{}, {"origin": "https://other.example"}])
async def test_every_answer_given_is_one_described(
    failure: Exception | None, origin: dict[str, str]
) -> None:
    paths = (await document())["paths"]
    view = SmallView(failure=failure, readiness=(failure is None, "why"))
    app = build_app(view, AdminPolicy(), desk=SmallDesk(), stopping=trio.Event())
    body = b'{"endpoints": [], "deployments": []}'
    for one in OPERATIONS:
        if one.path == "/v1/stream":
            continue  # does not end by itself
        path = one.path.format(endpoint="echo", deployment="blue")
        answer = await call(app, one.method, path, body, headers=origin)
        described = paths[one.path][one.method.lower()]["responses"][str(answer.status)]
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        assert list(described.get("content", {})) == ([media_type] if media_type else [])
