"""The static source: shows the addresses that deployments name."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trioroute.core.found import FoundReplica
from trioroute.core.model import CommandSource, Deployment, StaticSource
from trioroute.discovery.source import ReplicaSource
from trioroute.discovery.static import StaticReplicaSource
from trioroute.errors import StaleEpochError

BLUE = Deployment(
    endpoint="e",
    name="blue",
    source=StaticSource(addresses=(("127.0.0.1", 9401), ("127.0.0.1", 9402))),
)


def test_obeys_the_protocol() -> None:
    source: ReplicaSource = StaticReplicaSource()
    assert source is not None


async def test_shows_every_address_whatever_the_number_wished() -> None:
    source = StaticReplicaSource()
    await source.set_desired(1, [(BLUE, 1)])
    async with source.watch() as pictures:
        found = await anext(pictures)
    assert [(each.id, each.host, each.port, each.state) for each in found] == [
        ("e-blue-127.0.0.1:9401", "127.0.0.1", 9401, "running"),
        ("e-blue-127.0.0.1:9402", "127.0.0.1", 9402, "running"),
    ]
    assert {each.deployment for each in found} == {"e/blue"}


async def test_leaves_other_sources_and_deployments_wished_zero_times_alone() -> None:
    source = StaticReplicaSource()
    green = Deployment(endpoint="e", name="green", source=CommandSource(command=("x",), cwd="/"))
    await source.set_desired(1, [(green, 3), (BLUE, 0)])
    async with source.watch() as pictures:
        assert await anext(pictures) == ()


async def test_refuses_a_lower_epoch() -> None:
    source = StaticReplicaSource()
    await source.set_desired(3, [(BLUE, 1)])
    with pytest.raises(StaleEpochError) as caught:
        await source.set_desired(2, [])
    assert caught.value.epoch == 3
    async with source.watch() as pictures:
        assert len(await anext(pictures)) == 2


async def test_a_watcher_is_told_changes_only() -> None:
    source = StaticReplicaSource()
    seen: list[tuple[FoundReplica, ...]] = []

    async def watch() -> None:
        async with source.watch() as pictures:
            async for picture in pictures:
                seen.append(picture)  # noqa: PERF401 - there is no end to extend by

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await wait_all_tasks_blocked()
        await source.set_desired(1, [])
        await wait_all_tasks_blocked()
        await source.set_desired(1, [(BLUE, 1)])
        await wait_all_tasks_blocked()
        await source.set_desired(2, [(BLUE, 1)])
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [len(picture) for picture in seen] == [0, 2]
