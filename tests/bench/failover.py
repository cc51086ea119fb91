"""`make bench BENCH=failover`: how long nobody can be coordinator when the leader is lost.

Three real processes on loopback with mutual TLS and real journals. The gap is counted from the
signal to the moment a successor runs its office under a new epoch. Goals: decisions.md, last table.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from consensus.certificates import write_throwaway_certificates
from tests.bench.member_group import MemberGroup, percentile

__all__ = ["main"]

#: Signal, (p50, p99) that must hold in milliseconds; None = not limited.
_MUST = {
    "SIGKILL": (100, 500),
    "SIGTERM": (None, 200),
    "SIGSTOP": (1000, 2000),
}
#: The lost member is back, connected and caught up well within this.
_SETTLE_S = 0.8


def lose_leader(group: MemberGroup, leader: str, name: str) -> tuple[str, float]:
    """Lose the leader once; who succeeded, and the gap in seconds."""
    for line in drained(group):
        if line["kind"] == "office":  # it moved while the group settled
            leader = line["name"]
    lost_at = group.signal(leader, signal.Signals[name])
    office = group.wait_for("office")
    if name == "SIGSTOP":
        time.sleep(0.5)
        group.signal(leader, signal.SIGCONT)
    else:
        group.reap(leader)
        group.start(leader)
        group.wait_for("started", name=leader)
        wait_connected(group, leader)
    time.sleep(_SETTLE_S)
    return office["name"], office["at"] - lost_at


def wait_connected(group: MemberGroup, name: str) -> None:
    """Until a member that came back has a session with both others: one fault at a time."""
    peers = 0
    while peers < len(group.names) - 1:
        time.sleep(0.05)
        group.tell(name, "status")
        peers = group.wait_for("status", name=name)["peers"]


def stay_quiet(group: MemberGroup, seconds: float, busy: int) -> bool:
    """Hurt nobody for so long; whether the office and every term stayed what they were."""
    before = terms(group)
    with ExitStack() as stack:
        for _ in range(busy):
            burner = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", "while True: pass"])
            )
            stack.callback(burner.kill)
        time.sleep(seconds)
        load = os.getloadavg()[1]
    changes = sum(line["kind"] == "office" for line in drained(group))
    after = terms(group)
    print(
        f"quiet for {seconds:g} s beside {busy} busy processes (load {load:.1f}):"
        f" {changes} changes of the office, terms {before} before and {after} after",
        flush=True,
    )
    return changes == 0 and after == before


def drained(group: MemberGroup) -> Iterator[dict[str, Any]]:
    """Every line that waits."""
    while not group.lines.empty():
        yield group.lines.get()


def terms(group: MemberGroup) -> list[int]:
    """Each member's term."""
    found = []
    for name in group.names:
        group.tell(name, "status")
        found.append(group.wait_for("status", name=name)["term"])
    return found


def measure(group: MemberGroup, leader: str, name: str, count: int) -> tuple[str, list[float]]:
    """Lose the leader so many times."""
    gaps = []
    for _ in range(count):
        leader, gap = lose_leader(group, leader, name)
        gaps.append(gap * 1000)
    return leader, gaps


def main() -> int:
    """Print the table; 1 when a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--others", type=int, default=30)
    parser.add_argument("--quiet", type=float, default=0, help="first, so many quiet seconds")
    parser.add_argument("--busy", type=int, default=0, help="processes that burn CPU meanwhile")
    options = parser.parse_args()
    counts = {"SIGKILL": options.kills, "SIGTERM": options.others, "SIGSTOP": options.others}
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        certificates = Path(folder) / "certificates"
        write_throwaway_certificates(certificates, ["fe-0", "fe-1", "fe-2"])
        group = MemberGroup(
            Path(folder), "tests.bench.consensus_member", "--certificates", str(certificates)
        )
        try:
            for name in group.names:
                group.start(name)
            leader = group.wait_for("office")["name"]
            time.sleep(_SETTLE_S)
            print(f"{'leader lost by':<16}{'n':>5}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}   ms")
            if options.quiet:
                is_good &= stay_quiet(group, options.quiet, options.busy)
            for name, count in counts.items():
                if count:
                    leader, gaps = measure(group, leader, name, count)
                    is_good &= show(name, gaps)
        finally:
            group.stop()
    return 0 if is_good else 1


def show(name: str, gaps: list[float]) -> bool:
    """One row, and whether it keeps its limits."""
    p50, p90, p99 = (percentile(gaps, share) for share in (0.5, 0.9, 0.99))
    must50, must99 = _MUST[name]
    is_good = p99 <= must99 and (must50 is None or p50 <= must50)
    limit = f"p99 ≤ {must99}" + (f", p50 ≤ {must50}" if must50 else "")
    verdict = "holds" if is_good else "BROKEN"
    print(f"{name:<16}{len(gaps):>5}{p50:>9.1f}{p90:>9.1f}{p99:>9.1f}{max(gaps):>9.1f}", end="   ")
    print(f"must {limit}: {verdict}")
    slowest = ", ".join(f"{gap:.0f}" for gap in sorted(gaps)[-5:])
    print(f"{'':<16}slowest five: {slowest}", flush=True)
    return is_good


if __name__ == "__main__":
    sys.exit(main())
