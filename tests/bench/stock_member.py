"""One member of stock pysyncobj as a process, to stand beside ours in the consensus bench.

It must not import `consensus`, which replaces parts of that library for the whole process.
"""

import argparse
import json
import sys
import threading
import time
from typing import Any

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

__all__ = ["main"]


class Counter(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """The smallest replicated object."""

    def __init__(self, address: str, others: list[str], conf: SyncObjConf) -> None:
        super().__init__(address, others, conf)
        self._count = 0

    @replicated  # type: ignore[untyped-decorator]  # pysyncobj has no types
    def count(self, command: bytes) -> None:
        """Count."""
        self._count += 1


def report(**fields: object) -> None:
    """One line for the parent."""
    sys.stdout.write(json.dumps({"at": time.monotonic(), **fields}) + "\n")
    sys.stdout.flush()


def run_load(member: Counter, clients: int, seconds: float) -> None:
    """Closed loops on callbacks: each client proposes again as soon as it was answered."""
    times: list[float] = []
    failures = 0
    ends_at = time.monotonic() + seconds
    done = threading.Semaphore(0)

    def propose() -> None:
        began_at = time.monotonic()

        def answered(_result: Any, error: int) -> None:
            nonlocal failures
            if error == FAIL_REASON.SUCCESS:
                times.append(time.monotonic() - began_at)
            else:
                failures += 1
            if time.monotonic() < ends_at:
                propose()
            else:
                done.release()

        member.count(bytes(64), callback=answered)

    for _ in range(clients):
        propose()
    for _ in range(clients):
        done.acquire(timeout=10)
    report(kind="load", seconds=seconds, times=times, failures=failures)


def main() -> None:
    """Run from a command line with the arguments of consensus_member."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--ports", required=True)
    parser.add_argument("--folder")
    parser.add_argument("--incarnation")
    parser.add_argument("--batch", choices=("on", "off"), default="on")
    options = parser.parse_args()
    addresses = [f"127.0.0.1:{port}" for port in options.ports.split(",")]
    own = addresses[int(options.name.rpartition("-")[2])]
    others = [address for address in addresses if address != own]
    conf = SyncObjConf(appendEntriesUseBatch=options.batch == "on")
    member = Counter(own, others, conf)
    report(kind="started", name=options.name)
    while not member.isReady():
        time.sleep(0.05)
    if member._isLeader():
        report(kind="office", name=options.name)
    for line in sys.stdin:
        _, clients, seconds = line.split()
        run_load(member, int(clients), float(seconds))
    member.destroy()


if __name__ == "__main__":
    main()
