"""The account: each request has exactly one end, and only the kill's own losses are excused."""

import math

import pytest
import trio

from tests.drills.small_system import small_system
from trioroute.demo.load import Clients, Outcome, Record, tally
from trioroute.demo.scoring import Answer, ScoringTarget

OK = Answer(200, {}, b'{"model": "One"}')
SHED = Answer(503, {b"x-trioroute-error": b"queue-timeout"}, b"")

KILLED_AT = 10.0
KILLED_PORTS = frozenset({1, 2})


def record(port: int, ended_at: float, answer: Answer | None = None) -> Record:
    return Record(due_at=9.0, ended_at=ended_at, port=port, answer=answer, error="reset")


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        (record(1, 9.5, OK), Outcome.OK),
        (record(1, 10.5, OK), Outcome.OK),
        (record(1, 10.5), Outcome.BROKEN_WITH_KILLED),
        # On another front-end's connection, before the kill, or on none at all.
        (record(3, 10.5), Outcome.FAILED),
        (record(1, 9.5), Outcome.FAILED),
        (record(0, 10.5), Outcome.FAILED),
        # Answered, so not lost: the killed front-end refused it.
        (record(1, 10.5, SHED), Outcome.FAILED),
    ],
)
def test_only_what_the_killed_one_held_unanswered_is_excused(
    case: Record, outcome: Outcome
) -> None:
    account = tally([case], killed_at=KILLED_AT, killed_ports=KILLED_PORTS)
    assert account.counts[outcome] == account.sent == 1


def test_without_a_kill_nothing_is_excused() -> None:
    account = tally([record(1, 10.5)], killed_at=math.inf, killed_ports=frozenset())
    assert account.counts[Outcome.FAILED] == 1


def test_tells_why_each_failed_and_how_often() -> None:
    records = [record(3, 10.5), record(3, 11.0), record(3, 11.0, SHED)]
    account = tally(records, killed_at=KILLED_AT, killed_ports=KILLED_PORTS)
    assert account.failures == {"reset": 2, "503 queue-timeout": 1}


async def test_what_passes_before_a_connection_is_free_is_told_apart() -> None:
    records: list[Record] = []
    with small_system() as system:
        clients = Clients(ScoringTarget(f"{system.urls['fe-0']}/score", None), [b"{}"])
        await clients.open(1)
        due_at = trio.current_time()

        async def send() -> None:
            records.append(await clients.send(due_at))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(send)
        clients.close()
    first, second = records
    assert first.is_ok
    assert second.is_ok
    # The one connection was the first one's until it had its answer.
    assert first.unsent_s < first.ended_at - due_at <= second.unsent_s
