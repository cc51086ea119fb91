"""What one perfect queue would have done with the same requests: the yardstick of `bench queue`.

Pure. Arrivals and service times are those that were measured; the ideal is a single line, first
come first served, in front of all slots, with no cost of its own.
"""

import heapq
import statistics
from collections.abc import Sequence

import attrs

__all__ = ["Served", "ideal_waits", "most_at_once", "passing_s", "wasted_share"]


@attrs.frozen
class Served:
    """One request, seconds on one clock: sent by the client, then at a replica.

    Attributes:
        came_at: when the replica had it; a replica at work lets it wait until `began_at`.
    """

    arrived_at: float
    replica: int
    came_at: float
    began_at: float
    ended_at: float

    @property
    def wait_s(self) -> float:
        """All of what was not service: queueing and the router's own time."""
        return self.began_at - self.arrived_at


def ideal_waits(served: Sequence[Served], slots: int) -> list[float]:
    """The wait of each request, in order of arrival, had one line fed all slots."""
    free_at = [float("-inf")] * slots
    waits = []
    for request in sorted(served, key=lambda request: request.arrived_at):
        began_at = max(request.arrived_at, heapq.heappop(free_at))
        heapq.heappush(free_at, began_at + request.ended_at - request.began_at)
        waits.append(began_at - request.arrived_at)
    return waits


def wasted_share(served: Sequence[Served], slots: int) -> float:
    """Slot time that was idle while a request waited, as a share of all slot time."""
    events = sorted(
        [(request.arrived_at, 1, 0) for request in served]
        + [(request.began_at, -1, 1) for request in served]
        + [(request.ended_at, 0, -1) for request in served]
    )
    waiting = busy = 0
    wasted_s = 0.0
    last_at = events[0][0]
    for at, queue_change, busy_change in events:
        wasted_s += min(waiting, slots - busy) * (at - last_at)
        waiting, busy, last_at = waiting + queue_change, busy + busy_change, at
    return wasted_s / (slots * (events[-1][0] - events[0][0]))


def passing_s(served: Sequence[Served], slots: int) -> float:
    """What it takes to pass the router when there is nothing to wait for.

    The median over requests that came while a quarter of the slots was idle and not yet promised to
    anybody who came before. The median, so that a router that makes some of them wait for a slot
    that stood elsewhere is not excused for it. 0 when no request came so.
    """
    events = sorted(
        [(request.arrived_at, 1, 0, request.wait_s) for request in served]
        + [(request.began_at, -1, 1, 0.0) for request in served]
        + [(request.ended_at, 0, -1, 0.0) for request in served]
    )
    waiting = busy = 0
    passed = []
    for _, queue_change, busy_change, wait_s in events:
        if queue_change == 1 and slots - busy - waiting >= slots / 4:
            passed.append(wait_s)
        waiting, busy = waiting + queue_change, busy + busy_change
    return statistics.median(passed) if passed else 0.0


def most_at_once(served: Sequence[Served]) -> int:
    """The most requests that any one replica had at the same time."""
    most = 0
    for replica in {request.replica for request in served}:
        mine = [request for request in served if request.replica == replica]
        # An end at the very instant of a beginning comes first.
        events = sorted([(r.came_at, 1) for r in mine] + [(r.ended_at, -1) for r in mine])
        running = 0
        for _, change in events:
            running += change
            most = max(most, running)
    return most
