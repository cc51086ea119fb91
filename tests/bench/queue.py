"""`make bench queue`: how far the real queue is from one perfect queue.

Three front-ends with one worker each, real processes and sockets, 16 replicas of one slot. Requests
come open-loop; each carries its service time, exponentially distributed. All ideals are replays of
the very arrivals of the run through one first-come-first-served line, beside three figures:

* `wait`: from sent by the client to begun at the replica, beside the ideal for the service times
  that the replicas measured. Everything counts: sockets, wake-ups, parsing, queue.
* `queued`: the same without `pass`, what it takes to get through the router when a quarter of the
  slots is idle (the median of such requests). Each request pays that, at every router, also when
  nobody waits: it is latency (`make bench latency`) and not waiting in line, and with so few who
  wait it hid what this bench is about: at load 0.7 one in eight waits, so half a millisecond of
  passing is a fifth of the mean ideal wait. Measured outside, so alike for every side. That slots
  are held for the way to the replica and back still counts against the router.
* `line`: what the router says that requests waited in its queue, beside the ideal for the times for
  which slots were held. The way to a replica and back is in both; what is left is the shared
  queue's own part: slots that were idle, or on their way, while somebody waited. **The goal is on
  its `ratio`.** Both ends are ours to say, so `queued` stands beside it.

`one-line` is a single HAProxy before the same replicas, which has a single queue and no hand-over
between processes: what its `queued` is above the ideal is the machine's and not the router's.

Then three HAProxies and three Envoys that know nothing of each other. `waste` is slot time idle at
the replicas while a request waited anywhere. Over-commit (`at once` above 1) is counted at the
replicas and must be 0 for ours. The whole table takes ten minutes; ARGS choose rows and sides.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.bench.ideal import Served, ideal_waits, most_at_once, passing_s, wasted_share
from tests.bench.queue_load import Case, Offered, offer
from tests.bench.queue_sides import QUEUE_SIDES
from tests.bench.sides import NotInstalledError
from tests.bench.slots import RECORD

__all__ = ["main"]

#: Burstiness of the Azure LLM conversation trace: gaps are Gamma-distributed with this shape.
_SHAPES: Final = {"poisson": 1.0, "trace": 0.835}
#: What is sent before measuring: connections open, homes settle.
_WARM_UP_S: Final = 1.0
#: So many service times in a row: enough for a mean, and ten minutes for the whole table.
_SERVICES: Final = 160
_SECONDS_MIN: Final = 5.0
_SECONDS_MAX: Final = 16.0
_HEADS: Final = (
    "service load gaps    side        sent failed late |"
    "   wait  ideal ratio    p99  ideal  waste | pass queued ratio |   line  ideal ratio | at once"
)


@attrs.define
class Stage:
    """One side before its replicas, for all rows.

    Attributes:
        log: what the replicas recorded.
        next_number: of the next run's first request; numbers are unique in the log.
    """

    side: str
    ports: Sequence[int]
    log: Path
    next_number: int = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and print a table. Returns 1 when a replica of ours ever ran two at once."""
    options = _parser().parse_args(arguments)
    print(f"{options.slots} replicas × 1 slot, {options.front_ends} front-ends × 1 worker; ms")
    print(_HEADS)
    at_once = 0
    for name in options.sides:
        try:
            with _open_stage(name, options) as stage:
                most = max(_run_case(case, stage, options) for case in _cases(options))
        except NotInstalledError as error:
            print(f"LEFT OUT: {error}")
            continue
        at_once = max(at_once, most if name == "trioroute" else 0)
    return int(at_once > 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench queue")
    parser.add_argument("--service-ms", type=float, nargs="+", default=[100.0, 20.0, 5.0])
    parser.add_argument("--loads", type=float, nargs="+", default=[0.5, 0.7, 0.9])
    parser.add_argument("--gaps", nargs="+", default=list(_SHAPES), choices=_SHAPES)
    parser.add_argument("--seconds", type=float, help="of each row; else 5 to 16 by service time")
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--front-ends", type=int, default=3)
    parser.add_argument("--sides", nargs="+", default=list(QUEUE_SIDES), choices=QUEUE_SIDES)
    parser.add_argument("--seed", type=int, default=1)
    return parser


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    for service_ms in options.service_ms:
        for load in options.loads:
            for gaps in options.gaps:
                yield Case(service_ms / 1000, load, _SHAPES[gaps])


@contextlib.contextmanager
def _open_stage(name: str, options: argparse.Namespace) -> Iterator[Stage]:
    """Replicas and front-ends, until the block is left."""
    side = QUEUE_SIDES[name]
    with tempfile.TemporaryDirectory(prefix="bench-queue-") as folder:
        log = Path(folder) / "served"
        command = [sys.executable, "-m", "tests.bench.slots", "--count", str(options.slots)]
        replicas = subprocess.Popen(
            [*command, "--log", str(log)], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        try:
            assert replicas.stdout is not None
            addresses = [int(word) for word in replicas.stdout.readline().split()]
            with side.start(Path(folder), addresses, options.front_ends) as ports:
                yield Stage(name, ports, log)
        finally:
            replicas.kill()
            replicas.wait()


def _run_case(case: Case, stage: Stage, options: argparse.Namespace) -> int:
    by_service = min(_SECONDS_MAX, max(_SECONDS_MIN, _SERVICES * case.service_s))
    offered = offer(
        stage.ports,
        case,
        slots=options.slots,
        warm_up_s=_WARM_UP_S,
        seconds=options.seconds or by_service,
        seed=options.seed,
        first_number=stage.next_number,
    )
    stage.next_number = max(offered.sent_at) + 1
    time.sleep(0.5)  # until the replicas' log is written
    served = _served(stage.log, offered.sent_at)
    _print_row(case, stage.side, served, offered, options.slots)
    return most_at_once(served)


def _served(log: Path, sent_at: dict[int, float]) -> list[Served]:
    records = RECORD.iter_unpack(log.read_bytes())
    return [
        Served(sent_at[number], replica, came_at, began_at, ended_at)
        for number, replica, came_at, began_at, ended_at in records
        if number in sent_at
    ]


def _print_row(
    case: Case, side: str, served: Sequence[Served], offered: Offered, slots: int
) -> None:
    waits, ideal = [request.wait_s for request in served], ideal_waits(served, slots)
    p99, best_p99 = (statistics.quantiles(each, n=100)[98] * 1000 for each in (waits, ideal))
    gaps = next(name for name, shape in _SHAPES.items() if shape == case.shape)
    late_ms = offered.late_s / len(offered.sent_at) * 1000
    passing = passing_s(served, slots)
    queued = _beside([wait_s - passing for wait_s in waits], ideal).split()
    print(
        f"{case.service_s * 1000:7.0f} {case.load:4.1f} {gaps:7} {side:9} "
        f"{len(offered.sent_at):6} {offered.failed:6} {late_ms:4.2f} | {_beside(waits, ideal)} "
        f"{p99:6.1f} {best_p99:6.1f} {wasted_share(served, slots):6.2%} | "
        f"{passing * 1000:4.2f} {queued[0]:>6} {queued[2]:>5} | "
        f"{_line(offered, slots)} | {most_at_once(served):7}",
        flush=True,
    )


def _line(offered: Offered, slots: int) -> str:
    """The router's own words, where it says them."""
    if not offered.answered:
        return _beside([], [])
    held = [
        Served(offered.sent_at[number], 0, at, at, at + answered.held_s)
        for number, answered in offered.answered.items()
        if (at := offered.sent_at[number])
    ]
    queued = [answered.queued_s for answered in offered.answered.values()]
    return _beside(queued, ideal_waits(held, slots))


def _beside(waits: Sequence[float], ideal: Sequence[float]) -> str:
    """Mean wait, mean ideal wait, and their ratio where there is anything to wait for."""
    if not waits:
        return f"{'–':>6} {'–':>6} {'–':>5}"
    mean, best = statistics.fmean(waits) * 1000, statistics.fmean(ideal) * 1000
    ratio = f"{mean / best:5.2f}" if best > 0.01 else f"{'–':>5}"
    return f"{mean:6.2f} {best:6.2f} {ratio}"


if __name__ == "__main__":
    sys.exit(main())
