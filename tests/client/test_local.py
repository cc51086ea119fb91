"""Finding the running `trioroute up` through its data folder."""

import json
import os
from pathlib import Path

import pytest

from trioroute.client.errors import UnreachableError
from trioroute.client.local import (
    LOCK_NAME,
    SUMMARY_NAME,
    find_local_system,
    lock_owner,
    started_at,
)


def test_the_summary_that_up_writes_is_read(tmp_path: Path) -> None:
    summary = {
        "pid": 7,
        "scoring_url": "http://127.0.0.1:8080",
        "admin_urls": {"fe-0": "http://127.0.0.1:9090"},
        "endpoints": ["echo"],
    }
    (tmp_path / SUMMARY_NAME).write_text(json.dumps(summary))
    system = find_local_system(tmp_path)
    assert system.scoring_url == "http://127.0.0.1:8080"
    assert system.admin_urls == {"fe-0": "http://127.0.0.1:9090"}


def test_no_running_system_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="start one with `trioroute up`"):
        find_local_system(tmp_path)


def test_a_system_that_is_starting_is_told_from_none(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text(f"{os.getpid()} {started_at(os.getpid())}\n")
    with pytest.raises(UnreachableError, match=f"process {os.getpid()}, is still starting"):
        find_local_system(tmp_path)
    # The process has gone, and another one has its number.
    (tmp_path / LOCK_NAME).write_text(f"{os.getpid()} 1\n")
    with pytest.raises(UnreachableError, match="no running system"):
        find_local_system(tmp_path)


def test_odd_lock_files_have_no_owner() -> None:
    for text in (b"", b"1", b"x 1", b"1 2 3", b"\xff\xfe 1"):
        assert lock_owner(text) is None
    assert started_at(2**22 + 1) == "gone"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"scoring_url": 1}'])
def test_a_broken_summary_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / SUMMARY_NAME).write_text(text)
    with pytest.raises(UnreachableError, match=r"up\.json cannot be used"):
        find_local_system(tmp_path)


def test_an_unreadable_summary_is_named(tmp_path: Path) -> None:
    (tmp_path / SUMMARY_NAME).mkdir()
    with pytest.raises(UnreachableError, match="cannot be used"):
        find_local_system(tmp_path)
