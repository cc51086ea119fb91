"""Many clients and replicas that misbehave in turn: no answer goes astray, no slot is lost."""

import contextlib
import random
import re

import pytest
import trio
from trio.testing import MockClock

from tests.proxy.world import EndedError, Peer, World, blue, open_world, reset
from trioroute.wire.http import Limits

_TOKEN = re.compile(rb"/(t\d+)")


async def run_replica(peer: Peer, rng: random.Random) -> None:
    """Answer with the token of the request, in one of many ways."""
    while True:
        head, body = await peer.read_request()
        token = _TOKEN.search(head)
        assert token
        text = token[1] + b" %d" % len(body)
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
        match rng.randrange(12):
            case 0:
                await trio.sleep(rng.random() * 0.3)
                await peer.send(whole)
            case 1:
                cut = rng.randrange(1, len(whole))
                await peer.send(whole[:cut])
                await trio.sleep(rng.choice([0, 0.01]))
                await peer.send(whole[cut:])
            case 2:
                await peer.send(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text)
                )
            case 3:
                await peer.send(whole)
                return
            case 4:
                reset(peer)
                return
            case 5:
                await peer.send(whole[: rng.randrange(len(whole))])
                return
            case 6:
                await peer.send(whole + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray")
            case 7:
                await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + whole)
            case _:
                await peer.send(whole)


async def run_client(world: World, number: int, rng: random.Random, answered: list[bytes]) -> None:
    """A few requests on one connection; notes which were answered as they should be."""
    client = await world.connect()
    for turn in range(rng.randrange(1, 8)):
        token = b"t%d" % (number * 1000 + turn)
        length = rng.choice([0, 5, 5, 5, 3000, 70_000])
        head = b"PUT /%b HTTP/1.1\r\nHost: a\r\n" % token
        if rng.random() < 0.2:
            chunk = b"%x\r\n%b\r\n" % (length, bytes(length)) if length else b""
            request = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
        else:
            request = head + b"Content-Length: %d\r\n\r\n" % length + bytes(length)
        with trio.move_on_after(8.0) as scope:
            cut = rng.choice([len(request), rng.randrange(1, len(request))])
            await client.send(request[:cut])
            if cut < len(request):
                await trio.sleep(rng.choice([0, 0.01]))
            match rng.randrange(10):
                case 0:
                    reset(client)
                    return
                case 1:
                    await client.stream.aclose()
                    return
            await client.send(request[cut:])
            answer = await client.read_answer()
            while answer.status < 200:
                answer = await client.read_answer()
        assert not scope.cancelled_caught, f"{token!r} was never answered"
        if answer.status == 200:
            assert answer.body == b"%b %d" % (token, length)
            answered.append(token)
        else:
            assert answer.status in (502, 503, 504), answer
        if answer.fields.get("connection") == "close":
            return


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_goes_astray(autojump_clock: MockClock, seed: int) -> None:
    rng = random.Random(seed)
    answered: list[bytes] = []

    async def replica(peer: Peer) -> None:
        await run_replica(peer, rng)

    async def client(world: World, number: int) -> None:
        await trio.sleep(rng.random())
        # A break is what a client may see; a wrong or a missing answer is not.
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, EndedError):
            await run_client(world, number, rng, answered)

    deployment = blue(request_timeout_s=3.0, queue_wait_max_s=1.0, upgrade_max_s=None)
    limits = Limits(body_idle_s=2.0)
    async with open_world(replica, replica, slots=3, deployment=deployment, limits=limits) as world:
        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(client, world, number)
        await world.wait_settled()
        statistics = world.server.statistics()
        assert statistics.crashes == 0
        assert statistics.grants_kept == 0
    assert len(answered) > 50
