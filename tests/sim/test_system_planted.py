"""Rules of the slots broken once, by a patch to a copy, which the simulator must notice."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from chaos.sim.system.nemesis import FAULTS

ROOT = Path(__file__).parents[2]
PATCHES = sorted((Path(__file__).parent / "planted_system").glob("*.patch"))
_CAUGHT_BY = "Caught by: system seed "
_CHECKER = "Checker: "
#: Faults without which nothing notices it, and faults that are left out to notice it.
_NOT_WITHOUT = "Not without: "
_WITHOUT = "Without: "
#: Any change of the code makes another history of each seed: what one seed showed, another shows.
_OTHER_SEEDS: Final = range(1, 11)
#: So many of them are tried without the faults that notice it.
_SEEDS_WITHOUT: Final = 3


def test_there_are_as_many_as_promised() -> None:
    assert len(PATCHES) >= 13


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_fault_is_caught(patch: Path, tmp_path: Path) -> None:
    """By the checker that guards the broken rule: a copy that crashes is no proof."""
    text = patch.read_text()
    for part in ("consensus", "chaos", "trioroute"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignore)
    subprocess.run(["patch", "-s", "-p1"], cwd=tmp_path, input=text, text=True, check=True)
    known = int(_line_of(text, _CAUGHT_BY))
    checker = _line_of(text, _CHECKER)
    tried = [known, *(seed for seed in _OTHER_SEEDS if seed != known)]
    faults = _faults_but(text, _WITHOUT)
    assert any(f"  {checker}: " in _run_seed(tmp_path, seed, faults) for seed in tried), (
        f"{checker} complained of none of seeds {tried}"
    )
    if (others := _faults_but(text, _NOT_WITHOUT)) != FAULTS:
        for seed in tried[:_SEEDS_WITHOUT]:
            assert f"  {checker}: " not in _run_seed(tmp_path, seed, others), f"seed {seed}"


def _faults_but(text: str, label: str) -> tuple[str, ...]:
    """All kinds but those that a line of the patch names, if it has that line."""
    named = [line.removeprefix(label) for line in text.splitlines() if line.startswith(label)]
    left_out = named[0].split(",") if named else []
    assert not set(left_out) - set(FAULTS), "there are no such faults"
    return tuple(kind for kind in FAULTS if kind not in left_out)


def _line_of(text: str, label: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(label)]
    return line.removeprefix(label)


def _run_seed(tree: Path, seed: int, faults: Sequence[str]) -> str:
    """What the simulator prints about one seed, with the tree's code."""
    command = ["-m", "chaos.sim.system", "--seeds", str(seed), "--faults", ",".join(faults)]
    result = subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout
