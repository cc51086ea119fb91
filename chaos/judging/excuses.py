"""What a fault, or a machine without a free core, excuses: how late, how failed, how unjudged.

An excuse is as narrow as can be told from outside: a kind of fault, its target and its time.
"""

from collections import defaultdict
from typing import Final

from chaos.faults import Kind, Reach, Target, kind_named
from chaos.history import History, Outcome, Request, Span

__all__ = ["Excuses", "is_late", "is_severed", "overlaps", "was_disturbed"]

#: What waiting for a core leads to when it lasts; anything else is not the machine's doing.
_STARVED_REASONS: Final = frozenset(
    {"queue-timeout", "queue-full", "answer-timeout", "head-timeout", "body-timeout"}
)

#: I1 allows a request its deadline and this.
_LATE_S: Final = 1.0

#: What had queued up while processes waited for a core is worked off so soon after.
_WORKED_OFF_S: Final = 2.0

#: A client sees the end of its connection a moment before or after the fault is noted.
_NOTED_S: Final = 0.25


def is_late(request: Request, *, by_s: float) -> bool:
    """Whether it took longer than it may.

    Args:
        by_s: by more than so many seconds.
    """
    if request.ended_at is None or request.outcome is Outcome.LEFT:
        return False
    return request.ended_at - request.sent_at > request.deadline_s + _LATE_S + by_s


def _over_at(span: Span) -> float:
    """When the last of its errors may come."""
    healed_at = span.recovered_at or span.healed_at
    return float("inf") if healed_at is None else healed_at + kind_named(span.kind).settle_s


def overlaps(span: Span, begins_at: float, ends_at: float) -> bool:
    """Whether a fault, or what it left, was there between these times of the history's clock."""
    return begins_at <= _over_at(span) and ends_at >= span.injected_at - _NOTED_S


def was_disturbed(history: History, begins_at: float, ends_at: float) -> bool:
    """Whether any fault, or what it left, was there between these times."""
    return any(overlaps(span, begins_at, ends_at) for span in history.spans)


def _was_starved(history: History, request: Request) -> bool:
    """Whether it only took too long, while or soon after processes waited for a core."""
    if not (_is_slowness(request) or _is_cut_for_time(request, history.request_timeout_s)):
        return False
    ended_at = float("inf") if request.ended_at is None else request.ended_at
    return any(
        begins - _NOTED_S <= ended_at and request.sent_at <= ends + _WORKED_OFF_S
        for begins, ends in history.starved
    )


def _is_slowness(request: Request) -> bool:
    """Whether it only took too long, by the router's account or its client's."""
    if request.outcome is Outcome.ANSWERED:
        return request.is_ok or request.reason in _STARVED_REASONS
    return request.outcome in (Outcome.HUNG, Outcome.REFUSED)


def _is_cut_for_time(request: Request, timeout_s: float) -> bool:
    """Whether an answer broke off when its time was over: who has sent a head can say no more."""
    if request.outcome is not Outcome.BROKEN or request.first_byte_at is None:
        return False
    return request.ended_at is not None and request.ended_at - request.sent_at >= timeout_s


def is_severed(history: History, life: str, at: float) -> bool:
    """Whether a fault has cut the replica off from requests that it still works on.

    Args:
        life: of the replica's process, as executions name it.
        at: on the history's clock.
    """
    return any(
        kind_named(span.kind).severs and _is_life_of(span, life) and overlaps(span, at, at)
        for span in history.spans
    )


def _is_life_of(span: Span, life: str) -> bool:
    """Whether a life is of the fault's target: `NAME-NUMBER` of processes, `POD.UID` of pods."""
    name, *_ = span.target.replace(",", " ").split() or ("",)
    return bool(name) and life.startswith((f"{name}-", f"{name}."))


class Excuses:
    """What the faults of one history, or a machine without a free core, excuse."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._lives: defaultdict[int, set[str]] = defaultdict(set)
        for execution in history.executions:
            self._lives[execution.number].add(execution.life)

    def allow(self, request: Request) -> bool:
        """Whether some fault of that time allows this request to end as it did."""
        if _was_starved(self._history, request):
            return True
        ended_at = float("inf") if request.ended_at is None else request.ended_at
        return any(
            self._allows(span, request)
            for span in self._history.spans
            if overlaps(span, request.sent_at, ended_at)
        )

    def delayed_s(self, request: Request) -> float:
        """For how long faults, or a machine without a free core, may have held up a late request.

        Returns:
            seconds; without end where processes waited for a core.
        """
        ended_at = float("inf") if request.ended_at is None else request.ended_at
        if not is_late(request, by_s=0.0):
            return 0.0
        if _was_starved(self._history, request):
            return float("inf")
        return sum(
            min(_over_at(span), ended_at) - max(span.injected_at - _NOTED_S, request.sent_at)
            for span in self._history.spans
            if overlaps(span, request.sent_at, ended_at) and self._allows(span, request)
        )

    def _allows(self, span: Span, request: Request) -> bool:
        kind = kind_named(span.kind)
        if kind.brings and request.client not in kind.brings:
            return False
        if kind.target is Target.REPLICA and not self._met(span, request):
            return False
        if _is_refused(request):
            return request.reason in kind.reasons
        return _reaches(kind, span, request)

    def _met(self, span: Span, request: Request) -> bool:
        """Whether a request had to do with the replica that a fault was done to.

        It ran there, or it was refused and ran nowhere: then the router tells why. What ran on
        others alone, or broke off without having run, broke off for another reason.
        """
        if not self._history.has_executions:
            return True
        lives = self._lives.get(request.number)
        if not lives:
            return _is_refused(request)
        return any(_is_life_of(span, life) for life in lives)


def _is_refused(request: Request) -> bool:
    return request.outcome is Outcome.ANSWERED and not request.is_ok


def _reaches(kind: Kind, span: Span, request: Request) -> bool:
    """Whether a fault may break, or hold up, this request's connection."""
    if request.outcome is Outcome.UNREACHED:
        return kind.reach is Reach.ANY_CLIENT and kind.target is not Target.REPLICA
    if kind.reach is Reach.ITS_CLIENTS:
        # Where all share one socket nobody can say whose connection it was.
        return not request.front_end or request.front_end in span.front_ends
    return kind.reach is Reach.ANY_CLIENT
