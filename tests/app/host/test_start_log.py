"""Ready times in the access log: each start once, of whoever coordinates; replays read them."""

from pathlib import Path

import pytest
import trio
import trio.testing

from tests.coordinator.test_service import MemoryLog
from trioroute.app.host.start_log import StartLog, append_lines, new_starts
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.core.registry import OpenEpoch, PutRegistry, PutReplicas
from trioroute.core.yardstick.trace import parse_trace


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ((), (), ()),
        ((), (1.0, 2.0), (1.0, 2.0)),
        ((1.0,), (1.0, 2.0), (2.0,)),
        ((1.0, 2.0, 3.0), (2.0, 3.0, 4.0), (4.0,)),
        ((1.0, 2.0), (1.0, 2.0), ()),
        ((1.0, 2.0), (8.0, 9.0), (8.0, 9.0)),
    ],
)
def test_what_is_new_at_the_end_of_the_last_starts(
    before: tuple[float, ...], after: tuple[float, ...], new: tuple[float, ...]
) -> None:
    assert new_starts(before, after) == new


def commanded(deployment: str, *times: float) -> PutReplicas:
    return PutReplicas(epoch=1, deployment=deployment, replicas=(), ready_times_s=times)


async def opened() -> MemoryLog:
    """In office, with two deployments."""
    log = MemoryLog()
    source = StaticSource(addresses=())
    deployments = tuple(
        Deployment(endpoint="e", name=name, source=source) for name in ("blue", "green")
    )
    await log.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=deployments))
    await log.commit(OpenEpoch(epoch=1))
    return log


class Disk:
    """Appends as the product does, and tells when it has tried so often."""

    def __init__(self, times: int) -> None:
        self._left = times
        self.is_done = trio.Event()

    def append(self, path: Path, lines: bytes) -> None:
        try:
            append_lines(path, lines)
        finally:
            self._left -= 1
            if not self._left:
                trio.from_thread.run_sync(self.is_done.set)


async def test_what_is_learnt_in_office_is_written_and_replays(tmp_path: Path) -> None:
    path, log, disk = tmp_path / "access.log", await opened(), Disk(2)
    await log.commit(commanded("e/blue", 9.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(StartLog(path, log, unix_time=lambda: 5.0, append=disk.append).run)
        nursery.start_soon(StartLog(None, log).run)
        await trio.testing.wait_all_tasks_blocked()
        await log.commit(commanded("e/blue", 9.0, 3.125))
        await trio.testing.wait_all_tasks_blocked()
        await log.commit(commanded("e/green", 7.0))
        await disk.is_done.wait()
        nursery.cancel_scope.cancel()
    lines = path.read_text().splitlines()
    assert lines[0] == '{"ts": 5.0, "endpoint": "e", "deployment": "blue", "ready": 3.125}'
    trace = parse_trace([*lines, '{"at": 0, "service": 1}'], name="t", deployment="e/blue")
    assert trace.ready_times_s == (3.125,), "9 s are of an earlier office"


async def test_a_file_that_cannot_be_written_ends_no_office(tmp_path: Path) -> None:
    log, disk = await opened(), Disk(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(StartLog(tmp_path, log, append=disk.append).run)  # a folder
        await trio.testing.wait_all_tasks_blocked()
        await log.commit(commanded("e/blue", 1.0))
        await trio.testing.wait_all_tasks_blocked()
        await log.commit(commanded("e/blue", 1.0, 2.0))
        await disk.is_done.wait()
        nursery.cancel_scope.cancel()
