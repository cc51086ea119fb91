"""Faults one after the other under load: the limit of every replica holds through all of them."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.e2e.system import (
    PATIENCE_S,
    Outcome,
    System,
    offer_load,
    our_processes,
    read_records,
    running_up,
    wait_until_rejoined,
    write_files,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SERVICE_S = 0.05
REPLICAS = 4
#: More than the slots can do, so that every slot is contended for when a fault comes.
RATE = 100.0


def kill_coordinator(system: System) -> None:
    os.kill(system.front_end_pid(system.coordinator()[0]), signal.SIGKILL)


def kill_follower(system: System) -> None:
    name = next(name for name in system.admin_urls if name != system.coordinator()[0])
    os.kill(system.front_end_pid(name), signal.SIGKILL)


def kill_a_worker(system: System) -> None:
    pid = next(pid for pid, line in our_processes(system.data) if "app.plane:main" in line)
    os.kill(pid, signal.SIGKILL)


def freeze_coordinator(system: System) -> None:
    """Longer than a lease: another one takes over, and then there are two who think they are it."""
    pid = system.front_end_pid(system.coordinator()[0])
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3.5)
    os.kill(pid, signal.SIGCONT)


def freeze_a_worker(system: System) -> None:
    """Longer than a lease: its slots go to others, and it must notice when it wakes."""
    pid = next(pid for pid, line in our_processes(system.data) if "app.plane:main" in line)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3.5)
    os.kill(pid, signal.SIGCONT)


def ask_coordinator_to_end(system: System) -> None:
    os.kill(system.front_end_pid(system.coordinator()[0]), signal.SIGTERM)


#: What else is tried often: `test_kill_coordinator.py`, and the minute of `tests/chaos/scenarios`.
FAULTS = [
    pytest.param(kill_coordinator, marks=pytest.mark.long),
    freeze_coordinator,
    freeze_a_worker,
    ask_coordinator_to_end,
    pytest.param(kill_a_worker, marks=pytest.mark.long),
    pytest.param(kill_follower, marks=pytest.mark.long),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: getattr(fault, "__name__", None))
def test_no_replica_ever_works_on_two_requests(
    fault: Callable[[System], None], tmp_path: Path
) -> None:
    times = {"queue_wait_ms": 500, "request_timeout_ms": 3000}
    write_files(tmp_path, replicas=REPLICAS, service_s=SERVICE_S, **times)
    outcomes: list[Outcome] = []
    with running_up(tmp_path) as system:

        async def run() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(offer_load, system, outcomes, RATE, 6.5)
                await trio.sleep(1.5)
                await trio.to_thread.run_sync(fault, system)

        trio.run(run)
        wait_until_rejoined(system)
        outcomes.clear()
        trio.run(offer_load, system, outcomes, 20.0, 1.0)
        assert [o.status for o in outcomes] == [200] * 20, "all is well again"
    records = read_records(tmp_path)
    assert records.running_max == 1
    assert all(count == 1 for count in records.begun.values())


@pytest.mark.long
def test_a_supervisor_that_hangs_is_told_of_and_left_alone(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0.01)
    screen = tmp_path / "up.stderr"
    with running_up(tmp_path) as system:
        coordinator, _ = system.coordinator()
        victim = next(name for name in system.admin_urls if name != coordinator)
        pid = system.front_end_pid(victim)
        workers = workers_of(system, victim)
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until_said(screen, f"{victim} hangs: process {pid} ")
            (row,) = [r for r in system.status(coordinator).front_ends if r.name == victim]
            assert (row.is_up, row.error) == (False, "not connected")
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until_said(screen, f"{victim} answers again")
        wait_until_rejoined(system)
        assert workers_of(system, victim) == workers, "nothing was wrong with them"


def workers_of(system: System, name: str) -> list[int]:
    lines = our_processes(system.data)
    return [pid for pid, line in lines if "app.plane:main" in line and f"-end {name} " in line]


def wait_until_said(screen: Path, text: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while text not in screen.read_text():
        assert time.monotonic() < deadline, screen.read_text()
        time.sleep(0.1)
