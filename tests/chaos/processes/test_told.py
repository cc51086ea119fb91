"""Of all requests those count that have ended since somebody began to listen."""

# house: tests chaos/processes/ways/told.py, a folder deeper than tests have

import time

from chaos.history import Outcome, Request
from chaos.processes.ways.told import LATE, Told


def ended(number: int, at: float | None, reason: str = LATE) -> Request:
    """Answered so at this time, or not yet."""
    outcome = Outcome.RUNNING if at is None else Outcome.ANSWERED
    return Request(number=number, client="new", ended_at=at, outcome=outcome, reason=reason)


def test_what_ends_from_now_on_counts_whenever_it_was_sent() -> None:
    before = time.monotonic() - 1.0
    under_way = ended(2, None)
    requests = [ended(1, before), under_way]
    told = Told(requests)
    assert told.count(LATE) == 0
    under_way.ended_at = time.monotonic()
    requests += [ended(3, under_way.ended_at), ended(4, under_way.ended_at, ""), ended(5, None)]
    assert told.count(LATE) == 2
    assert [request.number for request in told.ended()] == [2, 3, 4]


def test_of_many_requests_the_last_ones_are_looked_at() -> None:
    requests = [ended(number, None) for number in range(5000)]
    told = Told(requests)
    requests[-1].ended_at = requests[0].ended_at = time.monotonic()
    assert told.count(LATE) == 1
