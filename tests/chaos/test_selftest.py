"""Planted bugs stay plantable: every patch applies to today's tree."""

# house: tests tests/chaos/selftest.py, which is a program of the tests

import subprocess

import pytest

from tests.chaos.selftest import ROOT, Bug, bugs


def test_there_are_enough_of_them() -> None:
    assert len(bugs()) >= 12


@pytest.mark.parametrize("bug", bugs(), ids=lambda bug: bug.patch.stem)
def test_every_patch_applies_and_names_what_catches_it(bug: Bug) -> None:
    assert bug.rule
    first, *rest = bug.catcher.split()
    assert first in {"chaos", "sim", "system"} or first.startswith("tests/")
    assert first not in {"sim", "system"} or (rest[-2] == "--seeds" and rest[-1].isdigit())
    with bug.patch.open() as text:
        command = ["patch", "-s", "-p1", "--dry-run"]
        subprocess.run(command, cwd=ROOT, stdin=text, check=True, timeout=20)
