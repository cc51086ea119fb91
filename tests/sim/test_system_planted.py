"""Rules of the slots broken once, by a patch to a copy, which the simulator must notice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted((Path(__file__).parent / "planted_system").glob("*.patch"))
_CAUGHT_BY = "Caught by: system seed "


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_fault_is_caught(patch: Path, tmp_path: Path) -> None:
    text = patch.read_text()
    (seed,) = [line for line in text.splitlines() if line.startswith(_CAUGHT_BY)]
    for part in ("consensus", "chaos", "trioroute"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignore)
    subprocess.run(["patch", "-s", "-p1"], cwd=tmp_path, input=text, text=True, check=True)
    result = subprocess.run(
        [sys.executable, "-m", "chaos.sim.system", "--seeds", seed.removeprefix(_CAUGHT_BY)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr
