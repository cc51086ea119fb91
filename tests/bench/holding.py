"""What a worker holds: memory while 1 GiB passes, memory of idle connections, patience of others.

Three figures of the contract that are no rates: the worker's peak resident memory while 1 GiB goes
up and 1 GiB comes down, what an idle keep-alive connection costs, and honest clients' p99 beside a
thousand that send a byte a second, as a ratio of alone, in alternating rounds.

Run: make bench BENCH=holding ARGS="--gib 1 --idle 5000 --slow 1000"
"""

import argparse
import itertools
import os
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped] # it ships no types
import trio

from tests.bench.processes import Running
from tests.bench.sides import Started
from tests.bench.stage import open_stage

_PIECE: Final = b"x" * 65_536
_GIB: Final = 1024**3
_HEAD: Final = b"POST /score HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\n\r\n"
_LARGE: Final = b"POST /large HTTP/1.1\r\nhost: bench\r\ncontent-length: 0\r\n\r\n"
_SMALL: Final = _HEAD % 2 + b"{}"
_PEAK: Final = re.compile(r"VmHWM:\s+(\d+) kB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    options = _parser().parse_args(arguments)
    with open_stage(["trioroute"]) as stage:
        [side] = stage.sides
        os.sched_setaffinity(0, stage.cores.others)
        worker = _worker_of(side.running)
        _print_transfers(side, worker, int(options.gib * _GIB))
        trio.run(_print_idle, side, worker, options.idle)
        trio.run(_print_slow, side, options.slow, options.rounds)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.holding")
    parser.add_argument("--gib", type=float, default=1.0, help="each way")
    parser.add_argument("--idle", type=int, default=5000, help="connections")
    parser.add_argument("--slow", type=int, default=1000, help="clients that send a byte a second")
    parser.add_argument("--rounds", type=int, default=4, help="of honest traffic alone and beside")
    return parser


def _worker_of(running: Running) -> psutil.Process:
    """The process that serves: of all below `up`, the one with a hand-down."""
    below = psutil.Process(running.process.pid).children(recursive=True)
    return next(one for one in below if "--hand-down" in one.cmdline())


def _peak_mib(process: psutil.Process) -> float:
    found = _PEAK.search(Path(f"/proc/{process.pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def _forget_peak(process: psutil.Process) -> None:
    """The kernel's mark of the highest resident size begins anew (proc(5), clear_refs)."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def _print_transfers(side: Started, worker: psutil.Process, size: int) -> None:
    for name, transfer in (("up", _upload), ("down", _download)):
        trio.run(transfer, side.port, 4 * len(_PIECE))
        before = worker.memory_info().rss / 1024**2
        _forget_peak(worker)
        taken_s = trio.run(transfer, side.port, size)
        rise = _peak_mib(worker) - before
        shown = f"{size / _GIB:.2f} GiB {name:<5}"
        print(f"{shown} at rest {before:.1f} MiB, peak +{rise:.1f} MiB, {taken_s:.1f} s")


async def _upload(port: int, size: int) -> float:
    began = trio.current_time()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(_HEAD % size)
        for _ in range(size // len(_PIECE)):
            await stream.send_all(_PIECE)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
    return trio.current_time() - began


async def _download(port: int, size: int) -> float:
    """Answers of 1 MiB one after another: the upstream has none that is longer."""
    began = trio.current_time()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for _ in range(max(1, size // 1024**2)):
            await stream.send_all(_LARGE)
            left = 1024**2
            answer = await stream.receive_some(262_144)
            assert answer.startswith(b"HTTP/1.1 200")
            left -= len(answer) - answer.index(b"\r\n\r\n") - 4
            while left:
                left -= len(await stream.receive_some(262_144))
    return trio.current_time() - began


async def _print_idle(side: Started, worker: psutil.Process, count: int) -> None:
    before = worker.memory_info().rss
    streams = []
    for _ in range(count):
        streams.append(await trio.open_tcp_stream("127.0.0.1", side.port))
        assert await _ask(streams[-1])
    rise = worker.memory_info().rss - before
    print(f"{count} idle connections: {rise / count / 1024:.1f} KiB each")
    for stream in streams:
        stream.socket.close()


async def _print_slow(side: Started, count: int, rounds: int) -> None:
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(rounds):
        alone.append(await _p99_ms(side.port))
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(_drip, side.port, number / count)
            await trio.sleep(2.0)
            beside.append(await _p99_ms(side.port))
            nursery.cancel_scope.cancel()
        await trio.sleep(0.5)
    ratios = [there / here for here, there in zip(alone, beside, strict=True)]
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"p99 alone {statistics.median(alone):.2f} ms, beside {count} slow clients", end=" ")
    print(f"{statistics.median(beside):.2f} ms; ratios {shown}; of medians", end=" ")
    print(f"{statistics.median(beside) / statistics.median(alone):.2f}")


async def _drip(port: int, delay_s: float) -> None:
    """Half a head, a byte a second; a new connection when the router has had enough."""
    await trio.sleep(delay_s)
    while True:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            try:
                for byte in itertools.chain(b"GET / HTTP/1.1\r\nx-slow: ", itertools.repeat(97)):
                    await stream.send_all(bytes((byte,)))
                    await trio.sleep(1.0)
            except trio.BrokenResourceError:
                pass


async def _p99_ms(port: int, *, connections: int = 8, seconds: float = 4.0) -> float:
    """Honest clients, each asking 50 times a second."""
    taken: list[float] = []
    end = trio.current_time() + seconds

    async def ask_on(number: int) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await trio.sleep(0.02 * number / connections)
            while trio.current_time() < end:
                began = trio.current_time()
                assert await _ask(stream)
                taken.append(trio.current_time() - began)
                await trio.sleep(max(0.0, 0.02 - (trio.current_time() - began)))

    async with trio.open_nursery() as nursery:
        for number in range(connections):
            nursery.start_soon(ask_on, number)
    return sorted(taken)[int(len(taken) * 0.99)] * 1e3


async def _ask(stream: trio.SocketStream) -> bool:
    await stream.send_all(_SMALL)
    return (await stream.receive_some()).startswith(b"HTTP/1.1 200")


if __name__ == "__main__":
    sys.exit(main())
