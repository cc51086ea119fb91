"""What a scaler would have needed that knows the future: the yardstick of `trioroute replay`.

Pure. Given when requests run, no way to have replicas ready for them costs fewer replica-seconds:
the k-th replica exists while k are needed; between two such times it is kept when the gap is
shorter than a start would take, else ended and started again in time. A start costs the time until
the replica is ready. Replicas up to `kept` exist throughout.
"""

import itertools
from collections.abc import Iterable, Sequence

__all__ = ["fewest_replica_time_s", "replicas_in_use"]


def replicas_in_use(
    runs: Iterable[tuple[float, float]], *, slots_per_replica: int
) -> list[tuple[float, int]]:
    """From when on how many replicas are needed to run these requests at these times.

    Args:
        runs: beginning and end of each.
    """
    changes = sorted([change for run in runs for change in ((run[0], 1), (run[1], -1))])
    steps: list[tuple[float, int]] = []
    busy = 0
    for at, change in changes:
        busy += change
        needed = -(-busy // slots_per_replica)
        if steps and steps[-1][0] == at:
            steps[-1] = (at, needed)
        elif not steps or steps[-1][1] != needed:
            steps.append((at, needed))
    return steps


def fewest_replica_time_s(
    steps: Sequence[tuple[float, int]], *, until: float, ready_s: float, present: int, kept: int
) -> float:
    """The least that any scaler pays.

    Args:
        steps: see `replicas_in_use`; time begins at 0.
        until: when time ends.
        ready_s: what a start takes at least.
        present: how many are ready at 0, for nothing.
        kept: how many there must always be.
    """
    most = max((needed for _, needed in steps), default=0)
    total_s = kept * until
    for level in range(kept + 1, most + 1):
        spans = _spans(steps, level, until)
        # One that is there at 0 may be kept from there; any other has to be started.
        first_s = spans[0][0]
        total_s += min(first_s, ready_s) if level <= present else ready_s
        total_s += sum(end - begin for begin, end in spans)
        gaps = itertools.pairwise(spans)
        total_s += sum(min(after[0] - before[1], ready_s) for before, after in gaps)
    return total_s


def _spans(
    steps: Sequence[tuple[float, int]], level: int, until: float
) -> list[tuple[float, float]]:
    """When at least so many are needed."""
    spans: list[tuple[float, float]] = []
    began_at: float | None = None
    for at, needed in steps:
        if needed >= level and began_at is None:
            began_at = at
        elif needed < level and began_at is not None:
            spans.append((began_at, at))
            began_at = None
    if began_at is not None:
        spans.append((began_at, until))
    return spans
