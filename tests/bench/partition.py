"""`make bench partition`: what partitions of real sockets cost, beside what the design wants.

Three processes in network namespaces on one bridge, mutual TLS, real journals. A cut throws packets
away, so nothing is refused or reset: only silence tells. Needs root; skipped, and said so, without.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from tests.bench.member_group import percentile
from tests.consensus.namespaces import NAMES, Cluster, missing

__all__ = ["main"]

#: How long a cut that must change nothing lasts, and how long everything calms down after one.
_CUT_S = 5.0
_CALM_S = 3.0

Cut = tuple[str, str]


@attrs.frozen
class Partition:
    """One row: what is cut off whom, and p50 and maximum of the gap that the issue allows."""

    name: str
    cuts: Callable[[str, Sequence[str]], list[Cut]]
    must_ms: tuple[float, float] | None = None


#: The rows of the design's partition matrix. Without limits: nothing may change.
_PARTITIONS = (
    Partition(
        "leader isolated",
        lambda leader, others: [pair for o in others for pair in ((leader, o), (o, leader))],
        (1000, 2000),
    ),
    Partition("leader mute", lambda leader, others: [(leader, o) for o in others], (1000, 2000)),
    Partition("leader deaf", lambda leader, others: [(o, leader) for o in others], (1000, 2000)),
    Partition("one link cut", lambda leader, others: [(leader, others[0]), (others[0], leader)]),
    Partition("one direction of it", lambda leader, others: [(leader, others[0])]),
    Partition(
        "follower isolated",
        lambda leader, others: [
            pair
            for other in (leader, others[1])
            for pair in ((others[0], other), (other, others[0]))
        ],
    ),
)


def suffer(cluster: Cluster, partition: Partition) -> tuple[float | None, int, int]:
    """Make one; the gap in ms, changes of the office after healing, growth of the term."""
    count, term = len(cluster.offices()), max(cluster.terms())
    leader = cluster.offices()[-1]["name"]
    cuts = partition.cuts(leader, [name for name in NAMES if name != leader])
    began_at = time.monotonic()
    for source, target in cuts:
        cluster.cut(source, target)
    gap = None
    if partition.must_ms is None:
        time.sleep(_CUT_S)
    else:
        gap = 1000 * (cluster.wait_office(count + 1)["at"] - began_at)
        time.sleep(1)
    changed_before = len(cluster.offices())
    for source, target in cuts:
        cluster.join(source, target)
    time.sleep(_CALM_S)
    moved = len(cluster.offices()) - (changed_before if gap is not None else count)
    return gap, moved, max(cluster.terms()) - term


def show(partition: Partition, rows: list[tuple[float | None, int, int]]) -> bool:
    """One line of the table; whether it keeps to its limits."""
    gaps = [gap for gap, _, _ in rows if gap is not None]
    moved, terms = sum(row[1] for row in rows), max(row[2] for row in rows)
    text = "no change wanted"
    is_good = moved == 0
    if partition.must_ms is not None:
        p50, worst = percentile(gaps, 0.5), max(gaps)
        text = f"p50 {p50:.0f}, max {worst:.0f} ms"
        is_good &= p50 <= partition.must_ms[0] and worst <= partition.must_ms[1]
    else:
        is_good &= terms == 0
    print(
        f"{partition.name:<22}{len(rows):>4}   {text:<28}{moved:>3} changes after, terms +{terms}"
        f"   {'holds' if is_good else 'BROKEN'}",
        flush=True,
    )
    return is_good


def main() -> int:
    """Print the table; 1 when a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    if missing():
        print(f"PARTITIONS NOT MEASURED: {missing()}")
        return 0
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder))
        try:
            if not cluster.build():
                print("PARTITIONS NOT MEASURED: network namespaces are not allowed here")
                return 0
            cluster.start()
            cluster.wait_office(1)
            time.sleep(_CALM_S)
            for partition in _PARTITIONS:
                rows = [suffer(cluster, partition) for _ in range(options.times)]
                is_good &= show(partition, rows)
        finally:
            cluster.destroy()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
