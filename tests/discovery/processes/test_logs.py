"""Which line of a dead process's output says why it died."""

from pathlib import Path

import pytest

from trioroute.discovery.processes.logs import cap_log, read_last_lines, tell_why

#: As the inference server prints it, shortened.
SCRIPT_FAILED = """\
2026-11-22 14:01:58 I [7] azmlinfsrv - Invoking user's init function
2026-11-22 14:01:58 E [7] azmlinfsrv - User's init function failed
2026-11-22 14:01:58 E [7] azmlinfsrv - Encountered Exception Traceback (most recent call last):
  File "user_script.py", line 131, in invoke_init
    self._user_init()
  File "score.py", line 9, in init
    raise ValueError("the model is too old")
ValueError: the model is too old

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "user_script.py", line 138, in invoke_init
azureml_inference_server_http.server.user_script.UserScriptException: Caught an unhandled exception
Worker (pid:7) exited with code 3.
Shutting down: Master
Reason: Worker failed to boot.
"""


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (SCRIPT_FAILED, "ValueError: the model is too old"),
        (
            "loading\nModuleNotFoundError: No module named 'x'\n",
            "ModuleNotFoundError: No module named 'x'",
        ),
        ("a.b.CustomError\n", "a.b.CustomError"),
        (
            "cannot run uvicornn: No such file or directory\nbye\n",
            "cannot run uvicornn: No such file or directory",
        ),
        ("Segmentation fault\n", "Segmentation fault"),
        ("", ""),
    ],
)
def test_tells_the_exception_or_else_the_last_line(lines: str, why: str) -> None:
    assert tell_why([line for line in lines.splitlines() if line]) == why


def test_reads_the_end_of_a_long_log_without_blank_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n\n" for number in range(100_000)))
    lines = read_last_lines(log)
    assert len(lines) == 40
    assert lines[-1] == "line 99999"


def test_a_missing_log_has_no_lines(tmp_path: Path) -> None:
    assert read_last_lines(tmp_path / "none") == ()


def test_a_log_too_long_is_cut_under_the_writers_hand(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab") as writer:
        writer.write(b"early\n" + b"x" * 9_000_000 + b"\nlate\n")
        writer.flush()
        cap_log(log)
        writer.write(b"later\n")
    assert log.stat().st_size < 100_000
    assert read_last_lines(log)[-2:] == ("late", "later")


def test_a_short_log_stays_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\n")
    cap_log(log)
    assert log.read_text() == "one\ntwo\n"
