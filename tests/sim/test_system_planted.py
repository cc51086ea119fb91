"""Rules of the slots broken once, by a patch to a copy, which the simulator must notice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted((Path(__file__).parent / "planted_system").glob("*.patch"))
_CAUGHT_BY = "Caught by: system seed "
_CHECKER = "Checker: "
#: Any change of the code makes another history of each seed: what one seed showed, another shows.
_OTHER_SEEDS: Final = range(1, 11)


def test_there_are_as_many_as_promised() -> None:
    assert len(PATCHES) >= 8


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
    assert any(f"  {checker}: " in _run_seed(tmp_path, seed) for seed in tried), (
        f"{checker} complained of none of seeds {tried}"
    )


def _line_of(text: str, label: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(label)]
    return line.removeprefix(label)


def _run_seed(tree: Path, seed: int) -> str:
    """What the simulator prints about one seed, with the tree's code."""
    result = subprocess.run(
        [sys.executable, "-m", "chaos.sim.system", "--seeds", str(seed)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout
