"""Resources through the admin API, over a real registry."""

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.admin.asgi import Answer, call
from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from trioroute.admin.guard import AdminPolicy, Guard
from trioroute.admin.resources.vault import KeyVault
from trioroute.admin.roles import AdminToken, Role, digest_of_token
from trioroute.admin.view import OutcomeUnknownError
from trioroute.admin.views import build_app
from trioroute.core.auth import is_authorized
from trioroute.core.model import Endpoint
from trioroute.core.resources.commands import PutEndpoint, SetTraffic
from trioroute.errors import NoCoordinatorError

ECHO = "/v1/endpoints/echo"
BLUE = f"{ECHO}/deployments/blue"


@pytest.fixture
def desk() -> SmallDesk:
    return SmallDesk()


@pytest.fixture
def app(desk: SmallDesk) -> Guard:
    return build_app(SmallView(), AdminPolicy(), desk=desk, stopping=trio.Event())


async def send(app: Guard, method: str, path: str, body: object = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await call(app, method, path, json.dumps(body or {}).encode(), headers=named)


def deployment(name: str, **changes: object) -> dict[str, Any]:
    source = {"kind": "StaticSource", "addresses": [["127.0.0.1", 9401]]}
    return {"deployment": {"endpoint": "echo", "name": name, "source": source, **changes}}


async def create(app: Guard) -> None:
    """The endpoint with all its traffic on blue, and a green one beside it."""
    endpoint = {"name": "echo", "traffic": {"blue": 100}}
    assert (await send(app, "PUT", ECHO, {"endpoint": endpoint})).status == 200
    for name in ("blue", "green"):
        path = f"{ECHO}/deployments/{name}"
        assert (await send(app, "PUT", path, deployment(name))).status == 200


async def credentials(app: Guard) -> tuple[str, str]:
    found = (await send(app, "POST", f"{ECHO}/credentials")).json()
    return found["primaryKey"], found["secondaryKey"]


async def test_an_endpoint_that_needs_keys_gets_them_once(app: Guard, desk: SmallDesk) -> None:
    body = {"endpoint": {"name": "echo"}, "document": "{}"}
    answer = await send(app, "PUT", ECHO, body)
    assert answer.json() == {
        "index": 1,
        "resource_version": 1,
        "is_new": True,
        "is_changed": True,
    }
    keys = await credentials(app)
    for key in keys:
        assert is_authorized(desk.state.endpoints["echo"], f"Bearer {key}".encode())
    body["endpoint"] = {"name": "echo", "description": "changed"}
    assert (await send(app, "PUT", ECHO, body)).json()["resource_version"] == 2
    assert await credentials(app) == keys


async def test_keys_that_its_user_brings_are_taken(app: Guard) -> None:
    keys = {"primaryKey": "mine", "secondaryKey": "ours"}
    await send(app, "PUT", ECHO, {"endpoint": {"name": "echo"}, "keys": keys})
    assert await credentials(app) == ("mine", "ours")


async def test_no_key_stands_in_the_state_or_in_any_other_answer(
    app: Guard, desk: SmallDesk
) -> None:
    await create(app)
    keys = await credentials(app)
    answers = [await send(app, "GET", path) for path in ("/v1/registry", "/v1/status", ECHO)]
    seen = repr(desk.state) + "".join(answer.body.decode() for answer in answers)
    assert not any(key in seen for key in keys)


async def test_the_same_again_changes_nothing(app: Guard) -> None:
    await create(app)
    answer = (await send(app, "PUT", BLUE, deployment("blue"))).json()
    assert (answer["is_new"], answer["is_changed"], answer["resource_version"]) == (
        False,
        False,
        2,
    )


async def test_the_registry_lists_what_there_is(app: Guard) -> None:
    await create(app)
    found = (await send(app, "GET", "/v1/registry")).json()
    assert found["index"] == 3
    (endpoint,) = found["endpoints"]
    assert (endpoint["name"], endpoint["has_keys"]) == ("echo", True)
    assert [(d["name"], d["resource_version"]) for d in found["deployments"]] == [
        ("blue", 2),
        ("green", 3),
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    [
        ("PUT", ECHO, {"endpoint": {"name": "echo"}}, {"if_none_match": "*"}, 409, "TR0815"),
        ("PUT", ECHO, {"endpoint": {"name": "echo"}}, {"if_match": '"9"'}, 409, "TR0815"),
        ("PUT", ECHO, {"endpoint": {"name": "echo"}}, {"if_match": "x"}, 400, "TR0803"),
        ("PUT", ECHO, {"endpoint": {"name": "wine"}}, {}, 400, "TR0803"),
        ("PUT", ECHO, {"endpoint": {"name": "echo", "mount": "/a"}}, {}, 409, "TR0809"),
        ("PUT", "/v1/endpoints/wine/deployments/b", deployment("b"), {}, 400, "TR0803"),
        ("DELETE", BLUE, {}, {}, 409, "TR0809"),
        ("DELETE", ECHO, {}, {"if_match": '"7"'}, 409, "TR0815"),
        ("DELETE", "/v1/endpoints/wine", {}, {}, 404, "TR0801"),
        ("PATCH", f"{ECHO}/traffic", {"traffic": {"blue": 50}}, {}, 409, "TR0809"),
        ("PATCH", f"{ECHO}/traffic", {"traffic": {"red": 100}}, {}, 404, "TR0801"),
        ("PATCH", "/v1/endpoints/wine/traffic", {"traffic": {}}, {}, 404, "TR0801"),
        (
            "PATCH",
            f"{ECHO}/traffic",
            {"traffic": {"blue": 100}, "mirror_traffic": {"green": 51}},
            {},
            409,
            "TR0809",
        ),
        ("POST", "/v1/endpoints/wine/credentials", {}, {}, 404, "TR0801"),
        ("POST", f"{ECHO}/credentials/regenerate", {"key_type": "third"}, {}, 400, "TR0803"),
        ("GET", f"{ECHO}/deployments/red/logs", {}, {}, 404, "TR0801"),
    ],
)
async def test_what_cannot_be_done_has_a_code_and_changes_nothing(  # house: a table's columns
    app: Guard,
    desk: SmallDesk,
    method: str,
    path: str,
    body: object,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    await create(app)
    before = (desk.state.endpoints, desk.state.deployments, desk.state.versions)
    answer = await send(app, method, path, body, **headers)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert (desk.state.endpoints, desk.state.deployments, desk.state.versions) == before


async def test_traffic_tells_old_and_new(app: Guard) -> None:
    await create(app)
    answer = await send(
        app, "PATCH", f"{ECHO}/traffic", {"traffic": {"blue": 90, "green": 10}}, if_match='"1"'
    )
    assert answer.json() == {
        "index": 4,
        "resource_version": 4,
        "old": {"blue": 100},
        "new": {"blue": 90, "green": 10},
    }


async def test_a_writer_who_names_no_version_is_not_troubled_by_a_faster_one(
    app: Guard, desk: SmallDesk
) -> None:
    await create(app)
    desk.before.append(SetTraffic(endpoint="echo", traffic={"green": 100}))
    answer = await send(app, "PATCH", f"{ECHO}/traffic", {"traffic": {"blue": 100}})
    assert answer.json()["old"] == {"green": 100}
    assert desk.state.endpoints["echo"].traffic == {"blue": 100}


async def test_a_writer_who_names_the_version_is_told(app: Guard, desk: SmallDesk) -> None:
    await create(app)
    desk.before.append(SetTraffic(endpoint="echo", traffic={"green": 100}))
    body = {"traffic": {"blue": 100}}
    answer = await send(app, "PATCH", f"{ECHO}/traffic", body, if_match='"1"')
    assert (answer.status, answer.json()["code"]) == (409, "TR0815")
    assert desk.state.endpoints["echo"].traffic == {"green": 100}


async def test_deleting_in_the_right_order(app: Guard, desk: SmallDesk) -> None:
    await create(app)
    await send(app, "PATCH", f"{ECHO}/traffic", {"traffic": {"green": 100}})
    assert (await send(app, "DELETE", BLUE, if_match='"2"')).status == 200
    assert set(desk.state.deployments) == {"echo/green"}
    refused = await send(app, "DELETE", ECHO)
    assert (refused.status, refused.json()["code"]) == (409, "TR0809")
    assert refused.json()["detail"] == "echo has live traffic (green 100 %): set that to 0 first"
    assert (await send(app, "DELETE", f"{ECHO}?with_traffic=true")).status == 200
    assert not desk.state.endpoints


async def test_an_endpoint_without_traffic_goes_at_once(app: Guard, desk: SmallDesk) -> None:
    await create(app)
    await send(app, "PATCH", f"{ECHO}/traffic", {"traffic": {}})
    assert (await send(app, "DELETE", f"{ECHO}?with_traffic=false")).status == 200
    assert not desk.state.endpoints


@pytest.mark.parametrize("query", ["with_traffic=yes", "with_trafic=true", "force=true"])
async def test_a_wish_to_delete_that_is_misspelt_deletes_nothing(
    app: Guard, desk: SmallDesk, query: str
) -> None:
    await create(app)
    answer = await send(app, "DELETE", f"{ECHO}?{query}")
    assert (answer.status, answer.json()["code"]) == (400, "TR0803")
    assert "with_traffic" in answer.json()["detail"]
    assert desk.state.endpoints


async def test_half_a_rotation_is_not_said_to_be_none(
    app: Guard, desk: SmallDesk, autojump_clock: MockClock
) -> None:
    """The coordinator dies between the two halves: the new key opens by then."""
    await create(app)
    before = await credentials(app)

    async def lose_coordinator() -> None:
        await trio.sleep(0.5)
        desk.failure = NoCoordinatorError("nobody")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lose_coordinator)
        answer = await send(app, "POST", f"{ECHO}/credentials/regenerate", {})
    assert (answer.status, answer.json()["code"]) == (504, "TR0811")
    assert "the new key opens already, and the old one may still do" in answer.json()["detail"]
    desk.failure = None
    assert (await credentials(app))[0] != before[0]
    endpoint = desk.state.endpoints["echo"]
    assert is_authorized(endpoint, f"Bearer {before[0]}".encode())
    # What it advises ends that.
    await send(app, "POST", f"{ECHO}/credentials/regenerate", {})
    assert not is_authorized(desk.state.endpoints["echo"], f"Bearer {before[0]}".encode())


async def test_rotation_never_refuses_the_other_key(
    app: Guard, desk: SmallDesk, autojump_clock: MockClock
) -> None:
    """At each instant the untouched key opens, and the new one does before it is handed out."""
    await create(app)
    primary, secondary = await credentials(app)
    refused: list[str] = []
    opened: list[str] = []

    async def watch() -> None:
        while True:
            endpoint = desk.state.endpoints["echo"]
            if not is_authorized(endpoint, f"Bearer {secondary}".encode()):
                refused.append(secondary)
            if is_authorized(endpoint, f"Bearer {primary}".encode()):
                opened.append(primary)
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        answer = await send(app, "POST", f"{ECHO}/credentials/regenerate")
        nursery.cancel_scope.cancel()
    new = answer.json()["primaryKey"]
    assert not refused
    assert len(opened) > 50  # the old key too, while front-ends learn the new one
    endpoint = desk.state.endpoints["echo"]
    assert is_authorized(endpoint, f"Bearer {new}".encode())
    assert not is_authorized(endpoint, f"Bearer {primary}".encode())
    assert await credentials(app) == (new, secondary)


@pytest.mark.parametrize(
    ("value", "is_fresh"), [(None, True), ("current", True), ("chosen-by-me", False)]
)
async def test_d15_a_current_value_asks_for_a_fresh_one(
    app: Guard, autojump_clock: MockClock, value: str | None, is_fresh: bool
) -> None:
    await create(app)
    primary, secondary = await credentials(app)
    given = secondary if value == "current" else value
    body = {"key_type": "secondary", "key_value": given}
    answer = (await send(app, "POST", f"{ECHO}/credentials/regenerate", body)).json()
    assert answer["primaryKey"] == primary
    assert (answer["secondaryKey"] not in (given, secondary)) == is_fresh
    if not is_fresh:
        assert answer["secondaryKey"] == value


async def test_an_endpoint_without_keys_has_none_to_show(app: Guard) -> None:
    await send(app, "PUT", ECHO, {"endpoint": {"name": "echo", "anonymous": True}})
    answer = await send(app, "POST", f"{ECHO}/credentials")
    assert answer.status == 409
    assert "Endpoint 'echo' does not use keys for authentication." in answer.json()["detail"]


async def test_keys_of_which_only_digests_are_known_cannot_be_shown(
    app: Guard, desk: SmallDesk
) -> None:
    await desk.change(PutEndpoint(endpoint=Endpoint(name="echo", key_digests=(bytes(32),))))
    assert (await send(app, "POST", f"{ECHO}/credentials")).json()["code"] == "TR0809"


async def test_keys_need_the_admin_token_where_there_is_one(desk: SmallDesk) -> None:
    policy = AdminPolicy(
        tokens=(AdminToken(name="t", role=Role.ADMIN, digest=digest_of_token("t")),)
    )
    app = build_app(SmallView(), policy, desk=desk, stopping=trio.Event())
    await desk.change(PutEndpoint(endpoint=Endpoint(name="echo", key_digests=(bytes(32),))))
    assert (await send(app, "POST", f"{ECHO}/credentials")).status == 401


async def test_without_a_cluster_secret_no_keys_are_made() -> None:
    desk = SmallDesk(KeyVault(None))
    app = build_app(SmallView(), AdminPolicy(), desk=desk, stopping=trio.Event())
    answer = await send(app, "PUT", ECHO, {"endpoint": {"name": "echo"}})
    assert (answer.status, desk.state.endpoints) == (409, {})


async def test_logs_are_the_replicas_last_lines(app: Guard, desk: SmallDesk) -> None:
    await create(app)
    desk.lines["r1"] = ("one", "two")
    answer = await send(app, "GET", f"{BLUE}/logs")
    assert answer.json() == {"items": [{"id": "r1", "lines": ["one", "two"]}]}


@pytest.mark.parametrize(
    ("failure", "status"), [(NoCoordinatorError("x"), 503), (OutcomeUnknownError("x"), 504)]
)
async def test_what_consensus_says_is_passed_on(
    app: Guard, desk: SmallDesk, failure: Exception, status: int
) -> None:
    await create(app)
    desk.failure = failure
    assert (await send(app, "DELETE", ECHO)).status == status


async def test_a_drill_is_on_record_for_whoever_asks_what_happened(app: Guard) -> None:
    said = {"subject": "fe-1", "summary": "drill coordinator begins: SIGKILL"}
    assert (await send(app, "POST", "/v1/drills", said)).status == 200
    (noted,) = (await send(app, "GET", "/v1/decisions")).json()["items"]
    assert (noted["kind"], noted["subject"], noted["summary"]) == ("drill", *said.values())


@pytest.mark.parametrize("said", [{}, {"subject": "fe-1", "summary": ""}, {"subject": 1}])
async def test_a_drill_that_says_nothing_is_not_recorded(app: Guard, said: object) -> None:
    assert (await send(app, "POST", "/v1/drills", said)).json()["code"] == "TR0803"
    assert (await send(app, "GET", "/v1/decisions")).json()["items"] == []
