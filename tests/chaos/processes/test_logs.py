"""Logs are searched for keys and tracebacks."""

from pathlib import Path

from chaos.processes.logs import secrets_in, secrets_in_logs, tracebacks_in_logs

TRACE = """\
fe-0 INFO serving
Traceback (most recent call last):
  File "x.py", line 1, in f
    raise KeyError("y")
KeyError: 'y'
fe-0 INFO more
"""


def test_the_log_and_its_last_line_are_named(tmp_path: Path) -> None:
    (tmp_path / "fe-0.log").write_text(TRACE)
    (tmp_path / "fe-1.log").write_text("fe-1 INFO serving trk_secret\n")
    (tmp_path / "replicas-0.log").write_text("Traceback (most recent call last):\n")
    assert tracebacks_in_logs(tmp_path) == ["fe-0.log: KeyError: 'y'"]
    assert secrets_in_logs(tmp_path, ["trk_other", "trk_secret"]) == ["fe-1.log"]
    (tmp_path / "trioroute-0.log").write_text(TRACE)
    found = tracebacks_in_logs(tmp_path, front_ends="trioroute-*")
    assert found == ["trioroute-0.log: KeyError: 'y'"]


def test_what_is_told_is_searched_like_what_is_written() -> None:
    texts = {"fe-1 /v1/status": b'{"key": "trk_old"}', "fe-0 /metrics": b"x 1\ntrk_new", "b": b""}
    assert secrets_in(texts, ["trk_old", "trk_new"]) == ["fe-0 /metrics", "fe-1 /v1/status"]
    assert secrets_in(texts, ["trk_other"]) == []
