"""Seeds of the simulator, and that one seed is one history wherever and whenever it runs."""

import hashlib
import os
import subprocess
import sys

import pytest

from chaos.sim.__main__ import main
from chaos.sim.run import run_seed


@pytest.mark.parametrize("seed", range(100, 104))
def test_no_rule_is_broken(seed: int) -> None:
    run = run_seed(seed, duration_s=30)
    replay = f"python -m chaos.sim --seeds {seed} --duration 30 --verbose"
    assert run.complaints == [], replay
    assert len(run.history.faults) > 15
    assert sum(call.outcome == "applied" for call in run.history.calls) > 50


@pytest.mark.parametrize("voters", [1, 5])
def test_no_rule_is_broken_in_other_groups(voters: int) -> None:
    assert run_seed(7, duration_s=15, voters=voters).complaints == []


def digest(seed: int) -> str:
    """A history in one line."""
    history = run_seed(seed, duration_s=10).history
    text = repr((history.calls, history.applied, history.authority, history.acts, history.faults))
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_seed_is_one_history_in_every_process() -> None:
    """Whatever the hash seed: the core iterates over sets."""
    script = "from tests.sim.test_consensus import digest; print(digest(3))"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert digests == {digest(3) + "\n"}


def test_the_command_line_runs_seeds_and_says_what_they_came_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seeds", "100", "--duration", "5"]) == 0
    assert "1 seeds, 0 violating seeds" in capsys.readouterr().out
