"""Copies go into idle slots only, are felt by nobody, and keep every rule about slots."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from tests.proxy.standalone import LocalSlots, listening_socket
from tests.proxy.world import OK, Answer, Peer, Script, _run_script
from trioroute.core.health import Outcome as ReplicaOutcome
from trioroute.core.holding.holding import Grant
from trioroute.core.model import Deployment, Endpoint, Replica, RoutingSnapshot, StaticSource
from trioroute.core.slots.priority import Priority
from trioroute.proxy.admission import Place
from trioroute.proxy.server import ProxyServer
from trioroute.telemetry.recording import Outcome, Recorder
from trioroute.wire.http import Limits

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
NAMED = POST.replace(b"\r\nContent", b"\r\nazureml-model-deployment: green\r\nContent", 1)
LONG = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000
CONTINUE = POST.replace(b"\r\nContent", b"\r\nExpect: 100-continue\r\nContent", 1)


class SlotsOfEach:
    """An `Admission` with slots for each deployment."""

    def __init__(self, replicas: tuple[Replica, ...]) -> None:
        keys = {replica.deployment for replica in replicas}
        self.of = {key: LocalSlots([r for r in replicas if r.deployment == key]) for key in keys}
        self.spare_asked = 0

    def acquire_nowait(self, deployment: str) -> Grant | None:
        return self.of[deployment].acquire_nowait(deployment)

    def acquire_spare(self, deployment: str) -> Grant | None:
        self.spare_asked += 1
        return self.of[deployment].acquire_nowait(deployment)

    def join_queue(
        self,
        deployment: str,
        *,
        arrived_at: float,
        deadline: float,
        priority: Priority = Priority.NORMAL,
        size: int = 0,
        go: Callable[[Grant], None] | None = None,
    ) -> Place:
        return self.of[deployment].join_queue(
            deployment,
            arrived_at=arrived_at,
            deadline=deadline,
            priority=priority,
            size=size,
            go=go,
        )

    async def wait(self, place: Place) -> Grant:
        return await self.of[place.deployment].wait(place)

    def leave(self, place: Place) -> None:
        self.of[place.deployment].leave(place)

    def release(self, grant: Grant, outcome: ReplicaOutcome = ReplicaOutcome.SERVED) -> None:
        self.of[grant.deployment].release(grant, outcome)

    def must_stop_sending(self, grant: Grant) -> bool:
        return self.of[grant.deployment].must_stop_sending(grant)


@attrs.define
class Mirrored:
    """A data plane with `blue` live and `green` as mirror."""

    server: ProxyServer
    slots: SlotsOfEach
    recorder: Recorder
    port: int

    async def ask(self, request: bytes = POST) -> Answer:
        client = Peer(await trio.open_tcp_stream("127.0.0.1", self.port))
        async with client.stream:
            await client.send(request)
            answer = await client.read_answer()
            return await client.read_answer() if answer.status == 100 else answer

    def mirrored(self) -> dict[tuple[int, str], int]:
        """What became of copies, by status and reason."""
        (green,) = [s for s in self.recorder.snapshot().deployments if s.deployment == "green"]
        return {(one.status, one.reason): one.count for one in green.mirrored}

    async def settled(self) -> None:
        """Until no copy is under way; every slot is free then."""
        plane = self.server._plane
        while plane.mirrors.running or plane.abandoned.waiting:  # noqa: ASYNC110 - no event
            await trio.sleep(0.01)
        assert not any(slots.busy for slots in self.slots.of.values())


@asynccontextmanager
async def mirrored_plane(
    blue: Script,
    green: Script,
    *,
    percent: int = 50,
    slots: int = 8,
    green_port: int | None = None,
    **settings: Any,
) -> AsyncIterator[Mirrored]:
    clock = trio.lowlevel.current_clock()
    if isinstance(clock, trio.testing.MockClock):
        clock.autojump_threshold = 0.002
    async with trio.open_nursery() as nursery:
        replicas = []
        for name, script in (("blue", blue), ("green", green)):
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, partial(_run_script, script), listeners)
            port = green_port if name == "green" and green_port is not None else port
            replica = Replica(
                id=name, deployment=f"echo/{name}", host="127.0.0.1", port=port, slots=slots
            )
            replicas.append(replica)
        deployments = tuple(
            Deployment(
                endpoint="echo",
                name=name,
                source=StaticSource(addresses=()),
                queue_wait_max_s=2.0,
                **(settings if name == "green" else {}),
            )
            for name in ("blue", "green")
        )
        endpoint = Endpoint(
            name="echo",
            traffic={"blue": 100},
            mirror_traffic={"green": percent},
            anonymous=True,
            mount="/",
        )
        snapshot = RoutingSnapshot(
            version=1, endpoints=(endpoint,), deployments=deployments, replicas=tuple(replicas)
        )
        admission, recorder = SlotsOfEach(snapshot.replicas), Recorder()
        server = ProxyServer(
            admission=admission, recorder=recorder, limits=Limits(), name="fe-0", worker_index=0
        )
        server.apply_snapshot(snapshot)
        with listening_socket() as sock:
            await nursery.start(server.serve, [sock])
            yield Mirrored(server, admission, recorder, sock.getsockname()[1])
            nursery.cancel_scope.cancel()


async def ok(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await peer.send(OK)


def recording(requests: list[tuple[bytes, bytes]]) -> Script:
    async def script(peer: Peer) -> None:
        while True:
            requests.append(await peer.read_request())
            await peer.send(OK)

    return script


async def silent(peer: Peer) -> None:
    await peer.read_request()
    await trio.sleep_forever()


async def closes(peer: Peer) -> None:
    await peer.read_request()
    await peer.stream.aclose()


async def garbage(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(b"not HTTP\r\n\r\n")


@pytest.mark.parametrize("percent", [1, 10, 50])
async def test_the_share_of_copies_is_exact(percent: int) -> None:
    requests: list[tuple[bytes, bytes]] = []
    async with mirrored_plane(ok, recording(requests), percent=percent) as plane:
        for _ in range(200):
            assert (await plane.ask()).status == 200
            await plane.settled()
        assert plane.mirrored() == {(200, "answered"): 2 * percent}
    assert len(requests) == 2 * percent


@pytest.mark.parametrize("request_bytes", [POST, CHUNKED], ids=["length", "chunked"])
async def test_a_copy_says_what_the_request_said(request_bytes: bytes) -> None:
    live: list[tuple[bytes, bytes]] = []
    copied: list[tuple[bytes, bytes]] = []
    async with mirrored_plane(recording(live), recording(copied)) as plane:
        for _ in range(2):
            await plane.ask(request_bytes)
        await plane.settled()
    ((head, body),) = copied
    assert body == live[0][1] == b"hello"
    assert b"\r\nx-trioroute-mirror: 1\r\n" in head
    assert not any(b"x-trioroute-mirror" in one for one, _ in live)
    assert head.split(b"\r\n")[0] == live[0][0].split(b"\r\n")[0]
    assert b"x-trioroute-slot: green/" in head


@pytest.mark.parametrize(
    ("request_bytes", "reason"),
    [(LONG, "body-not-whole"), (CONTINUE, "body-not-whole"), (NAMED, None)],
)
async def test_what_is_not_copied(request_bytes: bytes, reason: str | None) -> None:
    async with mirrored_plane(ok, ok) as plane:
        for _ in range(2):
            assert (await plane.ask(request_bytes)).status == 200
        await plane.settled()
        if reason is None:  # a request that names its deployment: not even considered
            assert plane.slots.spare_asked == 0
        else:
            assert plane.mirrored() == {(0, reason): 1}


async def test_without_an_idle_slot_there_is_no_copy() -> None:
    async with mirrored_plane(ok, silent, slots=1, request_timeout_s=60.0) as plane:
        for _ in range(6):
            assert (await plane.ask()).status == 200
        assert plane.mirrored() == {(0, "no-idle-slot"): 2}
        assert len(plane.slots.of["echo/green"].busy) == 1


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [(closes, 0, "failed"), (garbage, 0, "failed"), (silent, 0, "answer-timeout")],
)
async def test_a_failing_mirror_is_felt_by_nobody(
    script: Script, status: int, reason: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with mirrored_plane(ok, script, request_timeout_s=1.0) as plane:
        for _ in range(6):
            answer = await plane.ask()
            assert (answer.status, answer.body) == (200, b"ok")
        await plane.settled()
        assert plane.mirrored() == {(status, reason): 3}
        released = [grant.number for grant in plane.slots.of["echo/green"].released]
        assert len(released) == len(set(released)) == 3


async def test_a_mirror_that_still_computes_keeps_its_slot(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The answer is late: the slot is free when it comes, not when waiting for it ended."""
    go_on = trio.Event()

    async def late(peer: Peer) -> None:
        await peer.read_request()
        await go_on.wait()
        await peer.send(OK)

    async with mirrored_plane(ok, late, request_timeout_s=1.0, stream_max_s=30.0) as plane:
        for _ in range(2):
            await plane.ask()
        while plane.server._plane.mirrors.running:  # noqa: ASYNC110 - no event
            await trio.sleep(0.01)
        assert plane.mirrored() == {(0, "answer-timeout"): 1}
        assert len(plane.slots.of["echo/green"].busy) == 1
        go_on.set()
        await plane.settled()


