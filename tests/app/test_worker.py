"""The worker's tree: serve after the first picture, drain in order, die with the hand-down."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from trioroute.app.handdown import SupervisorEnd, open_memory_hand_down
from trioroute.app.host.ports import ScoringSockets
from trioroute.app.worker import GOODBYE_S, ReportLink, Worker, WorkerConfig
from trioroute.core.model import RoutingSnapshot
from trioroute.telemetry.recording import Recorder, WorkerStats
from trioroute.wire.handdown import Drain, LinkState, Ready, Snapshot, Stats, Stop

CONFIG = WorkerConfig(front_end="fe-0", index=2, incarnation=7, phase=0.0, drain_s=20.0)
FIRST_PICTURE = Snapshot.of(RoutingSnapshot(version=1))


@attrs.define
class RecordingPlane:
    """A data plane without clients: one exchange is in flight for `busy_s` from the drain on."""

    busy_s: float
    goodbye_s: float = 0.0
    log: list[str] = attrs.field(factory=list)
    recorder: Recorder = attrs.field(factory=Recorder)

    def apply_snapshot(self, snapshot: RoutingSnapshot) -> None:
        self.log.append(f"picture {snapshot.version}")

    async def run_link(self, report: ReportLink) -> None:
        report(True, 4)
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("link ends")

    async def say_goodbye(self) -> None:
        self.log.append("goodbye")
        await trio.sleep(self.goodbye_s)

    async def serve(self, listening: ScoringSockets, *, task_status: trio.TaskStatus[None]) -> None:
        self.log.append("serving")
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("serving ends")

    async def drain(self, *, timeout_s: float) -> None:
        with trio.move_on_after(timeout_s):
            await trio.sleep(self.busy_s)
        self.log.append(f"drained after {min(timeout_s, self.busy_s)} s")

    def counts(self) -> WorkerStats:
        return self.recorder.snapshot()


@asynccontextmanager
async def running(plane: RecordingPlane) -> AsyncIterator[tuple[Worker, SupervisorEnd]]:
    """A worker that must end by itself before the test ends."""
    upper, lower = open_memory_hand_down()
    worker = Worker(CONFIG, lower, plane)
    with socket.socket() as listening:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run, ScoringSockets(listening))
            yield worker, upper
    await upper.aclose()
    await lower.aclose()


def test_a_holder_is_named_after_front_end_and_seat() -> None:
    assert CONFIG.holder == "fe-0/2"


async def test_it_accepts_only_after_the_first_picture(
    autojump_clock: trio.testing.MockClock,
) -> None:
    plane = RecordingPlane(busy_s=0)
    async with running(plane) as (_, upper):
        await trio.sleep(10)
        assert plane.log == []
        await upper.send(FIRST_PICTURE)
        reports = [await upper.receive() for _ in range(3)]
        await upper.send(Stop())
    assert plane.log[:2] == ["picture 1", "serving"]
    assert {type(report) for report in reports} == {Stats, LinkState, Ready}
    assert LinkState(connected=True, epoch=4) in reports


@pytest.mark.parametrize(("busy_s", "taken_s"), [(3.0, 3.0), (60.0, 5.0)])
async def test_a_drain_ends_accept_then_clients_then_link(
    busy_s: float, taken_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    plane = RecordingPlane(busy_s=busy_s)
    started_at = trio.current_time()
    async with running(plane) as (_, upper):
        await upper.send(FIRST_PICTURE)
        await trio.testing.wait_all_tasks_blocked()
        await upper.send(Drain(timeout_s=5.0))
    assert trio.current_time() - started_at == pytest.approx(taken_s)
    assert plane.log[2:] == [f"drained after {taken_s} s", "serving ends", "goodbye", "link ends"]


@pytest.mark.parametrize(("is_stopped", "taken_s"), [(True, 1.0), (False, GOODBYE_S)])
async def test_after_the_goodbye_it_stays_until_it_is_stopped_or_time_is_over(
    taken_s: float, autojump_clock: trio.testing.MockClock, *, is_stopped: bool
) -> None:
    plane = RecordingPlane(busy_s=0, goodbye_s=100.0)
    async with running(plane) as (_, upper):
        await upper.send(FIRST_PICTURE)
        await trio.testing.wait_all_tasks_blocked()
        await upper.send(Drain(timeout_s=5.0))
        drained_at = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        assert plane.log[-1] == "goodbye"
        await trio.sleep(1.0)
        if is_stopped:
            await upper.send(Stop())
    assert trio.current_time() - drained_at == pytest.approx(taken_s)


async def test_a_signal_drains_within_the_configured_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    plane = RecordingPlane(busy_s=60.0)
    async with running(plane) as (worker, upper):
        await upper.send(FIRST_PICTURE)
        await trio.testing.wait_all_tasks_blocked()
        worker.start_drain()
        worker.start_drain(0.0)
    assert "drained after 20.0 s" in plane.log


async def test_the_counts_of_the_last_second_are_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    plane = RecordingPlane(busy_s=0)
    async with running(plane) as (_, upper):
        await upper.send(FIRST_PICTURE)
        await trio.testing.wait_all_tasks_blocked()
        plane.recorder.record_exchange(
            endpoint="wine",
            deployment="blue",
            status=200,
            reason="ok",
            queue_s=0,
            route_s=0,
            upstream_s=0,
            head_s=0,
            total_s=0,
            bytes_in=0,
            bytes_out=0,
            attempts=1,
        )
        await upper.send(Drain(timeout_s=5.0))
        reports = [await upper.receive() for _ in range(4)]
    assert isinstance(reports[-1], Stats)
    assert reports[-1].counts(WorkerStats) == plane.counts()


@pytest.mark.parametrize("is_routed", [True, False])
async def test_it_ends_at_once_when_the_supervisor_has_gone(
    is_routed: bool, autojump_clock: trio.testing.MockClock
) -> None:
    plane = RecordingPlane(busy_s=60.0)
    started_at = trio.current_time()
    async with running(plane) as (_, upper):
        if is_routed:
            await upper.send(FIRST_PICTURE)
            await trio.testing.wait_all_tasks_blocked()
        await upper.aclose()
    assert trio.current_time() == started_at
    assert "goodbye" not in plane.log


async def test_a_drain_before_the_first_picture_just_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    plane = RecordingPlane(busy_s=60.0)
    async with running(plane) as (_, upper):
        await upper.send(Drain(timeout_s=5.0))
    assert plane.log == []
