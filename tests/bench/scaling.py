"""`make bench scaling`: load steps to ten times the capacity and away, again and again.

A real `trioroute up` with replicas that do nothing for the first three seconds of their lives. Each
cycle: ten clients that ask again as soon as they are answered, where one replica of one slot
runs; then three of them, while the replicas that are too many are stopped; then none, until there
is one replica again. Then, with no replica at all, single requests.

`needed` is the published formula at the highest load offered, (busy + queued) / (slots × target):
ten clients at 70 % are fifteen replicas, whatever waits meanwhile. `start` is from the first
request sent until the first new process runs, its own launch included. `held` are requests answered
after longer than the deployment's longest wait, because replicas were on their way; `failed` those
that got anything but an answer; `killed` those that a replica began and never ended.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.bench.live.witness import Served, read_served, running_max
from tests.e2e.system import (
    PATIENCE_S,
    REPLICA,
    Outcome,
    System,
    running_up,
    score,
    write_files,
)

__all__ = ["main"]

_START_S: Final = 3.0
_SERVICE_S: Final = 0.2
_QUEUE_WAIT_MS: Final = 500
_DOWN_AFTER_S: Final = 2.0
_CLIENTS: Final = 10
_CLIENTS_LATER: Final = 3
#: ceil(10 / 0.7); far below what the deployment may have.
_NEEDED: Final = 15
_REPLICAS_MAX: Final = 96
#: With all replicas ready, and while they are being stopped under a smaller load, seconds.
_FULL_S: Final = 2.0
_SMALLER_S: Final = 4.0
#: The goal (`decisions.md`): from crossing to the call.
_DECIDED_MAX_S: Final = 1.0

#: Says when it was started, and listens only later.
_SLOW_START: Final = f"""\
import os, runpy, sys, time
with open(os.path.join(sys.argv[1], str(os.getpid())), "w") as mark:
    mark.write(str(time.monotonic()))
time.sleep({_START_S})
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@attrs.define
class _Cycle:
    """One step up and down, on CLOCK_MONOTONIC."""

    began_at: float
    outcomes: list[Outcome] = attrs.field(factory=list)
    replicas_most: int = 0
    down_after_s: float = 0.0


@attrs.define
class _Stage:
    """A running `up` and its folder."""

    folder: Path
    system: System

    def replica_count(self) -> int:
        """Replicas that exist, ready or not, as a front-end tells."""
        status = self.system.status(next(iter(self.system.admin_urls)))
        (deployment,) = status.endpoints[0].deployments
        return len(deployment.replicas)

    def started_at(self) -> list[float]:
        """When each process was started, in order."""
        marks = [path.read_text() for path in (self.folder / "started").iterdir()]
        return sorted(float(mark) for mark in marks if mark)


def _write(folder: Path, *, low: int) -> None:
    write_files(folder, replicas=1, service_s=_SERVICE_S, queue_wait_ms=_QUEUE_WAIT_MS)
    (folder / "slow_start.py").write_text(_SLOW_START)
    (folder / "started").mkdir()
    path = folder / "deployment.yml"
    slow = f"{sys.executable} {folder / 'slow_start.py'} {folder / 'started'} {REPLICA}"
    scale = f"{{type: target_utilization, min_instances: {low}, max_instances: {_REPLICAS_MAX}}}"
    text = path.read_text().replace(f"{sys.executable} {REPLICA}", slow)
    text = text.replace("request_timeout_ms: 1000", "request_timeout_ms: 5000")
    text = text.replace("instance_type: local", "type: kubernetes")
    text = text.replace("instance_count: 1", f"scale_settings: {scale}")
    path.write_text(text + f'  trioroute.scale_down_after_s: "{_DOWN_AFTER_S}"\n')


@contextlib.contextmanager
def _stage(*, low: int) -> Iterator[_Stage]:
    with tempfile.TemporaryDirectory(prefix="trioroute-scaling-") as name:
        folder = Path(name)
        _write(folder, low=low)
        with running_up(folder) as system:
            yield _Stage(folder, system)


async def _ask_again(stage: _Stage, cycle: _Cycle, name: str, until: trio.Event) -> None:
    """One client: the next request as soon as the last was answered."""
    number = 0
    while not until.is_set():
        cycle.outcomes.append(await score(stage.system.scoring, f"{name}-{number}"))
        number += 1


