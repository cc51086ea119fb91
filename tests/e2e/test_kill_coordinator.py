"""SIGKILL of the coordinator's whole front-end under load costs only what it had in hand."""

import os
import signal
import time
from pathlib import Path

import pytest
import trio

from tests.e2e.system import (
    Outcome,
    System,
    offer_load,
    our_processes,
    read_records,
    running_up,
    wait_until_rejoined,
    write_files,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SERVICE_S = 0.05
REPLICAS = 4
#: Below what the slots can do (4 / 0.05 s = 80), also while a third of the front-ends is away.
RATE = 40.0
LOAD_S = 5.0
KILL_AFTER_S = 1.5


async def kill_coordinator(system: System, killed: list[float]) -> None:
    await trio.sleep(KILL_AFTER_S)
    name, _ = await trio.to_thread.run_sync(system.coordinator)
    pid = await trio.to_thread.run_sync(system.front_end_pid, name)
    found = await trio.to_thread.run_sync(our_processes, system.data)
    doomed = {each for each, line in found if f" {name} " in line}
    os.kill(pid, signal.SIGKILL)
    # Its worker dies with it, but on a busy machine not at once.
    await trio.to_thread.run_sync(wait_until_gone, system, doomed)
    killed.append(time.monotonic())


def wait_until_gone(system: System, doomed: set[int]) -> None:
    while doomed & {pid for pid, _ in our_processes(system.data)}:
        time.sleep(0.01)


def test_a_killed_coordinator_costs_only_what_it_had_in_hand(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=REPLICAS, service_s=SERVICE_S, request_timeout_ms=3000)
    outcomes: list[Outcome] = []
    killed: list[float] = []
    with running_up(tmp_path) as system:
        before = system.coordinator()

        async def run() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(offer_load, system, outcomes, RATE, LOAD_S)
                nursery.start_soon(kill_coordinator, system, killed)

        trio.run(run)
        after = wait_until_rejoined(system, before[1])
        replica_pids = list((tmp_path / "records").iterdir())
    records = read_records(tmp_path)
    broken = [outcome for outcome in outcomes if outcome.status is None]

    assert records.running_max == 1, "two requests at once on a replica with one slot"
    assert len(replica_pids) == REPLICAS, "replicas survive the coordinator"
    assert after[1] > before[1]
    # Every request was answered by its own answer, or visibly broken with the killed front-end.
    refused = [o for o in outcomes if o.status not in (200, None)]
    assert not refused, refused
    assert all(o.body.decode() == o.name for o in outcomes if o.status == 200)
    assert all(o.sent_at <= killed[0] for o in broken), broken
    # What it can have had in hand: its share of what ran and waited, never more than all slots.
    assert len(broken) <= 2 * REPLICAS, broken
    # No request ran twice, and every answered one ran once.
    assert all(count == 1 for count in records.begun.values())
    answered = {outcome.name for outcome in outcomes if outcome.status == 200}
    assert answered <= records.ended.keys()
