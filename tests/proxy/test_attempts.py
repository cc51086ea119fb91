"""Which replica is asked next, and how often."""

import select
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.proxy.standalone import LocalSlots
from tests.proxy.world import GET, OK, POST, Peer, World, blue, open_world, reset
from trioroute.core.health import Outcome
from trioroute.core.holding.held import Grant
from trioroute.proxy.admission import Place


async def ok(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await peer.send(OK)


NOBODY = [("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 3)]


async def test_every_other_replica_is_tried_before_giving_up(autojump_clock: MockClock) -> None:
    async with open_world(ok, addresses=NOBODY, slots=4) as world:
        for _ in range(8):
            answer = await world.ask(POST)
            assert answer.status == 200
            assert int(answer.fields.get("x-trioroute-attempts", "1")) <= 4
        await world.wait_settled()


async def test_each_replica_is_tried_once_when_none_is_there(autojump_clock: MockClock) -> None:
    async with open_world(addresses=NOBODY, slots=4) as world:
        answer = await world.ask(POST)
        assert answer.status == 502
        assert answer.fields["x-trioroute-attempts"] == "3"
        await world.wait_settled()
        assert sorted(name for name, _ in world.slots.failed) == ["r0", "r1", "r2"]
        assert {outcome for _, outcome in world.slots.failed} == {Outcome.UNREACHABLE}


@pytest.mark.parametrize(("request_bytes", "status"), [(GET, 200), (POST, 502)])
async def test_another_attempt_goes_to_another_replica_and_a_post_has_none(
    autojump_clock: MockClock, request_bytes: bytes, status: int
) -> None:
    broken = 0

    async def resetting(peer: Peer) -> None:
        nonlocal broken
        await peer.read_request()
        broken += 1
        reset(peer)

    async with open_world(resetting, ok, slots=3) as world:
        world.slots.sort()
        assert (await world.ask(request_bytes)).status == status
        assert broken == 1
        await world.wait_settled()


async def test_a_streamed_body_that_was_begun_is_not_sent_twice(
    autojump_clock: MockClock,
) -> None:
    seen = 0

    async def failing(peer: Peer) -> None:
        nonlocal seen
        seen += 1
        await peer.read_until(b"\r\n\r\n")
        await peer.stream.aclose()

    async with open_world(failing) as world:
        client = await world.connect()
        await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nx")
        assert (await client.read_answer()).status == 502
        assert seen == 1


async def test_a_streamed_body_that_was_not_begun_goes_elsewhere(
    autojump_clock: MockClock,
) -> None:
    async with open_world(ok, addresses=NOBODY[:1], slots=2) as world:
        for _ in range(4):
            client = await world.connect()
            await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nx")
            await trio.sleep(0.1)
            await client.send(bytes(99_998))
            assert (await client.read_answer()).status == 200


async def test_our_own_timeout_is_not_tried_again(autojump_clock: MockClock) -> None:
    seen = 0

    async def silent(peer: Peer) -> None:
        nonlocal seen
        await peer.read_request()
        seen += 1
        await trio.sleep_forever()

    async with open_world(silent, deployment=blue(request_timeout_s=1.0)) as world:
        assert (await world.ask(GET)).status == 504
        assert seen == 1


async def test_a_thousand_interim_answers_are_502(autojump_clock: MockClock) -> None:
    async def flooding(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000 + OK)

    async with open_world(flooding) as world:
        client = await world.connect()
        await client.send(GET)
        statuses: list[int] = []
        while not statuses or statuses[-1] < 200:
            statuses.append((await client.read_answer()).status)
        assert statuses[-1] == 502
        assert len(statuses) <= 17


async def queued_behind_another(world: World, *, is_warm: bool = True) -> tuple[Peer, Grant]:
    """A client whose request waits 0.1 s already for the only slot, and who has that.

    Args:
        is_warm: a connection to the replica is pooled.
    """
    client = await world.connect()
    if is_warm:
        await client.send(GET)
        assert (await client.read_answer()).status == 200
        await trio.sleep(0.01)
    held = world.slots.acquire_nowait("echo/blue")
    assert held is not None
    await client.send(GET)
    await trio.sleep(0.1)
    return client, held


async def silent_at_second(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(OK)
    await peer.read_request()
    await trio.sleep_forever()


async def silent(peer: Peer) -> None:
    await peer.read_request()
    await trio.sleep_forever()


async def test_a_queued_request_is_with_the_replica_in_the_call_that_frees_a_slot(
    autojump_clock: MockClock,
) -> None:
    """While the exchange's task has its turn the slot would stand idle."""
    reached: list[Peer] = []

    async def ok(peer: Peer) -> None:
        while True:
            reached.append(peer)
            await peer.read_request()
            await peer.send(OK)

    async with open_world(ok, slots=1) as world:
        client, held = await queued_behind_another(world)
        world.slots.release(held)
        sock = reached[-1].stream.socket.fileno()
        assert select.select([sock], [], [], 0)[0], "it is there, and no task had a turn"
        assert (await client.read_answer()).status == 200
        await world.wait_settled()
    assert [record.attempts for record in world.records] == [1, 1]
    assert round(world.records[1].queue_s, 3) == 0.1


@pytest.mark.parametrize("is_warm", [True, False])
async def test_who_waited_may_take_as_long_as_the_routing_says_when_it_starts(
    autojump_clock: MockClock, is_warm: bool
) -> None:
    """What it allowed before is not reckoned with for longer than what had begun then may take."""
    script = silent_at_second if is_warm else silent
    async with open_world(script, slots=1, deployment=blue(request_timeout_s=30.0)) as world:
        client, held = await queued_behind_another(world, is_warm=is_warm)
        shorter = attrs.evolve(world.snapshot, deployments=(blue(request_timeout_s=2.0),))
        world.server.apply_snapshot(shorter)
        world.slots.release(held)
        began_at = trio.current_time()
        assert (await client.read_answer()).status == 504
        assert 2.0 <= trio.current_time() - began_at < 4.0
        await world.wait_settled()


async def test_without_a_pooled_connection_a_queued_request_opens_one(
    autojump_clock: MockClock,
) -> None:
    async def ok(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)

    async with open_world(ok, slots=1) as world:
        held = world.slots.acquire_nowait("echo/blue")
        assert held is not None
        client = await world.connect()
        await client.send(POST)
        await trio.sleep(0.1)
        world.slots.release(held)
        assert (await client.read_answer()).status == 200
        await world.wait_settled()
    assert [record.attempts for record in world.records] == [1]


async def test_a_request_without_a_slot_asks_in_the_call_that_reads_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a turn of its own task, which would be one that it waits for nothing."""
    asked_by: list[str] = []
    join_queue = LocalSlots.join_queue

    def noted(slots: LocalSlots, *arguments: Any, **named: Any) -> Place:
        asked_by.append(trio.lowlevel.current_task().name)
        return join_queue(slots, *arguments, **named)

    monkeypatch.setattr(LocalSlots, "join_queue", noted)
    async with open_world(ok, slots=1) as world:
        held = world.slots.acquire_nowait("echo/blue")
        assert held is not None
        client = await world.connect()
        await trio.sleep(0.1)
        await client.send(GET)
        await trio.sleep(0.1)
        world.slots.release(held)
        assert (await client.read_answer()).status == 200
        await world.wait_settled()
    assert len(asked_by) == 1
    assert asked_by[0].endswith("Reactor.run")


async def test_a_worker_that_stops_right_after_a_slot_came_keeps_or_frees_it(
    autojump_clock: MockClock,
) -> None:
    for is_warm, kept in ((False, 0), (True, 1)):
        async with open_world(silent_at_second, slots=1) as world:
            _, held = await queued_behind_another(world, is_warm=is_warm)
            world.slots.release(held)
            world.nursery.cancel_scope.cancel()
        assert world.server.statistics().grants_kept == kept
        assert len(world.slots.busy) == kept


async def test_a_slot_that_comes_in_the_turn_in_which_the_client_left_sends_nothing(
    autojump_clock: MockClock,
) -> None:
    reached: list[tuple[bytes, bytes]] = []

    async def ok(peer: Peer) -> None:
        while True:
            reached.append(await peer.read_request())
            await peer.send(OK)

    async with open_world(ok, slots=1) as world:
        _, held = await queued_behind_another(world)
        (connection,) = world.server._plane.sweep.active
        connection.lose_client()
        world.slots.release(held)
        await world.wait_settled()
    assert len(reached) == 1
    assert not world.slots.busy
