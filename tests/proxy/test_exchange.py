"""One exchange as client and replica see it: what passes, what is refused, who is told what."""

import json

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from tests.proxy.world import GET, OK, POST, Peer, blue, open_world, reset
from trioroute.core.model import Endpoint, OnAbandon
from trioroute.wire.http import Limits


async def echo(peer: Peer) -> None:
    """Answer each request with its body."""
    while True:
        _, body = await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def silent(peer: Peer) -> None:
    """Read requests and never answer."""
    while True:
        await peer.read_request()


async def test_a_request_is_answered_and_both_connections_are_kept(
    autojump_clock: MockClock,
) -> None:
    async with open_world(echo) as world:
        client = await world.connect()
        for _ in range(3):
            await client.send(POST)
            answer = await client.read_answer()
            assert (answer.status, answer.body) == (200, b"hello")
        assert world.server.statistics().dialled == 1
        assert world.server.statistics().listener.accepted == 1
        await world.wait_settled()


async def test_the_replica_gets_a_canonical_head_with_slot_and_ids(
    autojump_clock: MockClock,
) -> None:
    heads: list[bytes] = []

    async def replica(peer: Peer) -> None:
        while True:
            head, _ = await peer.read_request()
            heads.append(head)
            await peer.send(OK)

    async with open_world(replica) as world:
        answer = await world.ask(
            b"POST /a?b HTTP/1.1\r\nHost: a\r\nConnection: x-drop\r\nX-Drop: 1\r\nX-KEEP:  2 \r\n"
            b"Authorization: Bearer k\r\nx-trioroute-slot: forged\r\nContent-Length: 0\r\n\r\n"
        )
    lines = heads[0].split(b"\r\n")
    assert lines[0] == b"POST /a?b HTTP/1.1"
    assert b"host: a" in lines
    assert b"x-keep: 2" in lines
    assert b"via: 1.1 trioroute" in lines
    assert b"x-trioroute-slot: r0/0/1/1" in lines
    assert f"x-request-id: {answer.fields['x-request-id']}".encode() in lines
    for absent in (b"x-drop", b"connection", b"authorization", b"forged"):
        assert absent not in heads[0]


async def test_an_answer_carries_ids_and_timing(autojump_clock: MockClock) -> None:
    async with open_world(echo) as world:
        answer = await world.ask(
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n"
            b"x-ms-client-request-id: call-7\r\n\r\n"
        )
        await world.wait_settled()
    assert answer.fields["x-ms-client-request-id"] == "call-7"
    assert answer.fields["x-request-id"] == answer.fields["x-ms-request-id"] != "mine"
    names = [entry.split(";")[0] for entry in answer.fields["server-timing"].split(", ")]
    assert names == ["queue", "route", "connect", "upstream", "total"]
    assert "date" in answer.fields
    [record] = world.records
    assert record.request_id == answer.fields["x-request-id"]
    assert (record.status, record.reason, record.attempts) == (200, "", 1)


async def test_pipelined_requests_are_answered_in_order(autojump_clock: MockClock) -> None:
    async with open_world(echo) as world:
        client = await world.connect()
        bodies = [b"%05d" % number for number in range(20)]
        await client.send(b"".join(POST.replace(b"hello", body) for body in bodies))
        assert [(await client.read_answer()).body for _ in bodies] == bodies


async def test_no_route_gets_the_originals_text(autojump_clock: MockClock) -> None:
    endpoint = Endpoint(name="echo", traffic={"blue": 100}, anonymous=True)
    async with open_world(echo, endpoint=endpoint) as world:
        client = await world.connect()
        await client.send(GET)
        answer = await client.read_answer()
        assert answer.status == 404
        assert answer.body.startswith(b"No route found or no valid deployments to route to")
        assert answer.fields["x-trioroute-error"] == "no-route"
        await client.send(GET)  # the connection goes on
        assert (await client.read_answer()).status == 404


