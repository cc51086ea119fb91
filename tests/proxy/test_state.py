"""Timing and records: what a client is told and what is written down agree."""

import time

import attrs
import msgspec
import pytest
import trio
from trio.testing import MockClock

from tests.proxy.standalone import snapshot_of
from tests.proxy.world import GET, OK, Answer, Peer, blue, open_world
from trioroute.proxy.exchange import Exchange


async def ok(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await peer.send(OK)


async def slow(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await trio.sleep(0.3)
        await peer.send(OK)


def timing(answer: Answer) -> dict[str, float]:
    entries = (entry.split(";dur=") for entry in answer.fields["server-timing"].split(", "))
    return {name: float(value) for name, value in entries}


async def test_timing_says_where_the_time_went(autojump_clock: MockClock) -> None:
    async with open_world(slow, slots=1) as world:
        first, second = await world.connect(), await world.connect()
        await first.send(GET)
        await trio.sleep(0.1)
        await second.send(GET)
        fast = timing(await first.read_answer())
        queued = timing(await second.read_answer())
        await world.wait_settled()
    assert fast["upstream"] == 300.0
    assert fast["queue"] == 0.0
    assert queued["queue"] == 200.0
    assert queued["total"] == 500.0
    for parts in (fast, queued):
        total = parts.pop("total")
        assert sum(parts.values()) <= total + 0.3
    by_total = sorted(world.records, key=lambda record: record.total_s)
    assert [round(record.queue_s, 3) for record in by_total] == [0.0, 0.2]
    assert [round(record.upstream_s, 3) for record in by_total] == [0.3, 0.3]
    assert [record.slot for record in by_total] == [0, 0]


async def streaming(peer: Peer) -> None:
    await peer.read_request()
    await trio.sleep(0.1)
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    await trio.sleep(2.0)
    await peer.send(b"0\r\n\r\n")


async def test_a_streamed_answer_takes_until_its_end(autojump_clock: MockClock) -> None:
    """The field tells what is known when the head leaves; the record is written at the end."""
    deployment = blue(request_timeout_s=5.0)
    async with open_world(streaming, deployment=deployment) as world:
        answer = await world.ask(GET)
        await world.wait_settled()
        ended_at = time.time()
    (record,) = world.records
    assert timing(answer)["total"] == 100.0
    assert (round(record.head_s, 2), round(record.total_s, 2)) == (0.1, 2.1)
    # `ts` is when the request came, however long its answer took: two virtual seconds before.
    assert record.ts <= ended_at - 2.0
    (counted,) = world.recorder.snapshot().deployments
    assert round(counted.total.sum_s, 2) == 2.1
    assert counted.overhead.sum_s < 0.05


async def test_a_refusal_names_only_what_happened(autojump_clock: MockClock) -> None:
    deployment = blue(request_timeout_s=0.2, queue_wait_max_s=0.1)

    async def silent(peer: Peer) -> None:
        await peer.read_request()
        await trio.sleep_forever()

    async with open_world(silent, slots=1, deployment=deployment) as world:
        late = await world.ask(GET)
        shed = await world.ask(GET)
        malformed = await world.ask(b"GET /\r\n\r\n")
    assert list(timing(late)) == ["queue", "route", "connect", "total"]
    assert list(timing(shed)) == ["queue", "total"]
    assert list(timing(malformed)) == ["total"]


PLANTED = b"pl4nted-s3cret"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /score?code=%b HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n"
        b"Cookie: key=%b\r\nX-Api-Key: %b\r\nContent-Length: 14\r\n\r\n%b",
        b"POST /%b HTTP/1.1\r\nHost: %b\r\nX-Request-Id: %b\r\nTraceparent: %b\r\n"
        b"Transfer-Encoding: chunked\r\n\r\ne\r\n%b\r\n0\r\n\r\n",
        b"%b / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%b%% HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n%b: %b\r\nbroken %b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nAzureml-Model-Deployment: %b\r\n\r\n",
    ],
)
async def test_nothing_that_a_client_or_a_replica_sends_is_logged(
    autojump_clock: MockClock, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def leaking(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(
            b"HTTP/1.1 500 %b\r\nX-Key: %b\r\nContent-Length: 14\r\n\r\n%b"
            % (PLANTED, PLANTED, PLANTED)
        )

    for anonymous in (True, False):
        endpoint = attrs.evolve(snapshot_of([]).endpoints[0], anonymous=anonymous)
        async with open_world(leaking, endpoint=endpoint) as world:
            await world.ask(request_bytes.replace(b"%b", PLANTED).replace(b"%%", b"%"))
            await world.wait_settled()
        assert world.records
        assert PLANTED not in msgspec.json.encode(world.records)
    assert PLANTED.decode() not in caplog.text


async def test_what_never_became_a_request_is_logged_too(autojump_clock: MockClock) -> None:
    async with open_world(ok) as world:
        answer = await world.ask(b"GET / HTTP/9.9\r\n\r\n")
    (record,) = world.records
    assert (record.status, record.reason, record.address) == (505, "version", "127.0.0.1")
    assert record.request_id == answer.fields["x-request-id"]


async def test_an_exchange_that_ends_leaves_the_queue(autojump_clock: MockClock) -> None:
    async with open_world(slow, slots=1) as world:
        client = await world.connect()
        await client.send(GET)
        await trio.sleep(0.1)
        (connection,) = world.server._plane.sweep.active
        exchange = connection.exchange
        assert isinstance(exchange, Exchange)
        exchange.place = world.slots.join_queue("echo/blue", arrived_at=0.0, deadline=9.0)
        exchange.drop()
        assert not world.slots._waiters
