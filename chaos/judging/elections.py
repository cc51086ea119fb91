"""Whether faults of the office end as they should: a successor in time, and no storm. Pure.

Epochs are numbered by the log without gaps, so those that nobody saw begin are counted too.
"""

from collections.abc import Iterator

from chaos.faults import Target, kind_named
from chaos.history import History, Office, Span
from chaos.judging.levels import Levels
from chaos.vocabulary import SILENT_S

__all__ = ["elections_are_few", "successor_comes"]

_Complaints = Iterator[tuple[str, float | None]]


def successor_comes(history: History, levels: Levels) -> _Complaints:
    """A coordinator that is silent for long, or gone, has a successor in time."""
    if not levels.has_goals:
        return
    begun = _begun(history)
    for span in history.spans:
        until = span.injected_at + SILENT_S
        before = _office_before(begun, span.injected_at)
        if before is None or not _is_silenced(span, before):
            continue
        if _was_starved(history, span.injected_at, until):
            continue
        if not any(span.injected_at < at <= until for at, _ in begun):
            text = f"{span.kind} on {span.target}: nobody coordinates after epoch {before.epoch}"
            yield f"{text} within {SILENT_S:g} s", span.injected_at


def elections_are_few(history: History, levels: Levels) -> _Complaints:
    """What makes messages late, or rare, makes one election at most: two epochs, and no storm."""
    if not levels.has_goals:
        return
    begun = _begun(history)
    for span in history.spans:
        over_at = span.recovered_at or span.healed_at
        most = kind_named(span.kind).epochs_max
        if most is None or over_at is None or _was_starved(history, span.injected_at, over_at):
            continue
        before, after = _office_before(begun, span.injected_at), _office_before(begun, over_at)
        count = after.epoch - before.epoch if before and after else 0
        if count > most:
            text = f"{span.kind} on {span.target}: {count} epochs began, at most {most}"
            yield text, span.injected_at


def _begun(history: History) -> list[tuple[float, Office]]:
    """When each epoch began, in order: by its owner's account, or when it was first told of."""
    first: dict[int, tuple[float, Office]] = {}
    for office in history.offices:
        known = first.get(office.epoch)
        if office.began_at is not None and (known is None or known[1].began_at is None):
            first[office.epoch] = office.began_at, office
        elif known is None:
            first[office.epoch] = office.at, office
    return sorted(first.values(), key=lambda each: each[1].epoch)


def _office_before(begun: list[tuple[float, Office]], at: float) -> Office | None:
    """The newest one that had begun by then."""
    return next((office for began_at, office in reversed(begun) if began_at <= at), None)


def _is_silenced(span: Span, office: Office) -> bool:
    """Whether its coordinator was heard no more for so long that another one is owed."""
    kind = kind_named(span.kind)
    after_s = kind.successor_after_s
    if after_s is None or not span.is_felt:
        return False
    if kind.target is not Target.COORDINATOR and office.name not in span.front_ends:
        return False
    return span.healed_at is None or span.healed_at - span.injected_at >= after_s


def _was_starved(history: History, begins_at: float, ends_at: float) -> bool:
    return any(begins <= ends_at and ends >= begins_at for begins, ends in history.starved)
