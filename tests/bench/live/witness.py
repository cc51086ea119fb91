"""What the replicas of a run recorded, as intervals, and what they say about limits and order."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

__all__ = ["Served", "overtaking_s", "percentile", "read_served", "running_max"]


@attrs.frozen
class Served:
    """One request at one replica, on CLOCK_MONOTONIC; `ended_at` is infinite for one cut off.

    Attributes:
        epoch: of the coordinator that its holder knew when it started, as the slot's header says.
    """

    replica: str
    request: str
    began_at: float
    ended_at: float
    epoch: int


def read_served(records: Path) -> list[Served]:
    """Everything that `recording_replica` wrote, in the order of beginning."""
    served = []
    for path in records.iterdir():
        begun: dict[str, tuple[float, int]] = {}
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if entry["event"] == "begin":
                # REPLICA/SLOT/EPOCH/NUMBER
                begun[entry["request"]] = entry["at"], int(entry["slot"].split("/")[-2])
            else:
                began_at, epoch = begun.pop(entry["request"])
                served.append(Served(path.stem, entry["request"], began_at, entry["at"], epoch))
        served += [Served(path.stem, k, at, float("inf"), e) for k, (at, e) in begun.items()]
    return sorted(served, key=lambda each: each.began_at)


def running_max(served: Iterable[Served]) -> int:
    """The most requests that any one replica worked on at once."""
    most = 0
    by_replica: dict[str, list[Served]] = {}
    for each in served:
        by_replica.setdefault(each.replica, []).append(each)
    for own in by_replica.values():
        changes = [(each.began_at, 1) for each in own] + [(each.ended_at, -1) for each in own]
        running = 0
        for _, change in sorted(changes):
            running += change
            most = max(most, running)
    return most


def overtaking_s(sent: Sequence[float]) -> float:
    """By how much the youngest overtaker was younger, given when each was sent, as they began."""
    newest, worst = float("-inf"), 0.0
    for at in sent:
        worst = max(worst, newest - at)
        newest = max(newest, at)
    return worst


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
