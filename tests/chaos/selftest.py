"""The suite must be able to fail: each planted bug, applied to a copy of the tree, turns it red.

`python -m tests.chaos.selftest [NAME…]`: patches one copy after the other, runs what is meant to
catch the bug, and prints which rule did and how fast. A patch that no longer applies fails too.
`--control` runs the same commands without any bug: what turns red then has caught nothing before.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).parents[2]
PLANTED: Final = Path(__file__).with_name("planted")

#: What a copy needs; everything else of the project is not run.
_PARTS: Final = ("trioroute", "consensus", "chaos", "tests", "pyproject.toml")
_RUN_MAX_S: Final = 300
_VIOLATION: Final = re.compile(r"^VIOLATION (\w+)|^  (?!replay)(\w+): |^FAILED (\S+)", re.MULTILINE)
#: By the first word of a catcher. What follows ends with `--seeds` and the seed that caught it.
_SIMULATORS: Final = {"sim": "chaos.sim", "system": "chaos.sim.system"}
#: Any change of the code makes another history of each seed: what one seed showed, another shows.
_OTHER_SEEDS: Final = range(1, 11)


@attrs.frozen
class Bug:
    """One patch: what it breaks, the command that must fail, and the rule that must say so."""

    patch: Path
    says: str
    catcher: str
    rule: str

    @classmethod
    def read(cls, patch: Path) -> "Bug":
        """From the head of a patch file."""
        lines = patch.read_text().splitlines()
        heads = dict(line.split(": ", 1) for line in lines[1:3])
        return cls(patch, lines[0], heads["Caught by"], heads["Rule"])

    def commands(self) -> list[list[str]]:
        """The catcher's command lines, to be tried in turn, for the interpreter that runs this."""
        words = self.catcher.split()
        if words[0] == "chaos":
            return [[sys.executable, "-m", "chaos", *words[1:]]]
        if words[0] in _SIMULATORS:
            *options, known = words[1:]
            seeds = [known, *(str(seed) for seed in _OTHER_SEEDS if str(seed) != known)]
            module = _SIMULATORS[words[0]]
            return [[sys.executable, "-m", module, *options, seed] for seed in seeds]
        return [[sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *words]]


@attrs.frozen
class Verdict:
    """What became of one planted bug."""

    bug: Bug
    rules: tuple[str, ...]
    took_s: float
    output: str

    @property
    def is_caught(self) -> bool:
        """Whether the run failed for the reason it should."""
        return self.bug.rule in self.rules or (self.bug.rule == "test" and bool(self.rules))


def bugs() -> list[Bug]:
    """All that are planted."""
    return [Bug.read(patch) for patch in sorted(PLANTED.glob("*.patch"))]


def copy_tree(folder: Path) -> None:
    """Make a copy of what runs."""
    for part in _PARTS:
        source = ROOT / part
        if source.is_file():
            shutil.copy(source, folder / part)
        else:
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))


def apply(bug: Bug, folder: Path) -> None:
    """Change a copy of the tree.

    Raises:
        subprocess.CalledProcessError: the patch does not apply any more.
    """
    with bug.patch.open() as text:
        subprocess.run(["patch", "-s", "-p1"], cwd=folder, stdin=text, check=True, timeout=20)


def try_bug(bug: Bug, *, is_planted: bool = True) -> Verdict:
    """Plant one bug in a copy, or leave it as it is, and run what must catch the bug."""
    with tempfile.TemporaryDirectory(prefix="planted-") as name:
        folder = Path(name)
        copy_tree(folder)
        if is_planted:
            apply(bug, folder)
        began_at = time.monotonic()
        verdict = Verdict(bug, (), 0.0, "no command")
        for command in bug.commands():
            rules, output = _run(command, folder)
            verdict = Verdict(bug, rules, time.monotonic() - began_at, output)
            if verdict.is_caught:
                break
    return verdict


def _run(command: list[str], folder: Path) -> tuple[tuple[str, ...], str]:
    """The rules that a command found broken in a copy, and all that it said."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=_RUN_MAX_S,
            check=False,
        )
        output, status = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        output, status = str(late.stdout), 0
    found = _VIOLATION.findall(output) if status == 1 else []
    return tuple(dict.fromkeys(next(filter(None, groups)) for groups in found)), output


def main(argv: list[str] | None = None) -> int:
    """Try every bug, or those that are named; exit 1 unless all are caught (none, as a control)."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.selftest", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--control", action="store_true", help="the same without the bugs")
    options = parser.parse_args(argv)
    chosen = [bug for bug in bugs() if not options.names or bug.patch.stem in options.names]
    wrong = 0
    for bug in chosen:
        verdict = try_bug(bug, is_planted=not options.control)
        is_wrong = verdict.is_caught == options.control
        wrong += is_wrong
        word = "caught" if verdict.is_caught else "not caught" if options.control else "MISSED"
        rules = ", ".join(verdict.rules) or "nothing"
        print(f"{word} {bug.patch.stem:30} by {rules} in {verdict.took_s:.0f} s", flush=True)
        if is_wrong:
            print(verdict.output[-2000:], flush=True)
    what = "commands without a bug caught nothing" if options.control else "planted bugs caught"
    print(f"{len(chosen) - wrong} of {len(chosen)} {what}")
    return 1 if wrong or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
