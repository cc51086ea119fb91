"""Runs one fuzz target for a while: coverage-guided with atheris, by plain mutation without it.

A finding is written to `--corpus` (when given) and printed as a command that repeats it.
"""

import argparse
import base64
import contextlib
import importlib
import importlib.util
import pathlib
import random
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final

__all__ = ["main"]

_NASTY: Final = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"\xff",
    b"\r\n\r\n",
)
_LENGTH_MAX: Final = 4096


def main(name: str, argv: list[str] | None = None) -> int:
    """Fuzz the target `name`. Returns the exit status: 1 when something was found."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.fuzz.{name}")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="for repeatable runs")
    parser.add_argument("--corpus", type=pathlib.Path, help="folder of inputs to keep and extend")
    parser.add_argument("--plain", action="store_true", help="without atheris")
    parser.add_argument("--input", help="run this one input (base64) and nothing else")
    options = parser.parse_args(argv)
    if options.input is not None:
        importlib.import_module("tests.fuzz.targets").TARGETS[name].run(
            base64.b64decode(options.input)
        )
        return 0
    if not options.plain and importlib.util.find_spec("atheris") is not None:
        return _run_guided(name, options)
    if not options.plain:
        print("atheris is not installed: mutating without guidance", file=sys.stderr)
    return _run_plain(name, options)


def _run_guided(name: str, options: argparse.Namespace) -> int:
    # No types are published for atheris, and it is not a dependency.
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["trioroute", "h11", "tests.conformance"]):
        target = importlib.import_module("tests.fuzz.targets").TARGETS[name]
    with contextlib.ExitStack() as stack:
        folder = options.corpus
        if folder is None:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target.seeds()):
            (folder / f"seed-{number:04}").write_bytes(seed)
        arguments = [
            name,
            f"-max_total_time={int(options.seconds)}",
            f"-seed={options.seed}",
            f"-max_len={_LENGTH_MAX}",
            "-print_final_stats=1",
            f"-artifact_prefix={folder}/",
            str(folder),
        ]
        atheris.Setup(arguments, _reporting(name, target.run))
        atheris.Fuzz()  # ends the process itself, with status 77 after a finding
    return 0


def _run_plain(name: str, options: argparse.Namespace) -> int:
    target = importlib.import_module("tests.fuzz.targets").TARGETS[name]
    run = _reporting(name, target.run)
    rng = random.Random(options.seed)
    seeds = target.seeds()
    deadline = time.monotonic() + options.seconds
    count = 0
    for seed in seeds:
        run(seed)
    while time.monotonic() < deadline:
        run(mutated(rng, rng.choice(seeds), rng.choice(seeds)))
        count += 1
    print(f"{name}: {count} inputs, nothing found (seed {options.seed})")
    return 0


def mutated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """`data` with one to four changes; `other` gives material to splice in."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data = data[:at] + rng.choice(_NASTY) + data[at:]
        elif kind == 1:
            data = data[:at] + data[at + rng.randint(1, 4) :]
        elif kind == 2:
            data = data[:at] + bytes((rng.randrange(256),)) + data[at + 1 :]
        elif kind == 3:
            start = rng.randrange(len(other) + 1)
            data = data[:at] + other[start : start + rng.randint(1, 40)] + data[at:]
        else:
            data = data[:at] + data[at : at + rng.randint(1, 20)] + data[at:]
    return data[:_LENGTH_MAX]


def _reporting(name: str, run: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def run_and_report(data: bytes) -> None:
        try:
            run(data)
        except BaseException:
            text = base64.b64encode(data).decode("ascii")
            print(f"found: python -m tests.fuzz.{name} --input {text}", file=sys.stderr)
            raise

    return run_and_report
