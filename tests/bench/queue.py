"""`make bench BENCH=queue`: how far the real queue is from one perfect queue.

Three front-ends with one worker each, real processes and sockets, replicas of one slot. Requests
come open-loop; each carries its service time, exponentially distributed. The same arrivals and the
service times that were measured are replayed through an ideal first-come-first-served line, and
what is left is the router's: mean wait over ideal mean wait, and slot time idle while a request
waited. Over-commit is counted at the replicas and must be 0.
"""

import argparse
import random
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
from tests.bench.processes import choose_cores, free_port, running, wait_until_answering
from tests.bench.slots import RECORD

__all__ = ["main"]

#: Burstiness of the Azure LLM conversation trace: gaps are Gamma-distributed with this shape.
_TRACE_SHAPE: Final = 0.835
#: What is sent before measuring: connections open, homes settle.
_WARM_UP_S: Final = 2.0


@attrs.frozen
class Case:
    """One row: mean service time, offered load as a share of capacity, how the gaps vary."""

    service_s: float
    load: float
    shape: float


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
    print("service  load  gaps     sent failed   mean   ideal excess  ratio    p99  ideal  waste")
    at_once = 0
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="bench-queue-") as folder:
            at_once = max(at_once, _run_case(case, options, Path(folder)))
    print(f"most requests at once on one replica: {at_once}")
    return int(at_once > 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench BENCH=queue")
    parser.add_argument("--service-ms", type=float, nargs="+", default=[100.0, 20.0, 5.0])
    parser.add_argument("--loads", type=float, nargs="+", default=[0.5, 0.7, 0.9])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--front-ends", type=int, default=3)
    parser.add_argument("--bursty", action="store_true", help="also with the trace's burstiness")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def _run_case(case: Case, options: argparse.Namespace, folder: Path) -> int:
    log, port = folder / "served", free_port()
    command = [sys.executable, "-m", "tests.bench.slots", "--count", str(options.slots)]
    replicas = subprocess.Popen(
        [*command, "--log", str(log)], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert replicas.stdout is not None
        ports = [int(word) for word in replicas.stdout.readline().split()]
        up = _up_command(folder, ports, port, options.front_ends)
        with running(up, cores=choose_cores().everyone, log=folder / "up.log") as system:
            wait_until_answering(port, system)
            sent, failed = trio.run(_offer, port, case, options)
            time.sleep(0.5)
    finally:
        replicas.kill()
        replicas.wait()
    served = _served(log, sent)
    _print_row(case, served, len(sent), failed, options.slots)
    return most_at_once(served)


def _up_command(folder: Path, ports: Sequence[int], port: int, front_ends: int) -> list[str]:
    (folder / "endpoint.yml").write_text(
        "name: bench\nauth_mode: key\ntraffic:\n  blue: 100\nproperties:\n"
        '  trioroute.mount: "/"\n  trioroute.anonymous: "true"\n',
        encoding="utf-8",
    )
    addresses = ",".join(f"127.0.0.1:{replica}" for replica in ports)
    (folder / "deployment.yml").write_text(
        "name: blue\nendpoint_name: bench\ntype: kubernetes\nrequest_settings:\n"
        "  max_concurrent_requests_per_instance: 1\n  max_queue_wait_ms: 60000\n"
        f'  request_timeout_ms: 60000\nproperties:\n  trioroute.addresses: "{addresses}"\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-c", "from trioroute.cli.main import main; main()", "up"]
    command += [str(folder / "endpoint.yml"), str(folder / "deployment.yml"), "--dev"]
    command += ["--front-ends", str(front_ends), "--data", str(folder / "data")]
    return [*command, "--port", str(port), "--admin-port", "0"]


async def _offer(
    port: int, case: Case, options: argparse.Namespace
) -> tuple[dict[int, float], int]:
    """Open loop: when each counted request was due, and how many were not answered with 200."""
    rng = random.Random(options.seed)
    gap_s = case.service_s / (case.load * options.slots)
    idle: list[trio.SocketStream] = []
    due: dict[int, float] = {}
    failures: list[int] = []
    starts_at = trio.current_time() + _WARM_UP_S

    async def ask(number: int, work_s: float) -> None:
        stream = idle.pop() if idle else await trio.open_tcp_stream("127.0.0.1", port)
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
        if b" 200 " in answer[:16]:
            idle.append(stream)
        else:
            failures.append(number)
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        at, number = trio.current_time(), 0
        while at < starts_at + options.seconds:
            at += rng.gammavariate(case.shape, gap_s / case.shape)
            number += 1
            await trio.sleep_until(at)
            if at >= starts_at:
                due[number] = time.monotonic()
            nursery.start_soon(ask, number, rng.expovariate(1 / case.service_s))
    for stream in idle:
        await stream.aclose()
    return due, sum(number in due for number in failures)


def _served(log: Path, sent: dict[int, float]) -> list[Served]:
    records = RECORD.iter_unpack(log.read_bytes())
    return [
        Served(sent[number], replica, began_at, ended_at)
        for number, replica, began_at, ended_at in records
        if number in sent
    ]


def _print_row(case: Case, served: Sequence[Served], sent: int, failed: int, slots: int) -> None:
    waits, ideal = [request.wait_s for request in served], ideal_waits(served, slots)
    mean, best = statistics.fmean(waits) * 1000, statistics.fmean(ideal) * 1000
    p99, best_p99 = (statistics.quantiles(each, n=100)[98] * 1000 for each in (waits, ideal))
    ratio = f"{mean / best:6.2f}" if best > 0.01 else "     –"
    gaps = "Poisson" if case.shape == 1.0 else "trace"
    print(
        f"{case.service_s * 1000:7.0f} {case.load:5.1f}  {gaps:7} {sent:5} {failed:6} "
        f"{mean:6.2f} {best:7.2f} {mean - best:6.2f} {ratio} {p99:6.1f} {best_p99:6.1f} "
        f"{wasted_share(served, slots):6.2%}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
