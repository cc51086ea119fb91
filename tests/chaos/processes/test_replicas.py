"""Records of model servers, as they are read back."""

import os
from pathlib import Path

from chaos.processes.replicas import is_fresh, read_executions


def test_begins_and_ends_are_paired_and_a_torn_line_is_left_out() -> None:
    record = "+ 7 r:1 1.0 s/0/1/1\n+ 8 r:2 1.5 -\n- 7 r:1 2.0\n+ 7 r:1 3.0 s/1/1/2\n- 8 r:"
    seven, again, eight = sorted(
        read_executions(record, "life"), key=lambda one: (one.number, one.begun_at)
    )
    assert (seven.begun_at, seven.ended_at, seven.slot) == (1.0, 2.0, "s/0/1/1")
    assert (again.begun_at, again.ended_at) == (3.0, None)
    assert (eight.replica, eight.ended_at, eight.life) == ("r:2", None, "life")


def test_who_has_recorded_something_just_now_is_busy(tmp_path: Path) -> None:
    record = tmp_path / "replicas-0-0"
    assert not is_fresh(record)
    record.write_text("+ 7 r:1 1.0 s/0/1/1\n")
    in_a_while = record.stat().st_mtime + 3600
    os.utime(record, (in_a_while, in_a_while))
    assert is_fresh(record)
    os.utime(record, (1.0, 1.0))
    assert not is_fresh(record)
