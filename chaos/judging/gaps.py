"""How long nobody coordinated: by the successor's own account, and by what replicas saw. Pure."""

import bisect
from collections.abc import Sequence
from typing import Final

from chaos.history import Execution, History, Span

__all__ = ["coordinator_gaps", "epoch_of", "office_gaps", "quantile", "undisturbed_office_gaps"]

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

    Mostly longer than nobody coordinated: slots that holders had keep their epoch, so this one
    begins when somebody needs a slot that he has not.
    """
    begun = sorted(history.executions, key=lambda execution: execution.begun_at)
    times = [execution.begun_at for execution in begun]
    newest: list[int] = []
    for execution in begun:
        newest.append(max(newest[-1] if newest else 0, epoch_of(execution)))
    gaps = (_gap(span, times, newest) for span in history.spans if span.kind in _LOSSES)
    return [gap for gap in gaps if gap is not None]


def office_gaps(history: History) -> list[float]:
    """For each lost coordinator: until its successor's office began, seconds.

    From before the fault was done, so longer by the choice of whom to hit.
    """
    return [until - since for since, until in _vacancies(history)]


def undisturbed_office_gaps(history: History) -> list[float]:
    """Those of the office gaps in which no process waited for a core, seconds."""
    return [
        until - since
        for since, until in _vacancies(history)
        if not any(begins <= until and ends >= since for begins, ends in history.starved)
    ]


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of all lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _vacancies(history: History) -> list[tuple[float, float]]:
    """For each lost coordinator: when, and when its successor's office began."""
    begun = sorted({each.began_at for each in history.offices if each.began_at is not None})
    lost = [span.injected_at for span in history.spans if span.kind in _LOSSES]
    later = [(at, bisect.bisect_right(begun, at)) for at in lost]
    return [(at, begun[index]) for at, index in later if index < len(begun)]


def _gap(span: Span, times: list[float], newest: list[int]) -> float | None:
    at = bisect.bisect_right(times, span.injected_at)
    if not 0 < at < len(times):
        return None
    later = bisect.bisect_right(newest, newest[at - 1], lo=at)
    return times[later] - span.injected_at if later < len(times) else None
