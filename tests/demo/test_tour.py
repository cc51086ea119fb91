"""The tour against real processes: what it counts, and when it says that something is wrong."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.demo.tiny_group import open_group, prepared
from trioroute.demo import drill
from trioroute.demo.tour import run_tour

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _short_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill, "_BEFORE_S", 0.5)
    monkeypatch.setattr(drill, "_AFTER_S", 0.3)
    monkeypatch.setattr(drill, "_RATE_PER_S", 200.0)


def counts(said: str) -> dict[str, str]:
    """The rows of the summary table."""
    rows = [line.strip("│ ").split("│") for line in said.splitlines() if line.count("│") == 3]
    return {name.strip(): value.strip() for name, value in rows}


async def tour(folder: Path, *, count: int = 3, mode: str = "good") -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=100)
    with open_group(count=count, mode=mode) as group:
        status = await run_tour(group, prepared(folder), console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    print(said)
    return status, said


async def test_a_killed_coordinator_costs_at_most_what_was_in_flight_on_it(tmp_path: Path) -> None:
    status, said = await tour(tmp_path)
    found = counts(said)
    assert status == 0
    assert found["failed otherwise"] == "0"
    parts = ("ok", "broken with the killed front-end", "failed otherwise")
    assert int(found["sent"]) == sum(int(found[part]) for part in parts)
    assert int(found["sent"]) > 200
    assert found["new coordinator after"].endswith(" ms")
    assert "SIGKILL to fe-0, coordinator of epoch 1" in said
    assert "fe-1 coordinates, epoch 2" in said
    assert "read as 7, is 7; One" in said
    assert "of 100 requests   One, reads 90.0% of unseen digits" in said


@pytest.mark.parametrize(
    ("mode", "why"),
    [("refuses", "503 queue-timeout"), ("drops", "closed before the answer was complete")],
)
async def test_what_fails_otherwise_is_told_and_makes_it_a_failure(
    tmp_path: Path, mode: str, why: str
) -> None:
    status, said = await tour(tmp_path, mode=mode)
    assert status == 1
    assert int(counts(said)["failed otherwise"]) > 0
    assert f" failed: {why}" in said


async def test_a_group_without_a_majority_is_not_killed(tmp_path: Path) -> None:
    status, said = await tour(tmp_path, count=2)
    assert status == 0
    assert "SIGKILL" not in said
    assert counts(said)["failed otherwise"] == "0"


async def test_no_successor_in_time_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill, "_COORDINATOR_MAX_S", 0.0)
    status, said = await tour(tmp_path)
    assert status == 1
    assert "the drill ended early: no new coordinator within 0 s" in said