async def test_a_missing_key_gets_401_and_the_replica_nothing(autojump_clock: MockClock) -> None:
    endpoint = Endpoint(name="echo", traffic={"blue": 100}, mount="/")
    async with open_world(echo, endpoint=endpoint) as world:
        answer = await world.ask(POST)
        assert answer.status == 401
        assert answer.fields["www-authenticate"] == "Bearer"
        error = json.loads(answer.body)["error"]
        assert (error["code"], error["reason"]) == (401, "unauthorized")
        assert world.server.statistics().dialled == 0


async def test_a_full_deployment_answers_503_after_the_queue_wait(
    autojump_clock: MockClock,
) -> None:
    async with open_world(silent, slots=1) as world:
        first = await world.connect()
        await first.send(GET)
        await trio.sleep(0.1)
        began_at = trio.current_time()
        answer = await world.ask(POST)
        assert answer.status == 503
        assert answer.body == b"Too many requests for service echo (overloaded)"
        assert answer.fields["x-trioroute-error"] == "queue-timeout"
        assert answer.fields["retry-after"] == "2"
        assert 2.0 <= trio.current_time() - began_at < 2.2


async def test_a_silent_replica_gets_504_and_keeps_its_slot_until_it_answers(
    autojump_clock: MockClock,
) -> None:
    may_answer = trio.Event()

    async def slow(peer: Peer) -> None:
        await peer.read_request()
        await may_answer.wait()
        await peer.send(OK)

    deployment = blue(request_timeout_s=1.0, upgrade_max_s=None, stream_max_s=None)
    async with open_world(slow, slots=1, deployment=deployment) as world:
        answer = await world.ask(GET)
        assert answer.status == 504
        assert answer.fields["x-trioroute-error"] == "answer-timeout"
        assert len(world.slots.busy) == 1
        assert world.server.statistics().abandoned == 1
        may_answer.set()
        await world.wait_settled()


async def test_an_abandoned_slot_is_free_after_maxreq_at_the_latest(
    autojump_clock: MockClock,
) -> None:
    deployment = blue(request_timeout_s=1.0, upgrade_max_s=3.0)
    async with open_world(silent, deployment=deployment) as world:
        assert (await world.ask(GET)).status == 504
        left_at = trio.current_time()
        await world.wait_settled()
        assert 3.0 <= trio.current_time() - left_at < 3.2
        assert world.server.statistics().abandoned_expired == 1


async def test_on_abandon_close_frees_the_slot_at_once(autojump_clock: MockClock) -> None:
    deployment = blue(request_timeout_s=1.0, on_abandon=OnAbandon.CLOSE)
    async with open_world(silent, deployment=deployment) as world:
        assert (await world.ask(GET)).status == 504
        assert not world.slots.busy
        assert world.server.statistics().abandoned == 0


async def test_a_replica_that_closes_gets_502_and_a_post_is_not_repeated(
    autojump_clock: MockClock,
) -> None:
    seen: list[bytes] = []

    async def closing(peer: Peer) -> None:
        head, _ = await peer.read_request()
        seen.append(head)
        await peer.stream.aclose()

    async with open_world(closing) as world:
        answer = await world.ask(POST)
        assert answer.status == 502
        assert answer.body == b"Replica closed connection before replying"
        assert answer.fields["x-trioroute-error"] == "broken-answer"
        assert len(seen) == 1
        await world.wait_settled()


async def test_a_refused_connection_is_tried_elsewhere(autojump_clock: MockClock) -> None:
    with_nobody = ("127.0.0.1", 1)
    async with open_world(echo, addresses=[with_nobody]) as world:
        answers = [await world.ask(POST) for _ in range(4)]
        assert [answer.body for answer in answers] == [b"hello"] * 4
        assert any(answer.fields.get("x-trioroute-attempts") == "2" for answer in answers)
        await world.wait_settled()


async def test_nobody_to_connect_to_is_502(autojump_clock: MockClock) -> None:
    async with open_world(addresses=[("127.0.0.1", 1)]) as world:
        answer = await world.ask(POST)
        assert answer.status == 502
        assert answer.fields["x-trioroute-error"] == "connect-failed"
        await world.wait_settled()


async def test_no_replica_is_503(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        answer = await world.ask(POST)
        assert answer.status == 503
        assert answer.body == b"No ready replicas for service echo."


@pytest.mark.parametrize("leave", ["reset", "close"])
async def test_a_client_that_leaves_frees_its_slot_when_the_replica_is_done(
    autojump_clock: MockClock, leave: str
) -> None:
    may_answer = trio.Event()

    async def slow(peer: Peer) -> None:
        await peer.read_request()
        await may_answer.wait()
        await peer.send(OK)

    async with open_world(slow) as world:
        client = await world.connect()
        await client.send(POST)
        await trio.sleep(0.2)
        if leave == "reset":
            reset(client)
            await trio.sleep(0.1)
        else:
            await client.stream.aclose()
            await trio.sleep(1.2)  # half_close_grace
        statistics = world.server.statistics()
        assert (statistics.active, statistics.abandoned) == (0, 1)
        assert len(world.slots.busy) == 1
        may_answer.set()
        await world.wait_settled()
        [record] = world.records
        assert (record.status, record.reason) == (0, "client-gone")


async def test_a_half_closed_client_still_gets_its_answer(autojump_clock: MockClock) -> None:
    async def slow(peer: Peer) -> None:
        await peer.read_request()
        await trio.sleep(0.5)
        await peer.send(OK)

    async with open_world(slow) as world:
        client = await world.connect()
        await client.send(GET)
        await client.stream.send_eof()
        assert (await client.read_answer()).body == b"ok"


async def test_a_client_that_leaves_the_queue_frees_its_place(autojump_clock: MockClock) -> None:
    async with open_world(silent, slots=1) as world:
        first = await world.connect()
        await first.send(GET)
        await trio.sleep(0.1)
        second = await world.connect()
        await second.send(GET)
        await trio.sleep(0.2)
        assert world.server.statistics().active == 2
        reset(second)
        await trio.sleep(0.1)
        assert world.server.statistics().active == 1
        assert len(world.slots.busy) == 1


async def test_a_truncated_answer_breaks_visibly(autojump_clock: MockClock) -> None:
    async def truncating(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await trio.sleep(0.1)
        await peer.stream.aclose()

    async with open_world(truncating) as world:
        client = await world.connect()
        await client.send(GET)
        head = await client.read_until(b"\r\n\r\n")
        assert b"content-length: 10" in head
        assert await client.is_reset()
        await world.wait_settled()
        [record] = world.records
        assert (record.is_broken, record.reason) == (True, "broken-answer")


async def test_bytes_behind_an_answer_are_nobodys(autojump_clock: MockClock) -> None:
    async def chatty(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
        await trio.sleep_forever()

    async with open_world(chatty) as world:
        client = await world.connect()
        for _ in range(2):
            await client.send(GET)
            assert (await client.read_answer()).body == b"ok"
        statistics = world.server.statistics()
        assert (statistics.dialled, statistics.desyncs) == (2, 2)


async def test_bytes_on_an_idle_connection_close_it(autojump_clock: MockClock) -> None:
    async def late(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)
        await trio.sleep(0.1)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
        await trio.sleep_forever()

    async with open_world(late) as world:
        client = await world.connect()
        for _ in range(2):
            await client.send(GET)
            assert (await client.read_answer()).body == b"ok"
            await trio.sleep(0.2)
        assert world.server.statistics().dialled == 2


async def test_a_lost_lease_takes_the_request_back(autojump_clock: MockClock) -> None:
    """Decision 27: found after the write, so a reset follows and nothing is retried."""
    ends: list[bool] = []

    async def replica(peer: Peer) -> None:
        ends.append(await peer.is_reset())

    async with open_world(replica) as world:
        world.slots.lease_ends_in = 1
        answer = await world.ask(POST)
        assert answer.fields["x-trioroute-error"] == "lease-ended"
        await trio.sleep(0.1)
        assert ends == [True]
        assert world.server.statistics().lease_ends == 1
        await world.wait_settled()


async def test_a_lease_that_ended_before_the_write_costs_only_another_slot(
    autojump_clock: MockClock,
) -> None:
    async with open_world(echo) as world:
        world.slots.lease_ends_in = 0
        client = await world.connect()
        await client.send(POST)
        await trio.lowlevel.checkpoint()
        world.slots.lease_ends_in = None
        assert (await client.read_answer()).status in (200, 502)
        await world.wait_settled()


async def test_a_head_too_slow_is_408(autojump_clock: MockClock) -> None:
    async with open_world(echo) as world:
        client = await world.connect()
        await client.send(b"GET / HTT")
        answer = await client.read_answer()
        assert answer.status == 408
        assert answer.fields["connection"] == "close"


async def test_a_body_too_slow_is_408_and_takes_no_slot(autojump_clock: MockClock) -> None:
    async with open_world(echo) as world:
        client = await world.connect()
        await client.send(POST[:-1])
        await trio.sleep(10)
        assert not world.slots.busy
        assert (await client.read_answer()).status == 408


async def test_a_body_over_the_limit_is_413_and_readable(autojump_clock: MockClock) -> None:
    limits = Limits(body_bytes_max=1000)
    async with open_world(echo, limits=limits) as world:
        client = await world.connect()
        await client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001
        )
        assert (await client.read_answer()).status == 413
        assert await client.read_end() == b""


async def test_options_star_is_answered_here(autojump_clock: MockClock) -> None:
    async with open_world(echo) as world:
        answer = await world.ask(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (answer.status, answer.body) == (200, b"")
        assert "POST" in answer.fields["allow"]
        assert world.server.statistics().dialled == 0


async def test_a_client_that_leaves_an_answer_of_our_own_is_no_bug(
    autojump_clock: MockClock,
) -> None:
    async with open_world(echo) as world:
        client = await world.connect()
        client.send_and_end(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
        assert (await client.read_answer()).status == 200
        assert await client.is_reset()
        await world.wait_settled()
        assert world.server.statistics().crashes == 0


async def test_an_interim_answer_is_relayed_and_an_unasked_100_is_not(
    autojump_clock: MockClock,
) -> None:
    async def hints(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)

    async with open_world(hints) as world:
        client = await world.connect()
        await client.send(GET)
        interim = await client.read_answer()
        assert (interim.status, interim.fields["link"]) == (103, "</a>")
        assert (await client.read_answer()).status == 200


async def test_an_unasked_switch_of_protocols_is_502(autojump_clock: MockClock) -> None:
    async def switching(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
        )
        await trio.sleep_forever()

    async with open_world(switching) as world:
        assert (await world.ask(GET)).status == 502


async def test_http_1_0_gets_an_unframed_answer_and_a_close(autojump_clock: MockClock) -> None:
    async def chunked(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )

    async with open_world(chunked) as world:
        client = await world.connect()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = (await client.read_end()).partition(b"\r\n\r\n")
        assert body == b"abcde"
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head


async def test_no_grant_leaks_wherever_the_worker_is_cancelled(autojump_clock: MockClock) -> None:
    """Cancel after every small step of a slow exchange; each slot is free, or kept on purpose."""

    async def stepwise(peer: Peer) -> None:
        await peer.read_request()
        for piece in (b"HTTP/1.1 200 OK\r\n", b"Content-Length: 4\r\n\r\n", b"ab", b"cd"):
            await trio.sleep(0.1)
            await peer.send(piece)

    for steps in range(8):
        async with open_world(stepwise, slots=1) as world:
            client = await world.connect()
            await client.send(POST[:-3])
            await trio.sleep(0.05)
            if steps:
                await client.send(POST[-3:])
            await trio.sleep(0.1 * steps)
        kept = world.server.statistics().grants_kept
        assert len(world.slots.busy) == kept
        assert kept == (0 if steps == 0 or steps > 4 else 1)
