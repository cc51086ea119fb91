"""What one endpoint can have otherwise: CORS, codes, limits, grace, timing, retries."""

from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.proxy.standalone import snapshot_of
from tests.proxy.world import GET, OK, POST, Peer, blue, open_world
from trioroute.core.model import Endpoint

PREFLIGHT = (
    b"OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: %b\r\n"
    b"Access-Control-Request-Method: POST\r\n"
    b"Access-Control-Request-Headers: authorization\r\n\r\n"
)
PAGE = b"https://app.example"


def echo(**settings: Any) -> Endpoint:
    """The endpoint at `/`, with some settings changed."""
    return attrs.evolve(snapshot_of([]).endpoints[0], **settings)


def from_page(request: bytes, origin: bytes = PAGE) -> bytes:
    return request.replace(b"Host: a\r\n", b"Host: a\r\nOrigin: %b\r\n" % origin)


async def ok(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await peer.send(OK)


async def ok_with_cors_of_its_own(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await peer.send(OK.replace(b"\r\n\r\n", b"\r\nAccess-Control-Allow-Origin: x\r\n\r\n"))


async def failing(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops")


async def closing(peer: Peer) -> None:
    await peer.read_request()
    await peer.stream.aclose()


# --- CORS


async def test_a_preflight_is_answered_here_and_needs_no_key(autojump_clock: MockClock) -> None:
    endpoint = echo(anonymous=False, cors_origins=(PAGE.decode(),))
    async with open_world(ok, endpoint=endpoint) as world:
        client = await world.connect()
        await client.send(PREFLIGHT % PAGE)
        answer = await client.read_answer()
        assert answer.status == 200
        assert answer.fields["access-control-allow-origin"] == PAGE.decode()
        assert "POST" in answer.fields["access-control-allow-methods"].split(", ")
        assert answer.fields["access-control-allow-headers"] == "*, authorization"
        assert answer.fields["vary"] == "origin"
        await client.send(PREFLIGHT % PAGE)  # the connection goes on
        assert (await client.read_answer()).status == 200
        assert world.server.statistics().dialled == 0


async def test_a_preflight_from_elsewhere_is_allowed_nothing(autojump_clock: MockClock) -> None:
    async with open_world(ok, endpoint=echo(cors_origins=(PAGE.decode(),))) as world:
        answer = await world.ask(PREFLIGHT % b"https://app.example.evil")
        assert not [name for name in answer.fields if name.startswith("access-control")]
        assert answer.fields["vary"] == "origin"


async def test_without_the_setting_a_preflight_is_the_replicas(autojump_clock: MockClock) -> None:
    async with open_world(ok_with_cors_of_its_own, endpoint=echo()) as world:
        answer = await world.ask(PREFLIGHT % PAGE)
        assert answer.body == b"ok"
        assert answer.fields["Access-Control-Allow-Origin".lower()] == "x"


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((PAGE.decode(),), PAGE, PAGE.decode()),
        (("*",), PAGE, "*"),
        ((PAGE.decode(),), b"https://other.example", None),
    ],
)
async def test_answers_say_which_page_may_read_them(
    autojump_clock: MockClock, origins: tuple[str, ...], origin: bytes, allowed: str | None
) -> None:
    endpoint = echo(cors_origins=origins)
    async with open_world(ok_with_cors_of_its_own, endpoint=endpoint) as world:
        answer = await world.ask(from_page(POST, origin))
        assert answer.body == b"ok"
        assert answer.fields.get("access-control-allow-origin") == allowed
        assert ("vary" in answer.fields) == (origins != ("*",))


async def test_a_page_can_read_refusals_too(autojump_clock: MockClock) -> None:
    endpoint = echo(anonymous=False, cors_origins=(PAGE.decode(),))
    async with open_world(ok, endpoint=endpoint) as world:
        answer = await world.ask(from_page(POST))
        assert answer.status == 401
        assert answer.fields["access-control-allow-origin"] == PAGE.decode()


# --- codes


async def test_managed_codes_hide_which_part_failed(autojump_clock: MockClock) -> None:
    async with open_world(failing, endpoint=echo(managed_codes=True)) as world:
        answer = await world.ask(POST)
        assert (answer.status, answer.body) == (424, b"oops")
        assert answer.fields["ms-azureml-model-error-statuscode"] == "500"
        await world.wait_settled()
        assert world.records[0].status == 424


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"204 No Content\r\n\r\n", b""),
        (b"304 Not Modified\r\nContent-Length: 9\r\n\r\n", b""),
        (b"302 Found\r\nLocation: /x\r\nContent-Length: 4\r\n\r\nmove", b"move"),
        (b"201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x"),
    ],
)
async def test_all_but_200_is_a_managed_models_error_and_ends_where_it_should(
    autojump_clock: MockClock, answer: bytes, body: bytes
) -> None:
    async def answering(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(b"HTTP/1.1 " + answer)

    async with open_world(answering, endpoint=echo(managed_codes=True)) as world:
        client = await world.connect()
        for _ in range(2):
            await client.send(POST)
            said = await client.read_answer()
            assert (said.status, said.body) == (424, body)
            assert said.fields["ms-azureml-model-error-statuscode"] == answer[:3].decode()
            assert len({"content-length", "transfer-encoding"} & set(said.fields)) == 1
        await world.wait_settled()


@pytest.mark.parametrize(("managed", "status"), [(False, 502), (True, 424)])
async def test_a_replica_that_closes(autojump_clock: MockClock, managed: bool, status: int) -> None:
    async with open_world(closing, endpoint=echo(managed_codes=managed)) as world:
        assert (await world.ask(POST)).status == status


@pytest.mark.parametrize(("managed", "status"), [(False, 504), (True, 408)])
async def test_a_replica_that_is_late(
    autojump_clock: MockClock, managed: bool, status: int
) -> None:
    async def silent(peer: Peer) -> None:
        await peer.read_request()
        await peer.read_end()

    deployment = blue(request_timeout_s=0.2)
    endpoint = echo(managed_codes=managed)
    async with open_world(silent, endpoint=endpoint, deployment=deployment) as world:
        client = await world.connect()
        await client.send(POST)
        answer = await client.read_answer()
        assert answer.status == status
        assert "connection" not in answer.fields


# --- limits and switches


@pytest.mark.parametrize(("limit", "status"), [(5, 200), (4, 413), (0, 413), (None, 200)])
async def test_each_endpoint_has_its_body_limit(
    autojump_clock: MockClock, limit: int | None, status: int
) -> None:
    async with open_world(ok, endpoint=echo(body_bytes_max=limit)) as world:
        assert (await world.ask(POST)).status == status


@pytest.mark.parametrize(
    ("grace_s", "left_after_s", "is_answered"),
    [(0.0, 0.3, False), (1.0, 0.3, True), (1.0, 1.5, False), (None, 5.0, True)],
)
async def test_how_long_a_client_that_sent_its_end_is_waited_for(
    autojump_clock: MockClock, grace_s: float | None, left_after_s: float, is_answered: bool
) -> None:
    async def slow(peer: Peer) -> None:
        await peer.read_request()
        await trio.sleep(left_after_s)
        await peer.send(OK)

    async with open_world(slow, endpoint=echo(half_close_grace_s=grace_s)) as world:
        client = await world.connect()
        client.send_and_end(POST)
        if is_answered:
            assert (await client.read_answer()).body == b"ok"
        else:
            assert await client.is_reset()
        await world.wait_settled()


@pytest.mark.parametrize("tells", [False, True])
async def test_timing_can_be_kept_from_clients(autojump_clock: MockClock, tells: bool) -> None:
    async with open_world(ok, endpoint=echo(server_timing=tells)) as world:
        client = await world.connect()
        for _ in range(3):  # the first has to dial, later ones take the short way
            await client.send(GET)
            answer = await client.read_answer()
            assert ("server-timing" in answer.fields) is tells
            assert answer.fields["x-request-id"]
        await world.wait_settled()
        assert world.records[-1].total_s >= 0


@pytest.mark.parametrize(("idempotent", "statuses"), [(True, {200}), (False, {200, 502})])
async def test_an_endpoint_may_let_posts_be_sent_again(
    autojump_clock: MockClock, idempotent: bool, statuses: set[int]
) -> None:
    async with open_world(closing, ok, slots=1, endpoint=echo(idempotent=idempotent)) as world:
        got = {(await world.ask(POST)).status for _ in range(6)}
        assert got == statuses
