"""`python -m chaos.sim --seeds 100-119`: run seeds, print what they broke, exit 1 if any did."""

import argparse
import contextlib
import functools
import multiprocessing
import sys
from collections import Counter
from typing import TYPE_CHECKING

from chaos.sim.nemesis import FAULTS
from chaos.sim.run import Run, run_seed

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["main"]


def _parse_seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _parse_faults(text: str) -> tuple[str, ...]:
    faults = tuple(text.split(","))
    if unknown := set(faults) - set(FAULTS):
        raise argparse.ArgumentTypeError(f"no faults {sorted(unknown)}; there are {FAULTS}")
    return faults


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; the exit status is 1 when a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m chaos.sim", description=__doc__)
    parser.add_argument("--seeds", type=_parse_seeds, default=range(20), help="one, or FIRST-LAST")
    parser.add_argument("--duration", type=float, default=60.0, help="virtual seconds of faults")
    parser.add_argument("--voters", type=int, default=3, choices=(1, 3, 5))
    parser.add_argument("--faults", type=_parse_faults, default=FAULTS, help=", ".join(FAULTS))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--first", action="store_true", help="stop at the first broken run")
    parser.add_argument("--verbose", action="store_true", help="print the faults of broken runs")
    options = parser.parse_args(argv)
    run = functools.partial(
        run_seed, duration_s=options.duration, voters=options.voters, faults=options.faults
    )
    totals: Counter[str] = Counter()
    recoveries: list[float] = []
    with contextlib.ExitStack() as stack:
        runs: Iterable[Run] = map(run, options.seeds)
        if options.jobs > 1:
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(options.jobs))
            runs = pool.imap(run, options.seeds)
        for done in runs:
            _count(done, totals, recoveries)
            if done.complaints:
                _report(done, options)
                if options.first:
                    break
    _summarize(totals, recoveries, options)
    return 1 if totals["violating seeds"] else 0


def _count(run: Run, totals: Counter[str], recoveries: list[float]) -> None:
    history = run.history
    totals["seeds"] += 1
    totals["cpu_ms"] += round(run.cpu_s * 1000)
    totals["violating seeds"] += bool(run.complaints)
    totals["faults"] += len(history.faults)
    totals["calls"] += len(history.calls)
    totals["applied"] += sum(call.outcome == "applied" for call in history.calls)
    totals["unknown"] += sum(call.outcome == "unknown" for call in history.calls)
    totals["epochs"] += len({act.epoch for act in history.acts})
    totals["snapshots restored"] += sum(map(len, history.restored.values()))
    if history.recovered_at is not None:
        recoveries.append(history.recovered_at - history.healed_at)


def _report(run: Run, options: argparse.Namespace) -> None:
    print(f"seed {run.seed}: {len(run.complaints)} complaints")
    for complaint in run.complaints[:10]:
        print(f"  {complaint}")
    if options.verbose:
        for at, fault in run.history.faults:
            print(f"  {at:8.3f} {fault}")
    print(
        f"  replay: python -m chaos.sim --seeds {run.seed} --duration {options.duration:g}"
        f" --voters {options.voters} --faults {','.join(options.faults)} --verbose"
    )


def _summarize(totals: Counter[str], recoveries: list[float], options: argparse.Namespace) -> None:
    virtual_s = totals["seeds"] * (options.duration + 4)
    print(", ".join(f"{totals[key]} {key}" for key in totals if key != "cpu_ms"))
    if recoveries:
        recoveries.sort()
        print(
            f"a coordinator after healing: p50 {recoveries[len(recoveries) // 2]:.2f} s,"
            f" max {recoveries[-1]:.2f} s; {virtual_s / max(totals['cpu_ms'] / 1000, 0.001):.0f}"
            " virtual seconds per second of CPU"
        )


if __name__ == "__main__":
    sys.exit(main())
