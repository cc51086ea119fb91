"""The simulated world runs the same scenarios and is judged by the same rules and report."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.__main__ import main, run_scenario
from chaos.scenarios import queue
from chaos.simulated.world import SimulatedWorld

ROOT = Path(__file__).parents[3]
PLANTED = ROOT / "tests" / "sim" / "planted_system" / "no-doubt.patch"


def run(
    folder: Path, *words: str, tree: Path = ROOT, hash_seed: str = "1"
) -> tuple[int, str, dict[str, Any]]:
    """Status, words and report of one run in a process of its own, so that hashes are its own."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "chaos", *words, "--world", "simulated"]
    done = subprocess.run(
        [*command, "--report", str(report)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, json.loads(report.read_text())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_each_scenario_is_played_as_it_says_and_a_seed_is_one_history(tmp_path: Path) -> None:
    status, said, taken = run(tmp_path, "takeover", "--faults", "3")
    assert status == 0, said
    assert len({fault["kind"] for fault in taken["faults"]}) == 3
    assert [fault["kind"] for fault in taken["faults"] if not fault["felt"]] == []
    assert taken["requests"] / taken["duration_s"] == pytest.approx(5.5, rel=0.1)
    assert run(tmp_path, "takeover", "--faults", "3", hash_seed="2") == (status, said, taken)
    words = ("nemesis", "--kinds", "kill-worker,reset-peers", "--faults", "2", "--rate", "30")
    status, said, hurt = run(tmp_path, *words)
    assert status == 0, said
    assert {fault["kind"] for fault in hurt["faults"]} == {"kill-worker"}
    assert "SKIPPED fault=9 kind=reset-peers needs=lines of bytes" in said
    assert hurt["requests"] / hurt["duration_s"] == pytest.approx(30, rel=0.1)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_planted_fault_of_the_system_breaks_a_rule_of_the_scenario(tmp_path: Path) -> None:
    for part in ("consensus", "chaos", "trioroute"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignore)
    patch = PLANTED.read_text()
    subprocess.run(["patch", "-s", "-p1"], cwd=tmp_path, input=patch, text=True, check=True)
    status, said, report = run(tmp_path, "takeover", "--faults", "3", tree=tmp_path)
    assert status == 1, said
    assert "within_limits" in {violation["rule"] for violation in report["violations"]}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nemesis", "--kinds", "kill-all,nope"), "no such kind of fault: nope"),
        (("queue", "--world", "simulated"), "--world processes"),
        (
            ("nemesis", "--kinds", "reset-peers", "--world", "simulated"),
            "reset-peers needs lines of bytes",
        ),
    ],
)
def test_who_asks_for_no_such_run_is_told_what_to_do(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_scenario_that_needs_sockets_is_refused() -> None:
    with pytest.raises(ValueError, match="queue makes no sense in the simulated world"):
        run_scenario(queue.SCENARIO, SimulatedWorld(), seed=1)
