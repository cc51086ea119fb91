"""Added latency at a fixed offered rate: an open-loop generator, through trioroute and past it.

Requests are due at fixed times whether or not earlier ones were answered, and each latency counts
from when its request was *due*: a stall therefore shows in every request it held up (no coordinated
omission). The direct path to the upstream is measured in alternating rounds by the same generator;
the difference is what the router adds. Percentiles are subtracted as they are. `late p99` is how
late the generator itself sent, on a busy machine most of what there is to see.

Run: make bench BENCH=latency ARGS="--rate 5000"
"""

import argparse
import gc
import os
import socket
import statistics
import sys
from collections.abc import Sequence
from typing import Final

import attrs
import trio

from tests.bench.load import LOADS
from tests.bench.sides import SIDES
from tests.bench.stage import names_among, open_stage

#: Enough that none has to wait for its own last answer at the usual rates.
CONNECTIONS: Final = 64

#: A first second with cold pools is offered, and left out.
WARM_UP_S: Final = 1.0

DIRECT: Final = "direct"


@attrs.define
class Sample:
    """What one round saw, in seconds; latencies from when each request was due."""

    latencies: list[float] = attrs.field(factory=list)
    lateness: list[float] = attrs.field(factory=list)
    error_count: int = 0


@attrs.frozen
class Figures:
    """A round in milliseconds."""

    mean_ms: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    late_p99_ms: float
    error_count: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when a request failed."""
    options = _parser().parse_args(arguments)
    taken: dict[str, list[Figures]] = {}
    with open_stage(options.sides) as stage:
        ports = {DIRECT: stage.upstream_port} | {side.name: side.port for side in stage.sides}
        os.sched_setaffinity(0, stage.cores.others)
        gc.disable()  # a collection of ours would count as latency of theirs
        for _ in range(options.rounds):
            for name, at in ports.items():
                sample = trio.run(_offer, at, options.rate, options.seconds)
                taken.setdefault(name, []).append(_figures(sample))
    _print_table(taken, options)
    return 1 if any(one.error_count for rounds in taken.values() for one in rounds) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.latency", description=__doc__)
    parser.add_argument("--rate", type=float, default=5000.0, help="requests per second offered")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one round on one path")
    parser.add_argument("--sides", type=names_among(SIDES), default=["trioroute", "envoy"])
    return parser


async def _offer(port: int, rate: float, duration_s: float) -> Sample:
    """Offer `rate` requests a second, spread evenly over the connections, for `duration_s`."""
    sample = Sample()
    start = trio.current_time() + 0.1
    counted_from = start + WARM_UP_S
    end = counted_from + duration_s
    async with trio.open_nursery() as nursery:
        for number in range(CONNECTIONS):
            first = start + number / rate
            nursery.start_soon(_ask, port, (first, CONNECTIONS / rate, counted_from, end), sample)
    return sample


async def _ask(port: int, times: tuple[float, float, float, float], sample: Sample) -> None:
    """One connection: ask when due, or at once when the last answer came later than that."""
    due, every_s, counted_from, end = times
    request = _request()
    with trio.socket.socket() as sock:
        await sock.connect(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while due < end:
            await trio.sleep_until(due)
            sent_at = trio.current_time()
            await sock.send(request)
            answer = await sock.recv(4096)
            while answer and not answer.endswith(b"}\n"):
                more = await sock.recv(4096)
                answer = answer + more if more else b""
            if due >= counted_from:
                sample.latencies.append(trio.current_time() - due)
                sample.lateness.append(sent_at - due)
            if not answer.startswith(b"HTTP/1.1 200"):
                sample.error_count += 1
                return
            due += every_s


def _request() -> bytes:
    body = LOADS["small-c1"].body
    head = "POST /score HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _figures(sample: Sample) -> Figures:
    latencies, lateness = sorted(sample.latencies), sorted(sample.lateness)
    return Figures(
        mean_ms=statistics.fmean(latencies) * 1e3,
        p50_ms=_percentile(latencies, 0.5) * 1e3,
        p99_ms=_percentile(latencies, 0.99) * 1e3,
        worst_ms=latencies[-1] * 1e3,
        late_p99_ms=_percentile(lateness, 0.99) * 1e3,
        error_count=sample.error_count,
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _print_table(taken: dict[str, list[Figures]], options: argparse.Namespace) -> None:
    print(f"{options.rate:g} requests/s offered on {CONNECTIONS} connections")
    print(
        f"medians of {options.rounds} rounds of {options.seconds:g} s, from when a request was due"
    )
    columns = ("mean", "p50", "p99", "worst", "late p99", "errors", "added mean", "added p99")
    print(f"{'ms':12}" + "".join(f"{name:>12}" for name in columns))
    base = _middle(taken[DIRECT])
    for name, rounds in taken.items():
        row = _middle(rounds)
        cells = [row.mean_ms, row.p50_ms, row.p99_ms, row.worst_ms, row.late_p99_ms]
        added = [row.mean_ms - base.mean_ms, row.p99_ms - base.p99_ms]
        text = "".join(f"{cell:>12.2f}" for cell in cells) + f"{row.error_count:>12}"
        print(f"{name:12}{text}" + "".join(f"{cell:>12.2f}" for cell in added))


def _middle(rounds: Sequence[Figures]) -> Figures:
    return Figures(
        mean_ms=statistics.median(one.mean_ms for one in rounds),
        p50_ms=statistics.median(one.p50_ms for one in rounds),
        p99_ms=statistics.median(one.p99_ms for one in rounds),
        worst_ms=max(one.worst_ms for one in rounds),
        late_p99_ms=statistics.median(one.late_p99_ms for one in rounds),
        error_count=sum(one.error_count for one in rounds),
    )


if __name__ == "__main__":
    sys.exit(main())
