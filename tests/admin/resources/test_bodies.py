"""Bodies are read strictly."""

import os
from pathlib import Path

import attrs
import pytest
import trio

from tests.admin.asgi import call
from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from trioroute.admin.guard import AdminPolicy
from trioroute.admin.registry_json import RegistryJSONError
from trioroute.admin.resources.bodies import read_deployment, read_endpoint, read_wish
from trioroute.admin.view import RefusedError
from trioroute.admin.views import build_app
from trioroute.core.model import AuthMode, Deployment, Endpoint, StaticSource
from trioroute.core.resources.commands import PutDeployment, PutEndpoint, SetTraffic
from trioroute.wire.resources import KeyWish

BLUE = b'{"deployment": {"endpoint": "iris", "name": "blue", "source": %s}}'
STATIC = b'{"kind": "StaticSource", "addresses": []}'


def test_no_body_stands_for_all_defaults() -> None:
    assert read_wish(b"", KeyWish) == KeyWish()


def test_an_endpoint_comes_with_its_document_and_first_keys() -> None:
    body = (
        b'{"endpoint": {"name": "iris", "traffic": {"blue": 100}}, "document": "{}",'
        b' "keys": {"primaryKey": "a", "secondaryKey": "b"}}'
    )
    endpoint, wish = read_endpoint(body, "iris")
    assert endpoint.traffic == {"blue": 100}
    assert wish.keys is not None
    assert (wish.document, wish.keys.primary_key) == ("{}", "a")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "object"),
        (b'{"endpoint": {"name": "wine"}}', "differ"),
        (b'{"endpoint": {"name": "iris", "trafic": {}}}', "unknown: trafic"),
        (b'{"endpoint": {"name": "iris"}, "extra": 1}', "extra"),
    ],
)
def test_what_is_no_endpoint_says_where(body: bytes, says: str) -> None:
    with pytest.raises(RegistryJSONError, match=says):
        read_endpoint(body, "iris")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"endpoint": {"name": "iris", "traffic": {"blue": 50}}}', "sum to 0 or 100"),
        (b'{"endpoint": {"name": "iris", "tags": {"a": 99999999999999999999}}}', "64 bits"),
    ],
)
def test_an_endpoint_that_breaks_a_rule_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        read_endpoint(body, "iris")


def test_a_deployment_is_checked_alike() -> None:
    deployment, _ = read_deployment(BLUE % STATIC, "iris", "blue")
    assert deployment.key == "iris/blue"
    with pytest.raises(RegistryJSONError, match="differ"):
        read_deployment(BLUE % STATIC, "iris", "green")
    with pytest.raises(RegistryJSONError, match="kind"):
        read_deployment(BLUE % b"{}", "iris", "blue")
    with pytest.raises(RefusedError, match="slots_per_replica"):
        read_deployment(
            BLUE.replace(b'"name"', b'"slots_per_replica": 0, "name"') % STATIC, "iris", "blue"
        )


GOLDEN = Path(__file__).with_name("bad_bodies.txt")


async def test_bad_bodies_are_told_as_a_person_would_like() -> None:
    head, *cases = GOLDEN.read_text().split("=== ")
    found = head
    for case in cases:
        request, _, _ = case.partition("--- answer")
        line, _, body = request.partition("\n")
        found += f"=== {line}\n{body}{await answer_of(line, body.strip())}"
    if os.environ.get("TRIOROUTE_REWRITE"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()
    assert len(cases) >= 30


async def answer_of(line: str, body: str) -> str:
    """The answer of an API that has seen nothing else."""
    desk = SmallDesk()
    blue = Deployment(
        endpoint="echo", name="blue", source=StaticSource(addresses=(("127.0.0.1", 9401),))
    )
    await desk.change(PutEndpoint(endpoint=Endpoint(name="echo")))
    await desk.change(PutDeployment(deployment=blue))
    await desk.change(SetTraffic(endpoint="echo", traffic={"blue": 100}))
    tokened = Endpoint(name="tokened", auth_mode=AuthMode.AML_TOKEN)
    await desk.change(PutEndpoint(endpoint=tokened))
    app = build_app(SmallView(), AdminPolicy(), desk=desk, stopping=trio.Event())
    method, path, *condition = line.split()
    headers = {condition[0].rstrip(":"): f'"{condition[1]}"'} if condition else {}
    before = desk.state
    answer = await call(app, method, path, body.encode(), headers=headers)
    after = attrs.evolve(desk.state, index=before.index)
    assert after == before, "a refused change has changed something"
    problem = answer.json()
    assert answer.status == problem["status"] >= 400
    told = f"{problem['code']} {problem['title']}: {problem['detail']}"
    return f"--- answer: status {answer.status}\n{told}\n"
