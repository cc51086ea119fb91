"""Scaling with real replicas that take three seconds to start: bursts wait and are all served."""

import sys
import time
from pathlib import Path

import msgspec
import pytest
import trio

from tests.e2e.system import (
    PATIENCE_S,
    REPLICA,
    Outcome,
    System,
    read_records,
    running_up,
    score,
    write_files,
)
from trioroute.client.http import AdminClient
from trioroute.core.decisions import DecisionKind, DecisionList

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

START_S = 3.0
SERVICE_S = 0.5
#: Without buffering a burst would fail after this; it is also what two rounds at the new replicas
#: need.
QUEUE_WAIT_MS = 1500

SLOW_START = f"""\
import runpy, sys, time
time.sleep({START_S})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def write_scaled(folder: Path, *, low: int, high: int) -> None:
    """Deployment files with replicas that do not even listen for their first seconds."""
    times = {"queue_wait_ms": QUEUE_WAIT_MS, "request_timeout_ms": 20_000}
    write_files(folder, replicas=1, service_s=SERVICE_S, **times)
    (folder / "slow_start.py").write_text(SLOW_START)
    path = folder / "deployment.yml"
    text = path.read_text().replace(
        f"{sys.executable} {REPLICA}", f"{sys.executable} {folder / 'slow_start.py'} {REPLICA}"
    )
    text = text.replace("instance_type: local", "type: kubernetes")
    scale = f"{{type: target_utilization, min_instances: {low}, max_instances: {high}}}"
    path.write_text(text.replace("instance_count: 1", f"scale_settings: {scale}"))


def offer_burst(system: System, count: int) -> list[Outcome]:
    outcomes: list[Outcome] = []

    async def one(number: int) -> None:
        outcomes.append(await score(system.scoring, f"request-{number}"))

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(one, number)

    trio.run(run)
    return outcomes


def test_a_burst_is_delayed_and_not_failed_and_starts_no_more_than_needed(tmp_path: Path) -> None:
    write_scaled(tmp_path, low=1, high=8)
    with running_up(tmp_path) as system:
        burst_at = time.time()
        outcomes = offer_burst(system, 20)
        wait_until_scaled(system, since=burst_at)
    assert [o.status for o in outcomes] == [200] * 20, [o for o in outcomes if o.status != 200]
    assert max(o.ended_at - o.sent_at for o in outcomes) > START_S, "the burst needed new replicas"
    records = read_records(tmp_path)
    assert records.running_max == 1
    assert set(records.begun.values()) == {1}
    replicas = len([*(tmp_path / "records").iterdir()])
    assert 1 < replicas <= 8


def wait_until_scaled(system: System, since: float) -> None:
    """Until it is on record that a number of replicas was decided; records are a second late."""
    client = AdminClient(next(iter(system.admin_urls.values())))
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = client.ask("GET", "/v1/decisions")
        decisions = msgspec.json.decode(answer, type=DecisionList).items
        if any(one.kind is DecisionKind.SCALE and one.at_s > since for one in decisions):
            return
        assert time.monotonic() < deadline, decisions
        time.sleep(0.1)


def test_from_zero_the_first_request_is_answered(tmp_path: Path) -> None:
    write_scaled(tmp_path, low=0, high=2)
    with running_up(tmp_path) as system:
        (outcome,) = offer_burst(system, 1)
    assert outcome.status == 200, outcome
    assert outcome.ended_at - outcome.sent_at > START_S
