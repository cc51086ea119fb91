"""The verb: groups, marks, the last line, the exit status."""

import json
import sys
from pathlib import Path

import pytest

from trioroute.cli.main import main


def run(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *line.split()])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def test_what_is_well_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, _ = run(capsys, f"--only runtime.python,data --data {tmp_path / 'd'}")
    assert status == 0
    assert "runtime\n  √ Python 3." in out
    assert out.splitlines()[-1].endswith("none failed, 0 warned")


def test_every_failure_is_named_at_the_end(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "secret.key").write_bytes(b"s")
    (tmp_path / "secret.key").chmod(0o644)
    status, out, _ = run(capsys, f"--only data --data {tmp_path} --plain")
    assert status == 1
    assert "XX secret.key is its owner's only  [data.secret]\n      fix: chmod 600" in out
    assert "1 failed (data.secret)" in out.splitlines()[-1]
    status, out, _ = run(capsys, f"--only data --data {tmp_path} -o json")
    assert status == 1
    assert {row["id"]: row["verdict"] for row in json.loads(out)}["data.secret"] == "bad"
    status, _, _ = run(capsys, f"--only data --skip data.secret --data {tmp_path}")
    assert status == 0


def test_before_anything_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, out, _ = run(capsys, f"--pre --skip ports --data {tmp_path} -o json")
    assert {row["group"] for row in json.loads(out)} == {"runtime", "data", "dns", "kubernetes"}


def test_a_group_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "--only runtme")
    assert status == 2
    assert "did you mean runtime?" in err


def test_nobody_at_the_named_address_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--only system --admin http://127.0.0.1:9")
    assert status == 1
    assert "nobody answers at http://127.0.0.1:9" in out
    assert "1 failed (system.running)" in out.splitlines()[-1]


def test_a_system_that_was_killed_is_missed_and_one_that_never_ran_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, _ = run(capsys, f"--only system --data {tmp_path}")
    assert status == 0
    assert "start one with `trioroute up`" in out
    left = {"scoring_url": "http://127.0.0.1:9", "admin_urls": {"fe-0": "http://127.0.0.1:9"}}
    (tmp_path / "up.json").write_text(json.dumps(left))
    status, out, _ = run(capsys, f"--only system --data {tmp_path}")
    assert status == 1
    assert "× nobody answers at http://127.0.0.1:9" in out


def test_a_cluster_that_cannot_be_reached_or_is_not_known_is_bad(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIOROUTE_CONFIG", str(tmp_path / "contexts.json"))
    monkeypatch.setenv("TRIOROUTE_NAMESPACE", "models")
    monkeypatch.setenv("TRIOROUTE_KUBECONFIG", str(tmp_path / "none"))
    status, out, _ = run(capsys, "--only kubernetes --pre")
    assert status == 1
    assert "1 failed (kubernetes.kubeconfig)" in out.splitlines()[-1]
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    monkeypatch.delitem(sys.modules, "trioroute.cli.kube.access")
    status, out, _ = run(capsys, "--only kubernetes --pre")
    assert status == 1
    assert "pip install 'trioroute[k8s]'" in out


def test_a_check_that_was_not_made_is_no_good_news(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, _, err = run(capsys, "--only runtime.pyhton")
    assert status == 2
    assert "did you mean runtime.python?" in err
    status, _, err = run(capsys, f"--only data.nothing-alike --data {tmp_path}")
    assert status == 2
