"""Whole front-ends try a new version: mirrored requests, and a rising share that is stopped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.app.composed import Group, Silent, running_group, score
from tests.proxy.world import Peer, Script, _run_script
from trioroute.core.decisions import DecisionKind
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.core.resources.commands import SetTraffic
from trioroute.core.resources.state import RegistryState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SLOTS = 4


@attrs.define
class Replica:
    """One model server: how many requests run in it, and what it has seen."""

    status: int = 200
    service_s: float = 0.0
    running: int = 0
    running_max: int = 0
    heads: list[bytes] = attrs.field(factory=list)

    async def script(self, peer: Peer) -> None:
        while True:
            head, body = await peer.read_request()
            self.running += 1
            self.running_max = max(self.running_max, self.running)
            self.heads.append(head)
            await trio.sleep(self.service_s)
            # Freed before the answer is written: after it the router may send the next at once.
            self.running -= 1
            reply = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\n\r\n"
            await peer.send(reply.encode() + body)


@asynccontextmanager
async def two_versions(
    folder: Path, blue: Replica, green: Replica, *, slots: int = SLOTS, **settings: Any
) -> AsyncIterator[Group]:
    """Three front-ends with `iris`: all traffic to blue, and green beside it."""
    async with trio.open_nursery() as nursery, running_group(folder, 3) as group:
        deployments = []
        for name, replica in (("blue", blue), ("green", green)):
            port = await _serve(nursery, replica.script)
            deployments.append(
                Deployment(
                    endpoint="iris",
                    name=name,
                    source=StaticSource(addresses=(("127.0.0.1", port),)),
                    slots_per_replica=slots,
                    queue_wait_max_s=20.0,
                )
            )
        endpoint = Endpoint(name="iris", anonymous=True, traffic={"blue": 100}, **settings)
        await group.door.put_registry((endpoint,), tuple(deployments))
        await group.door.wait_replicas({"iris/blue": 1, "iris/green": 1}, Silent())
        yield group
        nursery.cancel_scope.cancel()


async def _serve(nursery: trio.Nursery, script: Script) -> int:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, partial(_run_script, script), listeners)
    port: int = listeners[0].socket.getsockname()[1]
    return port


def state_of(group: Group) -> RegistryState:
    return next(iter(group.front_ends.values())).supervisor.state


async def ask(group: Group, count: int, answers: list[bytes]) -> None:
    answers += [await score(group.scoring, b"x", endpoint="iris") for _ in range(count)]


async def many(group: Group, clients: int, each: int) -> list[bytes]:
    answers: list[bytes] = []
    async with trio.open_nursery() as nursery:
        for _ in range(clients):
            nursery.start_soon(ask, group, each, answers)
    return answers


async def test_copies_reach_the_mirror_and_nobody_feels_them(tmp_path: Path) -> None:
    blue, green = Replica(service_s=0.01), Replica(status=500, service_s=0.05)
    async with two_versions(tmp_path, blue, green, mirror_traffic={"green": 50}) as group:
        answers = await many(group, 8, 25)
        views = [front_end.supervisor for front_end in group.front_ends.values()]
        with trio.fail_after(20):
            while green.running:  # noqa: ASYNC110 - the replica has no event
                await trio.sleep(0.05)
        assert len(views) == 3
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert len(blue.heads) == 200
    assert 0 < len(green.heads) <= 100  # at most the share; fewer where no slot was idle
    assert all(b"x-trioroute-mirror: 1" in head for head in green.heads)
    assert not any(b"x-trioroute-mirror" in head for head in blue.heads)
    assert blue.running_max <= SLOTS
    assert green.running_max <= SLOTS


async def test_a_version_that_fails_while_it_rises_is_halted(tmp_path: Path) -> None:
    blue, green = Replica(), Replica(status=500)
    async with two_versions(tmp_path, blue, green, canary_halt_error_rate=0.2) as group:
        desk = next(iter(group.front_ends.values())).supervisor._desk
        await many(group, 4, 5)
        await desk.change(SetTraffic(endpoint="iris", traffic={"blue": 70, "green": 30}))
        failed = 0
        with trio.fail_after(60):
            while not state_of(group).halted:
                answers = await many(group, 4, 10)
                failed += sum(answer.startswith(b"HTTP/1.1 500 ") for answer in answers)
        assert failed >= 20
        assert state_of(group).endpoints["iris"].traffic == {"blue": 100}
        seen = len(green.heads)
        # Every front-end follows within a moment, and nobody but the operator goes back.
        await trio.sleep(0.5)
        seen = len(green.heads)
        assert all(a.startswith(b"HTTP/1.1 200 ") for a in await many(group, 4, 25))
        assert len(green.heads) == seen
        status = await group.door.status()
        assert status is not None
        (problem,) = [text for text in status.problems() if "halted" in text]
        assert problem.startswith("iris/green was halted: ")
        (row,) = [d for d in status.endpoints[0].deployments if d.name == "green"]
        assert (row.traffic_percent, row.reason.partition(":")[0]) == (0, "halted")
        with trio.fail_after(20):
            while not (found := _canary_decisions(group)):  # noqa: ASYNC110 - no event
                await trio.sleep(0.1)
        assert found == ["iris/green"]
        green.status = 200
        await desk.change(SetTraffic(endpoint="iris", traffic={"blue": 70, "green": 30}))
        assert state_of(group).halted == {}
        answers = await many(group, 4, 25)
        assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
        assert len(green.heads) > seen


async def test_a_version_that_is_slow_while_it_rises_is_halted(tmp_path: Path) -> None:
    """Its answers are right and come late: every one takes half a second, blue's none at all."""
    blue, green = Replica(), Replica(service_s=0.5)
    async with two_versions(tmp_path, blue, green, slots=64, canary_halt_p99_ratio=2.0) as group:
        desk = next(iter(group.front_ends.values())).supervisor._desk
        await desk.change(SetTraffic(endpoint="iris", traffic={"blue": 50, "green": 50}))
        with trio.fail_after(60):
            while not state_of(group).halted:
                answers = await many(group, 60, 2)
                assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
        assert state_of(group).endpoints["iris"].traffic == {"blue": 100}
        status = await group.door.status()
        assert status is not None
        (problem,) = [text for text in status.problems() if "halted" in text]
        assert problem.startswith("iris/green was halted: p99 is ")
        assert "more than 2 × the others'" in problem


def _canary_decisions(group: Group) -> list[str]:
    decisions = state_of(group).decisions
    return [one.subject for one in decisions if one.kind is DecisionKind.CANARY]


async def test_a_version_that_works_rises_unhindered(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"canary_halt_error_rate": 0.2, "canary_halt_p99_ratio": 50.0}
    async with two_versions(tmp_path, Replica(), Replica(), **settings) as group:
        desk = next(iter(group.front_ends.values())).supervisor._desk
        await desk.change(SetTraffic(endpoint="iris", traffic={"blue": 50, "green": 50}))
        for _ in range(6):
            answers = await many(group, 4, 10)
            assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
            await trio.sleep(1.0)
        assert state_of(group).halted == {}
        assert state_of(group).endpoints["iris"].traffic == {"blue": 50, "green": 50}
