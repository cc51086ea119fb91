"""Whole front-ends in one loop: they serve, survive their coordinator, and end in order."""

from pathlib import Path

import pytest
import trio

from tests.app.composed import running_echo, running_group, score
from trioroute.core.status import ClusterStatus, Role


async def coordinator_of(status: ClusterStatus | None) -> str:
    assert status is not None
    assert status.coordinator is not None
    return status.coordinator.name


@pytest.mark.parametrize("count", [1, 2, 3, 4])
async def test_any_number_of_front_ends_serves(count: int, tmp_path: Path) -> None:
    async with running_echo(tmp_path, count) as group:
        answers = [await score(group.scoring, b"%d" % number) for number in range(2 * count)]
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert [answer[-1:] for answer in answers] == [b"%d" % n for n in range(2 * count)]


async def test_an_endpoint_that_nobody_put_is_not_found(tmp_path: Path) -> None:
    async with running_group(tmp_path, 1) as group:
        answer = await score(group.scoring, b"")
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_requests_go_on_when_the_coordinator_dies(tmp_path: Path) -> None:
    async with running_echo(tmp_path, 3) as group:
        first = await coordinator_of(await group.door.status())
        group.front_ends[first].scope.cancel()
        await group.front_ends[first].ended.wait()
        answers = [await score(group.scoring, b"%d" % number) for number in range(20)]
        second = await coordinator_of(await group.door.status())
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert second != first


async def test_a_drain_hands_the_office_over_and_loses_nothing(tmp_path: Path) -> None:
    async with running_echo(tmp_path, 3) as group:
        first = await coordinator_of(await group.door.status())
        leaving = group.front_ends[first]
        answers: list[bytes] = []

        async def load() -> None:
            answers.extend([await score(group.scoring, b"%d" % number) for number in range(50)])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(load)
            leaving.supervisor.start_drain()
            await leaving.ended.wait()
        status = await group.door.status(next(n for n in group.front_ends if n != first))
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert await coordinator_of(status) != first


async def test_when_all_end_together_the_coordinator_goes_last(tmp_path: Path) -> None:
    """Only it can note in the log that a worker that registers late has ended in order."""
    order: list[str] = []
    async with running_echo(tmp_path, 3) as group:
        coordinator = await coordinator_of(await group.door.status())

        async def note_end(name: str) -> None:
            await group.front_ends[name].ended.wait()
            order.append(name)

        async with trio.open_nursery() as nursery:
            for name in group.front_ends:
                nursery.start_soon(note_end, name)
            for front_end in group.front_ends.values():
                front_end.supervisor.start_drain(with_group=True)
    assert len(order) == 3
    assert order[-1] == coordinator


async def test_the_status_of_the_coordinator_tells_everything(tmp_path: Path) -> None:
    async with running_echo(tmp_path, 3) as group:
        for _ in range(5):
            await score(group.scoring, b"x")
        status = await group.door.status()
    assert status is not None
    assert list(status.problems()) == []
    assert [row.name for row in status.front_ends] == ["fe-0", "fe-1", "fe-2"]
    assert [row.role for row in status.front_ends].count(Role.COORDINATOR) == 1
    (deployment,) = status.endpoints[0].deployments
    assert (deployment.ready_count, deployment.slots, deployment.queued) == (1, 8, 0)
    assert status.raft is not None
    assert (status.raft.voters, status.raft.connected) == (3, 3)


async def test_the_request_rate_is_that_of_the_last_seconds(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as group:
        for _ in range(30):
            await score(group.scoring, b"x")
        await trio.sleep(2.1)  # real sockets, so real seconds: two samples
        status = await group.door.status()
    assert status is not None
    rate = status.front_ends[0].requests_per_s
    assert rate is not None
    assert 0 < rate <= 30