async def test_a_mirror_that_nobody_reaches_is_told_to_whoever_judges_health() -> None:
    async with mirrored_plane(ok, ok, green_port=1) as plane:
        for _ in range(2):
            assert (await plane.ask()).status == 200
        await plane.settled()
        assert plane.slots.of["echo/green"].failed == [("green", ReplicaOutcome.UNREACHABLE)]
        assert plane.mirrored() == {(0, "failed"): 1}


async def test_a_lease_that_ended_sends_nothing() -> None:
    requests: list[tuple[bytes, bytes]] = []
    async with mirrored_plane(ok, recording(requests)) as plane:
        plane.slots.of["echo/green"].lease_ends_in = 0
        for _ in range(2):
            assert (await plane.ask()).status == 200
        await plane.settled()
        assert plane.mirrored() == {(0, "failed"): 1}
    assert requests == []


async def test_copies_under_way_are_bounded() -> None:
    async with mirrored_plane(ok, silent, slots=100, request_timeout_s=60.0) as plane:
        for _ in range(160):
            assert (await plane.ask()).status == 200
        assert plane.server._plane.mirrors.running == 64
        assert plane.mirrored() == {(0, "too-many"): 16}


async def test_a_worker_that_stops_keeps_the_slots_of_copies_that_were_sent() -> None:
    was_read = trio.Event()

    async def busy(peer: Peer) -> None:
        await peer.read_request()
        was_read.set()
        await trio.sleep_forever()

    async with mirrored_plane(ok, busy, request_timeout_s=60.0) as plane:
        for _ in range(2):
            await plane.ask()
        await was_read.wait()
        server = plane.server
    assert server.statistics().grants_kept == 1
    assert len(plane.slots.of["echo/green"].busy) == 1


async def test_copies_count_in_no_other_figure() -> None:
    async with mirrored_plane(ok, ok) as plane:
        for _ in range(4):
            await plane.ask()
        await plane.settled()
        (green,) = [s for s in plane.recorder.snapshot().deployments if s.deployment == "green"]
    assert green.outcomes == ()
    assert green.total.count == 0
    assert green.mirrored == (Outcome(200, "answered", 2),)
