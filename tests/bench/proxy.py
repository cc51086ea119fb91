"""CPU time per request of one trioroute front-end beside Envoy, nginx and HAProxy as plain proxies.

All stand in front of the same upstream, on the same core, under the same load, in alternating
rounds of one run; the load generator and the upstream have the other cores. What is counted is
user and system time of the proxy's whole process tree (for trioroute: `up`, its runner, the
supervisor and the worker), divided by the requests answered. Ratios are taken per round; medians
are printed.

Run: make bench BENCH=proxy ARGS="--rounds 5 --seconds 4"
"""

import argparse
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from tests.bench.load import LOADS, Load, generator_name, run_load
from tests.bench.processes import CpuTime
from tests.bench.sides import SIDES, Started
from tests.bench.stage import Stage, names_among, open_stage

#: The side that the others are divided by.
YARDSTICK: Final = "envoy"

#: Connections opened, caches filled and pools grown before anything is counted.
WARM_UP_S: Final = 1.0


@attrs.frozen
class Round:
    """One side under one load for a few seconds."""

    side: str
    load: str
    cpu_us: float
    kernel_us: float
    by_process: Mapping[str, float]
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    error_count: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when a request failed or the yardstick is missing."""
    options = _parser().parse_args(arguments)
    loads = [LOADS[name] for name in options.loads]
    rounds: list[Round] = []
    with open_stage(options.sides) as stage:
        sides = stage.sides
        _print_setting(stage, options)
        for number in range(options.rounds):
            shift = number % max(1, len(sides))
            for load in loads:
                rounds += [
                    _measure(side, load, options.seconds, stage)
                    for side in sides[shift:] + sides[:shift]
                ]
    _print_table(rounds, loads)
    failed = sum(one.error_count for one in rounds)
    if failed:
        print(f"\n{failed} requests failed: the figures above are not to be used")
    return 1 if failed or YARDSTICK not in {one.side for one in rounds} else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.proxy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one side under one load")
    parser.add_argument("--sides", type=names_among(SIDES), default=list(SIDES))
    parser.add_argument("--loads", type=names_among(LOADS), default=list(LOADS))
    return parser


def _measure(side: Started, load: Load, duration_s: float, stage: Stage) -> Round:
    cores, folder = stage.cores.others, stage.folder
    run_load(load, side.port, duration_s=WARM_UP_S, cores=cores, folder=folder)
    before, began = side.running.cpu(), time.perf_counter()
    seen = run_load(load, side.port, duration_s=duration_s, cores=cores, folder=folder)
    took_s = time.perf_counter() - began
    spent = {name: now - before.get(name, CpuTime()) for name, now in side.running.cpu().items()}
    if seen.error_count:
        print(f"{side.name} under {load.name}: {seen.error_count} failed. It said last:")
        print(side.running.last_lines())
    count = max(1, seen.request_count)
    return Round(
        side=side.name,
        load=load.name,
        cpu_us=sum(one.total_s for one in spent.values()) / count * 1e6,
        kernel_us=sum(one.kernel_s for one in spent.values()) / count * 1e6,
        by_process={name: one.total_s / count * 1e6 for name, one in spent.items()},
        requests_per_s=seen.request_count / took_s,
        p50_ms=seen.p50_s * 1e3,
        p99_ms=seen.p99_s * 1e3,
        error_count=seen.error_count,
    )


def _print_setting(stage: Stage, options: argparse.Namespace) -> None:
    cores = stage.cores
    shared = " (shared: only one core here, so all compete)" if cores.are_shared else ""
    print(f"measured on core {cores.measured}, load and upstream on {sorted(cores.others)}{shared}")
    print(f"load by {generator_name()}; {options.rounds} rounds of {options.seconds:g} s each")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.release()}")
    for side in stage.sides:
        print(f"  {side.name}: {side.version}")


def _print_table(rounds: Sequence[Round], loads: Sequence[Load]) -> None:
    by_load: dict[str, dict[str, list[Round]]] = defaultdict(lambda: defaultdict(list))
    for one in rounds:
        by_load[one.load][one.side].append(one)
    for load in loads:
        print(f"\n{load.name}: {load.connection_count} connections, {len(load.body)} byte bodies")
        print(
            f"  {'':14}{'CPU us/request':>16}{'vs envoy':>10}{'spread':>14}{'kernel':>8}"
            f"{'requests/s':>12}{'p50 ms':>8}{'p99 ms':>8}"
        )
        sides = by_load[load.name]
        for name, taken in sides.items():
            print(f"  {name:14}{_row(taken, sides.get(YARDSTICK, []))}")
            _print_processes(taken)


def _print_processes(taken: Sequence[Round]) -> None:
    """Where the time of a side of several processes goes, in its middle round."""
    middle = sorted(taken, key=lambda one: one.cpu_us)[len(taken) // 2]
    shares = sorted(middle.by_process.items(), key=lambda item: -item[1])
    for name, cpu_us in shares if len(shares) > 1 else ():
        if cpu_us >= 0.5:  # less is not worth a line
            print(f"    {cpu_us:>10.1f} of it in {name[:76]}")


def _row(taken: Sequence[Round], yardstick: Sequence[Round]) -> str:
    def median(values: Sequence[float]) -> float:
        return statistics.median(values)

    ratios = [one.cpu_us / base.cpu_us for one, base in zip(taken, yardstick, strict=False)]
    spent = [one.cpu_us for one in taken]
    ratio = f"{median(ratios):.2f}" if ratios else "-"
    return (
        f"{median(spent):>16.1f}{ratio:>10}{f'{min(spent):.1f}-{max(spent):.1f}':>14}"
        f"{median([one.kernel_us for one in taken]):>8.1f}"
        f"{median([one.requests_per_s for one in taken]):>12.0f}"
        f"{median([one.p50_ms for one in taken]):>8.2f}"
        f"{median([one.p99_ms for one in taken]):>8.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
