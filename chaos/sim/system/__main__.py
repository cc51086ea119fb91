"""`python -m chaos.sim.system --seeds 100-119`: run seeds, print what broke, exit 1 if any did."""

import argparse
import functools
import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from chaos.sim.system.nemesis import FAULTS
from chaos.sim.system.run import fix_hash_seed, summarize_seed

__all__ = ["main"]

#: So many complaints of one rule are printed for a seed.
_SHOWN_MAX: Final = 4


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; the exit status is 1 when a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m chaos.sim.system", description=__doc__)
    parser.add_argument("--seeds", type=_parse_seeds, default=range(20), help="one, or FIRST-LAST")
    parser.add_argument("--duration", type=float, default=30.0, help="virtual seconds of faults")
    parser.add_argument("--front-ends", type=int, default=3, choices=(1, 3, 5))
    parser.add_argument("--faults", type=_parse_faults, default=FAULTS, help=", ".join(FAULTS))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--verbose", action="store_true", help="print the faults of broken runs")
    options = parser.parse_args(argv)
    run = functools.partial(
        summarize_seed,
        duration_s=options.duration,
        front_ends=options.front_ends,
        faults=options.faults,
    )
    totals: Counter[str] = Counter()
    if options.jobs > 1:
        with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
            _print_all(pool.imap(run, options.seeds), totals, options)
    else:
        _print_all(map(run, options.seeds), totals, options)
    seconds = totals.pop("cpu_ms") / 1000 / max(totals["seeds"], 1)
    print(", ".join(f"{totals[key]} {key}" for key in totals), f"· {seconds:.1f} s of CPU a seed")
    return 1 if totals["violating seeds"] else 0


def _parse_seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _parse_faults(text: str) -> tuple[str, ...]:
    faults = tuple(text.split(","))
    if unknown := set(faults) - set(FAULTS):
        raise argparse.ArgumentTypeError(f"no faults {sorted(unknown)}; there are {FAULTS}")
    return faults


def _print_all(
    runs: Iterable[tuple[int, Counter[str], list[str], list[tuple[float, str]]]],
    totals: Counter[str],
    options: argparse.Namespace,
) -> None:
    for seed, counts, complaints, faults in runs:
        # Not `+=`: that would drop what is zero, and "0 violating seeds" is to be read.
        totals.update(counts)
        if not complaints:
            continue
        print(f"seed {seed}: {len(complaints)} complaints")
        for complaint in _first_of_each(complaints):
            print(f"  {complaint}")
        if options.verbose:
            for at, fault in faults:
                print(f"  {at:8.3f} {fault}")
        print(
            f"  replay: python -m chaos.sim.system --seeds {seed}"
            f" --duration {options.duration:g} --front-ends {options.front_ends}"
            f" --faults {','.join(options.faults)} --verbose",
            flush=True,
        )


def _first_of_each(complaints: Iterable[str]) -> Iterator[str]:
    """A few of each rule, so that none hides behind another's hundreds."""
    shown: Counter[str] = Counter()
    for complaint in complaints:
        rule = complaint.partition(":")[0]
        shown[rule] += 1
        if shown[rule] <= _SHOWN_MAX:
            yield complaint


if __name__ == "__main__":
    fix_hash_seed("chaos.sim.system")
    sys.exit(main())
