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


#: How a patch names a run of the simulator; anything else is a test.
_SIMULATOR = "chaos.sim "


def catchers(patch: Path) -> list[str]:
    """What must fail with the patch: tests, or runs of the simulator."""
    lines = patch.read_text().splitlines()
    return [line.removeprefix(_CAUGHT_BY) for line in lines if line.startswith(_CAUGHT_BY)]


def command(catcher: str) -> list[str]:
    """The arguments for Python that run it."""
    if catcher.startswith(_SIMULATOR):
        return ["-m", *catcher.split()]
    return ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "30", catcher]


#: For every change every so many-th is tried: what notices them are tests that run anyway.
_SAMPLED = 6

CAUGHT = [
    pytest.param(
        patch,
        catcher,
        id=f"{patch.stem}-by-{catcher.rpartition('::')[2]}",
        marks=[pytest.mark.long] if number % _SAMPLED else [],
    )
    for number, patch in enumerate(PATCHES)
    for catcher in catchers(patch)
]


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


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_each_fault_can_still_be_planted(patch: Path) -> None:
    with patch.open() as text:
        dry = ["patch", "-s", "-p1", "--dry-run"]
        done = subprocess.run(dry, cwd=ROOT, stdin=text, check=False, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("patch", "catcher"), CAUGHT)
def test_a_planted_fault_is_caught(patch: Path, catcher: str, copy: Path) -> None:
    with patch.open() as text:
        subprocess.run(["patch", "-s", "-p1"], cwd=copy, stdin=text, check=True, timeout=20)
    result = run(copy, command(catcher))
    assert result.returncode == 1, result.stdout + result.stderr


def test_the_design_lists_them_all() -> None:
    design = (ROOT / "consensus" / "DESIGN.md").read_text()
    for patch in PATCHES:
        names = ", ".join(f"`{each.removeprefix('tests/consensus/')}`" for each in catchers(patch))
        what = patch.read_text().partition("\n")[0]
        assert f"| {patch.stem} | {what} | {names} |" in design
