"""Each planted bug turns at least one test red (contract, section 9; decision 40)."""

import pathlib
import shutil
import subprocess
import sys
import tomllib
from typing import Any, Final

import pytest

_HERE: Final = pathlib.Path(__file__).parent
_ROOT: Final = _HERE.parents[1]


def _bugs() -> list[dict[str, Any]]:
    with (_HERE / "planted.toml").open("rb") as file:
        bugs: list[dict[str, Any]] = tomllib.load(file)["bug"]
    return bugs


#: For every change every so many-th is tried: what notices them are tests that run anyway.
_SAMPLED: Final = 6
_SAMPLES: Final = [
    pytest.param(bug, id=bug["id"], marks=[pytest.mark.long] if number % _SAMPLED else [])
    for number, bug in enumerate(_bugs())
]


@pytest.mark.parametrize("bug", _bugs(), ids=lambda bug: bug["id"])
def test_the_place_of_each_bug_exists(bug: dict[str, Any]) -> None:
    """A bug that cannot be planted any more must be written anew, not forgotten."""
    text = (_ROOT / bug["file"]).read_text(encoding="utf-8")
    assert text.count(bug["find"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("bug", _SAMPLES)
def test_a_planted_bug_turns_a_test_red(bug: dict[str, Any], tmp_path: pathlib.Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("trioroute", "tests"):
        shutil.copytree(_ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(_ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / bug["file"]
    text = planted.read_text(encoding="utf-8")
    planted.write_text(text.replace(bug["find"], bug["replace"]), encoding="utf-8")

    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", bug["red"]],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    # 1: tests failed. Anything else (2: interrupted, 4: usage) would prove nothing.
    assert finished.returncode == 1, finished.stdout[-2000:] + finished.stderr[-2000:]
    assert "error" not in finished.stdout.splitlines()[-1], "a bug must fail a test, not an import"
