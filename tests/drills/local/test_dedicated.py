"""Nobody's disk is filled."""

import os
from pathlib import Path

import pytest

from trioroute.drills.local import dedicated
from trioroute.drills.local.dedicated import objection_to_filling


def test_a_folder_among_others_is_refused(tmp_path: Path) -> None:
    said = objection_to_filling(tmp_path)
    assert "shares its file system" in said
    assert f"mount -t tmpfs -o size=64m drill {tmp_path}" in said


def test_a_large_file_system_is_refused_even_if_it_is_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dedicated, "_FREE_MAX_BYTES", -1)
    assert "more than a drill should write" in objection_to_filling(Path("/"))


def test_a_small_one_of_its_own_may_be_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.statvfs("/")
    monkeypatch.setattr(dedicated, "_FREE_MAX_BYTES", found.f_blocks * found.f_frsize)
    assert objection_to_filling(Path("/")) == ""