async def _wait_for_count(stage: _Stage, cycle: _Cycle, count: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while (now := await trio.to_thread.run_sync(stage.replica_count)) > count:
            cycle.replicas_most = max(cycle.replicas_most, now)
            await trio.sleep(0.1)


async def _run_cycle(stage: _Stage, number: int) -> _Cycle:
    cycle = _Cycle(time.monotonic())
    away, smaller = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        for client in range(_CLIENTS):
            until = away if client < _CLIENTS_LATER else smaller
            nursery.start_soon(_ask_again, stage, cycle, f"{number}-{client}", until)
        with trio.move_on_after(_START_S + _FULL_S):
            await _wait_for_count(stage, cycle, 0)  # only to see how many there are
        smaller.set()
        with trio.move_on_after(_DOWN_AFTER_S + _SMALLER_S):
            await _wait_for_count(stage, cycle, 0)
        away.set()
    away_at = time.monotonic()
    await _wait_for_count(stage, cycle, 1)
    cycle.down_after_s = time.monotonic() - away_at
    return cycle


def _row(cycle: _Cycle, starts: list[float], served: dict[str, Served]) -> tuple[str, bool]:
    """One line of the table, and whether all is as it must be."""
    answered = [o for o in cycle.outcomes if o.status == 200]
    held = [o for o in answered if o.ended_at - o.sent_at > _QUEUE_WAIT_MS / 1000 + _SERVICE_S]
    failed = len(cycle.outcomes) - len(answered)
    begun = [served[o.name] for o in cycle.outcomes if o.name in served]
    killed = sum(each.ended_at == float("inf") for each in begun)
    decided_s = min(starts, default=float("inf")) - cycle.began_at
    longest_s = max(o.ended_at - o.sent_at for o in cycle.outcomes)
    text = (
        f"{1000 * decided_s:>8.0f} {len(starts):>8} {cycle.replicas_most:>5} {_NEEDED:>7}"
        f" {len(cycle.outcomes):>9} {len(held):>5} {longest_s:>9.2f} {failed:>7} {killed:>7}"
        f" {cycle.down_after_s:>9.1f}"
    )
    is_fine = not (failed or killed) and decided_s <= _DECIDED_MAX_S
    return text, is_fine and len(starts) < _NEEDED and cycle.replicas_most <= _NEEDED


def _run_steps(count: int) -> bool:
    print("cycle start ms  started  most  needed  requests  held longest s  failed  killed  down s")
    is_fine = True
    with _stage(low=1) as stage:
        for number in range(count):
            before = len(stage.started_at())
            cycle = trio.run(_run_cycle, stage, number)
            served = {each.request: each for each in read_served(stage.folder / "records")}
            text, row_is_fine = _row(cycle, stage.started_at()[before:], served)
            is_fine &= row_is_fine
            print(f"{number + 1:>5} {text}", flush=True)
            for outcome in [o for o in cycle.outcomes if o.status != 200][:3]:
                print(f"      {outcome}")
        most = running_max(read_served(stage.folder / "records"))
        print(f"most at once on a replica with one slot: {most}")
    return is_fine and most == 1


def _run_from_zero(count: int) -> bool:
    answered_s: list[float] = []
    with _stage(low=0) as stage:
        for number in range(count):
            cycle = _Cycle(time.monotonic())
            trio.run(_wait_for_count, stage, cycle, 0)
            outcome = trio.run(score, stage.system.scoring, f"first-{number}")
            if outcome.status == 200:
                answered_s.append(outcome.ended_at - outcome.sent_at)
            else:
                print(f"      {outcome}")
        started = len(stage.started_at())
    print(
        f"from zero: first request answered {len(answered_s)} of {count} times,"
        f" after {', '.join(f'{s:.1f}' for s in answered_s)} s; {started} started"
    )
    return len(answered_s) == count


def main() -> int:
    """Print the table; 1 when something that must hold does not."""
    parser = argparse.ArgumentParser(prog="make bench scaling", description=__doc__)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--from-zero", type=int, default=3)
    options = parser.parse_args()
    is_fine = _run_steps(options.cycles)
    return 0 if _run_from_zero(options.from_zero) and is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
