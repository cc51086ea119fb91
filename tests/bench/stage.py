"""What every bench of a proxy stands on: cores, a folder, the upstream, the sides that start."""

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import attrs

from tests.bench.processes import Cores, choose_cores, free_port, running, wait_until_answering
from tests.bench.sides import SIDES, NotInstalledError, Started

__all__ = ["Stage", "names_among", "open_stage"]


@attrs.frozen(kw_only=True)
class Stage:
    """Where a bench takes place.

    Attributes:
        folder: for files of the bench; gone when the block is left.
        upstream_port: where the upstream answers.
        sides: what could be started, in the order asked for; what could not was named aloud.
    """

    cores: Cores
    folder: Path
    upstream_port: int
    sides: tuple[Started, ...]


def names_among(known: Collection[str]) -> Callable[[str], list[str]]:
    """An argparse type: names from this list, with commas between them."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return parse


@contextlib.contextmanager
def open_stage(side_names: Sequence[str]) -> Iterator[Stage]:
    """Start the upstream and these sides, until the block is left, by SIGTERM too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cores = choose_cores()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        port = free_port()
        command = [sys.executable, "-m", "tests.bench.upstream", str(port)]
        log = folder / "upstream.log"
        upstream = stack.enter_context(running(command, cores=cores.others, log=log))
        wait_until_answering(port, upstream)
        sides = []
        for name in side_names:
            try:
                side = SIDES[name].start(folder, port, cores=frozenset({cores.measured}))
                sides.append(stack.enter_context(side))
            except NotInstalledError as missing:
                print(f"LEFT OUT: {missing}")
            except RuntimeError as broken:
                print(f"LEFT OUT: {name} did not start: {broken}")
        yield Stage(cores=cores, folder=folder, upstream_port=port, sides=tuple(sides))
