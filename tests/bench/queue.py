"""`make bench BENCH=queue`: how far the real queue is from one perfect queue.

Three front-ends with one worker each, real processes and sockets, replicas of one slot. Requests
come open-loop; each carries its service time, exponentially distributed. The same arrivals and the
service times that were measured are replayed through an ideal first-come-first-served line, and
what is left is the router's: mean wait over ideal mean wait, and slot time idle while a request
waited. `queue` is what the router itself says that requests waited in its line: without the way to
it and through it, which any proxy costs. The same load then goes through three HAProxies and three
Envoys that know nothing of each other. Over-commit is counted at the replicas and must be 0 for
ours.
"""

import argparse
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.bench.ideal import Served, ideal_waits, most_at_once, wasted_share
from tests.bench.queue_sides import QUEUE_SIDES, QueueSide
from tests.bench.sides import NotInstalledError
from tests.bench.slots import RECORD

__all__ = ["main"]

#: Burstiness of the Azure LLM conversation trace: gaps are Gamma-distributed with this shape.
_TRACE_SHAPE: Final = 0.835
#: What is sent before measuring: connections open, homes settle.
_WARM_UP_S: Final = 2.0
_QUEUED: Final = re.compile(rb"queue;dur=([0-9.]+)")


@attrs.frozen
class Case:
    """One row: mean service time, offered load as a share of capacity, how the gaps vary."""

    service_s: float
    load: float
    shape: float


@attrs.define
class Offered:
    """What the client saw of one run.

    Attributes:
        due: when each counted request was due.
        failed: how many were not answered with 200.
        queued_s: what the router says that each waited in its line, where it says so.
    """

    due: dict[int, float] = attrs.field(factory=dict)
    failed: int = 0
    queued_s: list[float] = attrs.field(factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and print a table. Returns 1 when a replica ever ran two at once."""
    options = _parser().parse_args(arguments)
    cases = [
        Case(service_ms / 1000, load, shape)
        for service_ms in options.service_ms
        for load in options.loads
        for shape in ([1.0, _TRACE_SHAPE] if options.bursty else [1.0])
    ]
    print(f"{options.slots} replicas × 1 slot, {options.front_ends} front-ends × 1 worker,")
    print(f"{options.seconds:g} s each; times in ms; ratio = mean wait / ideal mean wait")
    heads = ["mean", "queue", "ideal", "excess", "ratio", "p99", "ideal", "waste", "at once"]
    print("service load gaps    side        sent failed", *(f"{head:>7}" for head in heads))
    at_once = 0
    for case in cases:
        for name in options.sides:
            with tempfile.TemporaryDirectory(prefix="bench-queue-") as folder:
                try:
                    most = _run_case(case, QUEUE_SIDES[name], options, Path(folder))
                except NotInstalledError as error:
                    print(error)
                    continue
            at_once = max(at_once, most if name == "trioroute" else 0)
    return int(at_once > 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench BENCH=queue")
    parser.add_argument("--service-ms", type=float, nargs="+", default=[100.0, 20.0, 5.0])
    parser.add_argument("--loads", type=float, nargs="+", default=[0.5, 0.7, 0.9])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--front-ends", type=int, default=3)
    parser.add_argument("--bursty", action="store_true", help="also with the trace's burstiness")
    parser.add_argument("--sides", nargs="+", default=list(QUEUE_SIDES), choices=QUEUE_SIDES)
    parser.add_argument("--seed", type=int, default=1)
    return parser


def _run_case(case: Case, side: QueueSide, options: argparse.Namespace, folder: Path) -> int:
    log = folder / "served"
    command = [sys.executable, "-m", "tests.bench.slots", "--count", str(options.slots)]
    replicas = subprocess.Popen(
        [*command, "--log", str(log)], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert replicas.stdout is not None
        addresses = [int(word) for word in replicas.stdout.readline().split()]
        with side.start(folder, addresses, options.front_ends) as ports:
            offered = trio.run(_offer, ports, case, options)
            time.sleep(0.5)
    finally:
        replicas.kill()
        replicas.wait()
    served = _served(log, offered.due)
    _print_row(case, side.name, served, offered, options.slots)
    return most_at_once(served)


async def _offer(ports: Sequence[int], case: Case, options: argparse.Namespace) -> Offered:
    """Open loop: each request when it is due, on a connection that is idle or new."""
    rng = random.Random(options.seed)
    gap_s = case.service_s / (case.load * options.slots)
    idle: dict[int, list[trio.SocketStream]] = {port: [] for port in ports}
    offered = Offered()
    starts_at = trio.current_time() + _WARM_UP_S

    async def ask(number: int, port: int, work_s: float) -> None:
        free = idle[port]
        stream = free.pop() if free else await trio.open_tcp_stream("127.0.0.1", port)
        request = (
            f"POST /score HTTP/1.1\r\nhost: bench\r\nx-work: {number} {int(work_s * 1e6)}\r\n"
            "content-length: 2\r\n\r\n{}"
        )
        await stream.send_all(request.encode())
        answer = b""
        while not answer.endswith(b"{}"):
            data = await stream.receive_some(4096)
            answer += data
            if not data or (answer.startswith(b"HTTP/1.1") and b" 200 " not in answer[:16]):
                break
        if b" 200 " not in answer[:16]:
            offered.failed += number in offered.due
            await stream.aclose()
            return
        free.append(stream)
        if number in offered.due and (queued := _QUEUED.search(answer)):
            offered.queued_s.append(float(queued[1]) / 1e3)

    async with trio.open_nursery() as nursery:
        at, number = trio.current_time(), 0
        while at < starts_at + options.seconds:
            at += rng.gammavariate(case.shape, gap_s / case.shape)
            number += 1
            await trio.sleep_until(at)
            if at >= starts_at:
                offered.due[number] = time.monotonic()
            work_s, port = rng.expovariate(1 / case.service_s), ports[number % len(ports)]
            nursery.start_soon(ask, number, port, work_s)
    for stream in [stream for free in idle.values() for stream in free]:
        await stream.aclose()
    return offered


def _served(log: Path, sent: dict[int, float]) -> list[Served]:
    records = RECORD.iter_unpack(log.read_bytes())
    return [
        Served(sent[number], replica, came_at, began_at, ended_at)
        for number, replica, came_at, began_at, ended_at in records
        if number in sent
    ]


def _print_row(
    case: Case, side: str, served: Sequence[Served], offered: Offered, slots: int
) -> None:
    waits, ideal = [request.wait_s for request in served], ideal_waits(served, slots)
    mean, best = statistics.fmean(waits) * 1000, statistics.fmean(ideal) * 1000
    p99, best_p99 = (statistics.quantiles(each, n=100)[98] * 1000 for each in (waits, ideal))
    ratio = f"{mean / best:7.2f}" if best > 0.01 else "      –"
    queued = f"{statistics.fmean(offered.queued_s) * 1000:7.2f}" if offered.queued_s else "      –"
    gaps = "Poisson" if case.shape == 1.0 else "trace"
    print(
        f"{case.service_s * 1000:7.0f} {case.load:4.1f} {gaps:7} {side:9} {len(offered.due):6} "
        f"{offered.failed:6} {mean:7.2f} {queued} {best:7.2f} {mean - best:7.2f} {ratio} "
        f"{p99:7.1f} {best_p99:7.1f} {wasted_share(served, slots):7.2%} {most_at_once(served):7}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
