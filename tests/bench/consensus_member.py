"""One consensus member as a process of its own, for the failover and consensus benches.

Prints one JSON object a line; times are CLOCK_MONOTONIC, which all processes of a machine share.
Reads commands from standard input: `load CLIENTS SECONDS` proposes in closed loops and reports.
SIGTERM hands leadership over and exits, as a rolling restart does.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

import trio

from consensus import (
    ConsensusError,
    Member,
    MemberConfig,
    PeerAddress,
    open_journal,
    run_with_authority,
)
from consensus.certificates import PeerTls, load_tls
from consensus.tcp import TcpTransport

__all__ = ["main"]

_COMMAND = bytes(64)


class Counter:
    """The smallest state machine: how many commands were applied."""

    def __init__(self) -> None:
        self._count = 0

    def apply(self, command: bytes, index: int) -> bytes:
        """Count."""
        self._count += 1
        return b""

    def snapshot(self) -> bytes:
        """The count."""
        return self._count.to_bytes(8)

    def restore(self, data: bytes) -> None:
        """The reverse."""
        self._count = int.from_bytes(data)


def report(**fields: object) -> None:
    """One line for the parent."""
    sys.stdout.write(json.dumps({"at": time.monotonic(), **fields}) + "\n")
    sys.stdout.flush()


async def run_load(member: Member, clients: int, seconds: float) -> None:
    """Closed loops: each client proposes again as soon as it was answered."""
    times: list[float] = []
    failures = 0
    ends_at = time.monotonic() + seconds

    async def be_client() -> None:
        nonlocal failures
        while (began_at := time.monotonic()) < ends_at:
            try:
                await member.propose(_COMMAND, timeout_s=5)
            except ConsensusError:
                failures += 1
            else:
                times.append(time.monotonic() - began_at)

    async with trio.open_nursery() as nursery:
        for _ in range(clients):
            nursery.start_soon(be_client)
    report(kind="load", seconds=seconds, times=times, failures=failures)


async def run(options: argparse.Namespace) -> None:
    """Live until the signal or the end of standard input."""
    names = [f"fe-{number}" for number in range(len(options.ports))]
    config = MemberConfig(
        name=options.name,
        peers=tuple(
            PeerAddress(name=name, host=host, port=port)
            for name, host, port in zip(names, options.hosts, options.ports, strict=True)
        ),
        voters=tuple(names),
    )
    tls: PeerTls | None = None
    if options.certificates:
        folder = options.certificates
        tls = load_tls(
            certificate=folder / f"{options.name}.pem",
            key=folder / f"{options.name}.key",
            authority=folder / "authority.pem",
        )
    member = Member(
        config,
        Counter(),
        transport=TcpTransport(config, tls=tls),
        journal=await open_journal(options.folder / options.name),
        incarnation=options.incarnation,
    )

    async def hold_office(epoch: int) -> None:
        report(kind="office", name=options.name, epoch=epoch)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_on_signal, member, nursery.cancel_scope)
        await nursery.start(member.run)
        nursery.start_soon(run_with_authority, member, hold_office)
        report(kind="started", name=options.name)
        await obey(member)
        nursery.cancel_scope.cancel()


async def end_on_signal(member: Member, scope: trio.CancelScope) -> None:
    """Leave as a rolling restart wants it."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            await member.transfer_leadership(timeout_s=1)
            scope.cancel()


async def obey(member: Member) -> None:
    """Do what standard input says, until it ends."""
    stdin = trio.wrap_file(sys.stdin)
    while line := await trio.to_thread.run_sync(stdin.wrapped.readline, abandon_on_cancel=True):
        match line.split():
            case ["load", clients, seconds]:
                await run_load(member, int(clients), float(seconds))
            case ["status"]:
                statistics = member.statistics()
                report(
                    kind="status",
                    role=statistics.role.value,
                    term=statistics.term,
                    peers=len(statistics.peers_connected),
                    cpu_s=time.process_time(),
                )


def main() -> None:
    """Run from a command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--ports", type=map_ints, required=True)
    parser.add_argument("--hosts", type=lambda text: text.split(","), default=["127.0.0.1"] * 3)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--incarnation", type=int, required=True)
    parser.add_argument("--certificates", type=Path)
    trio.run(run, parser.parse_args())


def map_ints(text: str) -> list[int]:
    """1,2,3"""
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
