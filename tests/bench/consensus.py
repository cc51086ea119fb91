"""`make bench BENCH=consensus`: commits per second and their latency, beside stock pysyncobj.

Three processes on loopback, closed loops, 64-byte commands, one run after the other on the same
machine. Ours syncs a real journal before it answers and speaks mutual TLS; stock keeps its log in
memory and speaks plain pickles, so the comparison favours stock.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from consensus.certificates import write_throwaway_certificates
from tests.bench.member_group import MemberGroup, percentile

__all__ = ["main"]

_CLIENTS = (1, 16, 128)
_OURS = "tests.bench.consensus_member"
_STOCK = "tests.bench.stock_member"
#: A round figure to scale from: an idle leader is woken eleven times a second, a follower eight.
_WAKES = """
import sys, time, trio

async def main(seconds):
    began_at = time.process_time()
    with trio.move_on_after(seconds):
        while True:
            await trio.sleep(0.05)
    print(time.process_time() - began_at)

trio.run(main, float(sys.argv[1]))
"""


def measure(group: MemberGroup, leader: str, label: str, seconds: float) -> None:
    """One row for each number of clients, at the leader and at a follower."""
    follower = next(name for name in group.names if name != leader)
    for place, name in (("leader", leader), ("follower", follower)):
        for clients in _CLIENTS:
            group.tell(name, f"load {clients} {seconds}")
            result = group.wait_for("load", within_s=seconds + 30)
            times = [1000 * each for each in result["times"]] or [float("nan")]
            print(
                f"{label:<28}{place:<10}{clients:>5}{len(times) / seconds:>10.0f}"
                f"{percentile(times, 0.5):>9.2f}{percentile(times, 0.99):>9.2f}"
                f"{result['failures']:>8}",
                flush=True,
            )


def measure_idle(group: MemberGroup, leader: str, label: str, seconds: float) -> None:
    """CPU of a leader and its followers that have nothing to do but to be there.

    Beside them, at the same time, a Trio process that is woken as often and does nothing: on a
    virtual machine most of what an idle process costs is its waking.
    """
    reference = subprocess.Popen(
        [sys.executable, "-c", _WAKES, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    names = [leader, *(name for name in group.names if name != leader)]
    before = {name: cpu_seconds(group, name) for name in names}
    bare, _ = reference.communicate(timeout=seconds + 30)
    used = [100 * (cpu_seconds(group, name) - before[name]) / seconds for name in names]
    print(
        f"{label:<28}idle, CPU % of a core: leader {used[0]:.2f}, followers"
        f" {' and '.join(f'{share:.2f}' for share in used[1:])};"
        f" a bare Trio loop woken 20 times a second {100 * float(bare) / seconds:.2f}",
        flush=True,
    )


def cpu_seconds(group: MemberGroup, name: str) -> float:
    """What a member has used since its start."""
    group.tell(name, "status")
    return float(group.wait_for("status", name=name)["cpu_s"])


def run(label: str, seconds: float, folder: Path, module: str, *arguments: str) -> None:
    """Start a group, measure it, end it."""
    group = MemberGroup(folder, module, *arguments)
    try:
        for name in group.names:
            group.start(name)
        leader = group.wait_for("office")["name"]
        time.sleep(1)
        if module == _OURS:
            measure_idle(group, leader, label, max(10, seconds))
        measure(group, leader, label, seconds)
    finally:
        group.stop()


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    print(f"{'':<28}{'at':<10}{'n':>5}{'commits/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = folder / "certificates"
        write_throwaway_certificates(certificates, ["fe-0", "fe-1", "fe-2"])
        secured = ("--certificates", str(certificates))
        run("ours, TLS, synced", options.seconds, folder / "a", _OURS, *secured)
        run("ours, plain, synced", options.seconds, folder / "b", _OURS)
        run("stock, batch (default)", options.seconds, folder / "c", _STOCK)
        run("stock, no batch", options.seconds, folder / "d", _STOCK, "--batch", "off")
    return 0


if __name__ == "__main__":
    sys.exit(main())
