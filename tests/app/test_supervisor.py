"""Whole front-ends in one loop: they serve, survive their coordinator, and end in order."""

from collections.abc import Collection
from pathlib import Path

import pytest
import trio

from consensus import PeerAddress
from tests.app.composed import Group, running_echo, running_group, score
from trioroute.app.settings import ClusterSettings, FrontEndConfig
from trioroute.app.supervisor import run_front_end
from trioroute.core.status import ClusterStatus, FrontEndStatus, Role
from trioroute.discovery.kube.endings import termination_message
from trioroute.errors import ConfigError

NOBODY_LISTENS = """\
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {token: secret}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
"""


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


async def own_row(group: Group, name: str) -> FrontEndStatus:
    """What a front-end says of itself."""
    status = await group.door.status(name)
    assert status is not None
    return next(row for row in status.front_ends if row.name == name)


def is_at_home(group: Group, name: str) -> bool:
    """Has its worker a home, as far as it knows itself?"""
    homes = group.front_ends[name].supervisor.state.homes.get("echo/blue", {})
    return any(f"{name}/0" in masks for masks in homes.values())


async def test_without_a_quorum_who_serves_from_home_stays_ready(tmp_path: Path) -> None:
    """Faults row 5: were all unready, a load balancer would have nobody to send requests to."""
    async with running_echo(tmp_path, 3) as group:
        first = await coordinator_of(await group.door.status())
        left = next(name for name in group.front_ends if name != first)
        with trio.fail_after(20):
            while not is_at_home(group, left) or (await own_row(group, left)).unready_reason:  # noqa: ASYNC110 - no event to wait for
                await trio.sleep(0.05)
            for name in group.front_ends.keys() - {left}:
                group.front_ends[name].scope.cancel()
                await group.front_ends[name].ended.wait()
            while not (row := await own_row(group, left)).isolated:
                assert row.unready_reason == ""
                await trio.sleep(0.05)
    assert "serves from its homes for" in row.isolated


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


async def until_marked(group: Group, names: Collection[str]) -> None:
    """Until each of these front-ends knows that the worker of each of them ended in order."""
    wanted = {f"{name}/0" for name in names}
    for name in names:
        supervisor = group.front_ends[name].supervisor
        while not wanted <= set(supervisor.state.clean):  # noqa: ASYNC110 - the log has no event
            await trio.sleep(0.01)


async def test_when_all_end_together_nobody_goes_before_all_have_left(tmp_path: Path) -> None:
    """It takes a majority to put into the log that the last worker has ended in order."""
    async with running_echo(tmp_path, 3) as group:
        last = await coordinator_of(await group.door.status())
        others = group.front_ends.keys() - {last}
        for name in others:
            group.front_ends[name].supervisor.start_drain(with_group=True)
        await until_marked(group, others)
        group.front_ends[last].supervisor.start_drain(with_group=True)
        await until_marked(group, group.front_ends.keys())
        assert not any(one.ended.is_set() for one in group.front_ends.values())
        for one in group.front_ends.values():
            one.supervisor.start_drain()
        for one in group.front_ends.values():
            await one.ended.wait()


async def test_who_leaves_says_so_to_the_next_coordinator_as_well(tmp_path: Path) -> None:
    """Nobody has read what was said to the one that died; and the log is of its first second."""
    async with running_echo(tmp_path, 3) as group:
        first = await coordinator_of(await group.door.status())
        for one in group.front_ends.values():
            one.supervisor.start_drain(with_group=True)
        group.front_ends[first].scope.cancel()
        await until_marked(group, group.front_ends.keys() - {first})


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
    assert deployment.in_doubt is not None
    assert status.raft is not None
    assert (status.raft.voters, status.raft.connected) == (3, 3)


async def test_a_cluster_that_cannot_be_watched_is_a_problem_of_the_coordinator(
    tmp_path: Path,
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(NOBODY_LISTENS)
    nowhere = ClusterSettings(namespaces=("models",), kubeconfig=file)
    async with running_group(tmp_path, 1, cluster=nowhere) as group:
        with trio.fail_after(20):
            while not (status := await group.door.status()) or not status.kubernetes_problem:  # noqa: ASYNC110 - no event
                await trio.sleep(0.05)
    (problem,) = [one for one in status.problems() if "Kubernetes" in one]
    assert "nothing scales" in problem


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


async def test_a_start_that_fails_leaves_its_boot_and_the_reason(tmp_path: Path) -> None:
    """On a cluster both are shown when its container has ended; the first proves the end."""
    log = tmp_path / "termination-log"
    config = FrontEndConfig(
        name="fe-0",
        data=tmp_path / "data",
        peers=(PeerAddress(name="fe-0", host="127.0.0.1", port=1),),
        voters=1,
        access_log=tmp_path / "no" / "access.log",
        termination_log=log,
    )
    with pytest.raises(ConfigError, match="--access-log"):
        await run_front_end(config)
    boot = int((tmp_path / "data" / "boot").read_text())
    reason = f"--access-log {config.access_log}: No such file or directory\n"
    assert log.read_text() == termination_message("fe-0", boot) + reason
