"""What is left for whoever asks how a front-end ended."""

import logging
from pathlib import Path

import pytest

from trioroute.app.host.last_words import LastWords
from trioroute.discovery.kube.endings import termination_message


def test_whose_end_it_is_comes_first_and_the_reason_below(tmp_path: Path) -> None:
    file = tmp_path / "termination-log"
    file.touch()
    words = LastWords(file)
    words.begin("fe-0", 7)
    assert file.read_text() == termination_message("fe-0", 7)
    words.add("port 8080 is taken")
    assert file.read_text() == termination_message("fe-0", 7) + "port 8080 is taken\n"


def test_a_long_reason_leaves_the_first_line_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "termination-log"
    words = LastWords(file)
    words.begin("fe-0", 7)
    words.add("x" * 100_000)
    kept = file.read_bytes()[-4096:].decode()
    assert kept.startswith(termination_message("fe-0", 7))


def test_a_file_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    LastWords(tmp_path / "no" / "folder").begin("fe-0", 7)
    assert "No such file or directory; if this front-end is killed" in caplog.text


def test_without_a_file_nothing_is_written(tmp_path: Path) -> None:
    LastWords(None).begin("fe-0", 7)
    LastWords(None).add("whatever")
    assert not list(tmp_path.iterdir())
