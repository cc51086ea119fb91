"""How long nobody coordinated, by what replicas saw: the epoch in each request's slot. Pure."""

import bisect
from typing import Final

from chaos.history import Execution, History, Span

__all__ = ["coordinator_gaps", "epoch_of"]

#: Faults after which another one coordinates.
_LOSSES: Final = frozenset({"kill-coordinator", "kill-all"})

#: `x-trioroute-slot: replica/slot/epoch/number`; a replica's name has no slash.
_EPOCH_FROM_END: Final = -2


def epoch_of(execution: Execution) -> int:
    """The epoch under which a request was granted; 0 when it does not say."""
    words = execution.slot.split("/")
    is_whole = len(words) >= -_EPOCH_FROM_END and words[_EPOCH_FROM_END].isdigit()
    return int(words[_EPOCH_FROM_END]) if is_whole else 0


def coordinator_gaps(history: History) -> list[float]:
    """For each lost coordinator: until the first request began under a later epoch, seconds.

    An upper bound of the gap: the successor may have been there before somebody asked.
    """
    begun = sorted(history.executions, key=lambda execution: execution.begun_at)
    times = [execution.begun_at for execution in begun]
    newest: list[int] = []
    for execution in begun:
        newest.append(max(newest[-1] if newest else 0, epoch_of(execution)))
    gaps = (_gap(span, times, newest) for span in history.spans if span.kind in _LOSSES)
    return [gap for gap in gaps if gap is not None]


def _gap(span: Span, times: list[float], newest: list[int]) -> float | None:
    at = bisect.bisect_right(times, span.injected_at)
    if not 0 < at < len(times):
        return None
    later = bisect.bisect_right(newest, newest[at - 1], lo=at)
    return times[later] - span.injected_at if later < len(times) else None
