"""Every safety rule is broken once, by a patch to a copy, and the suite must notice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted((Path(__file__).parent / "planted").glob("*.patch"))
_CAUGHT_BY = "Caught by: "


def catcher(patch: Path) -> list[str]:
    """The command that must fail: the patch names a test, or a seed of the simulator."""
    (line,) = [line for line in patch.read_text().splitlines() if line.startswith(_CAUGHT_BY)]
    what = line.removeprefix(_CAUGHT_BY)
    if what.startswith("seed "):
        return ["-m", "chaos.sim", "--duration", "30", "--seeds", what.removeprefix("seed ")]
    return ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "30", what]


def run(folder: Path, command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run one command with the copy's packages in front of ours."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What a patch may change, and the tests that must notice."""
    for part in ("consensus", "chaos", "tests/consensus"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignore)
    for file in ("pyproject.toml", "tests/__init__.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_fault_is_caught(patch: Path, copy: Path) -> None:
    with patch.open() as text:
        subprocess.run(["patch", "-s", "-p1"], cwd=copy, stdin=text, check=True, timeout=20)
    result = run(copy, catcher(patch))
    assert result.returncode == 1, result.stdout + result.stderr


def test_there_are_enough_of_them() -> None:
    assert len(PATCHES) >= 8
