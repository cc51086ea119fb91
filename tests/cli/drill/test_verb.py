"""`trioroute drill` as an operator types it; what it does to real processes is in tests/e2e."""

import json
import os
from pathlib import Path

import pytest

from trioroute.cli.main import main
from trioroute.client.local import started_at
from trioroute.drills.catalogue import DRILLS, Drill
from trioroute.drills.local.post import lock_drills


def run(line: str, capsys: pytest.CaptureFixture[str], *, status: int) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["drill", *line.split()])
    out, err = capsys.readouterr()
    assert ended.value.code == status, out + err
    return out, err


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TRIOROUTE_ADMIN", "TRIOROUTE_DATA", "TRIOROUTE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_the_list_names_every_drill(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run("list", capsys, status=0)
    assert [line.split()[0] for line in out.splitlines()[1:]] == [d.name for d in DRILLS]
    rows = json.loads(run("list -o json", capsys, status=0)[0])
    assert rows[0]["proves"] == DRILLS[0].proves


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_every_drill_says_what_it_is_for(drill: Drill, capsys: pytest.CaptureFixture[str]) -> None:
    name = drill.name
    out, _ = run(f"{name} --help", capsys, status=0)
    assert "--report" in out
    assert ("--lasts" in out) == drill.deed.is_lasting
    assert ("--gap-goal" in out) == drill.moves_office


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ("--report out.txt", 2, "end it in .html or .json"),
        ("--report missing/out.html", 2, "there is no folder missing"),
        ("--body @missing", 2, "No such file"),
        ("--admin http://127.0.0.1:9", 2, "name its folder with --data"),
        ("", 3, "no running system found"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_broken(
    options: str,
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in run(f"coordinator --yes {options}", capsys, status=status)[1]


def stale(folder: Path) -> None:
    """As an `up` that was killed leaves its folder."""
    urls = {"fe-0": "http://127.0.0.1:9"}
    summary = {"pid": 1, "scoring_url": "http://127.0.0.1:9", "admin_urls": urls}
    (folder / "up.json").write_text(json.dumps(summary))
    (folder / "lock").write_text("1 1\n")


def test_a_system_that_has_ended_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stale(tmp_path)
    err = run(f"replica --yes --data {tmp_path}", capsys, status=5)[1]
    assert "left its summary behind" in err


def test_one_drill_at_a_time_and_none_on_top_of_another(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stale(tmp_path)
    with lock_drills(tmp_path):
        err = run(f"replica --yes --data {tmp_path}", capsys, status=5)[1]
        assert "another drill runs" in err
        assert "another drill runs" in run(f"undo --data {tmp_path}", capsys, status=5)[1]
    (tmp_path / "drill.json").write_text('{"kind": "frozen", "processes": []}')
    assert "drill undo" in run(f"replica --yes --data {tmp_path}", capsys, status=5)[1]


def test_undo_mends_what_was_left_behind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    err = run(f"undo --data {tmp_path / 'none'}", capsys, status=5)[1]
    assert f"there is no data folder {tmp_path / 'none'}" in err
    assert "nothing was left" in run(f"undo --data {tmp_path}", capsys, status=0)[0]
    left = [{"pid": os.getpid(), "started": started_at(os.getpid())}]
    record = {"kind": "frozen", "processes": left, "whose": "fe-2"}
    (tmp_path / "drill.json").write_text(json.dumps(record))
    assert run(f"undo --data {tmp_path}", capsys, status=0)[0] == "mended fe-2\n"
    assert not (tmp_path / "drill.json").exists()
