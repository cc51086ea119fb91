"""The slowest answer: what it is held against, and what of the drill explains it. Pure.

A drill judges that requests are answered, not how fast: a wait may be what a healthy system does
about a fault. So the slowest is never left without a word: either the fault's time explains it, or
it is said that nothing does.
"""

import enum
from collections.abc import Iterator
from typing import Final

import attrs

from trioroute.drills.evidence import Evidence, Request, Strike
from trioroute.drills.report.silence import foretold, vacant_s

__all__ = ["Cause", "Phase", "Slowest", "judged_line", "limit_s", "slowest_line", "slowest_of"]

#: Shorter than this nobody needs to be told: an office may change hands for so long (the goals).
_TOLD_S: Final = 0.5
#: Nor where a request takes a good part of that anyway.
_TIMES_SERVICE: Final = 4


class Phase(enum.Enum):
    """When a request was due, seen from the strike that is nearest to it."""

    BEFORE = "before"  # nothing was broken yet
    FAULT = "fault"  # while a fault lasted
    HEALING = "healing"  # until all was whole again
    AFTER = "after"  # all was whole again


class Cause(enum.Enum):
    """What explains how long an answer took."""

    USUAL = "usual"  # it was not slow
    FORETOLD = "foretold"  # slots were too few, as was said beforehand
    HELD = "held"  # the victim of a lasting fault had its connection
    VACANT = "vacant"  # nobody coordinated for most of it
    BUSY = "busy"  # the machine was too busy to tell
    QUEUE = "queue"  # it waited while not all was whole, or behind those that had
    UNKNOWN = "unknown"  # nothing that the drill did


@attrs.frozen(kw_only=True)
class Slowest:
    """The slowest of all answers.

    Attributes:
        strike: the one that it is told from; None where nothing was hit.
        why: of the cause, in words; empty when it was not slow.
    """

    request: Request
    phase: Phase
    strike: Strike | None
    cause: Cause
    why: str = ""

    @property
    def is_explained(self) -> bool:
        """Whether something that the drill did explains it, or nothing has to."""
        return self.cause not in (Cause.UNKNOWN, Cause.BUSY)


def slowest_of(evidence: Evidence) -> Slowest | None:
    """The slowest answer and what explains it; None without answers."""
    answered = [request for request in evidence.requests if request.is_ok]
    if not answered:
        return None
    request = max(answered, key=lambda each: each.took_s)
    strike = _nearest(evidence, request)
    cause, why = (Cause.USUAL, "")
    if request.took_s > _usual_s(evidence):
        cause, why = _explain(evidence, request)
    phase = _phase(evidence, request, strike)
    return Slowest(request=request, phase=phase, strike=strike, cause=cause, why=why)


def limit_s(evidence: Evidence) -> float | None:
    """What a request's longest wait and its service come to; None where nobody knows its wait."""
    probe = evidence.probe
    return None if probe.queue_wait_s is None else probe.queue_wait_s + probe.service_s


def judged_line(evidence: Evidence) -> str:
    """What is judged of requests, and against which figure: one sentence."""
    said = "Judged is that no request fails (0 is the limit), not how long an answer takes"
    wait_s = evidence.probe.queue_wait_s
    if wait_s is None:
        return f"{said}."
    return (
        f"{said}: the endpoint lets a request wait {_ms(wait_s)} for a slot, and whoever is "
        "refused after that has failed."
    )


def slowest_line(evidence: Evidence) -> str:
    """When the slowest answer was due and why it took so long; empty where it was not slow."""
    slowest = slowest_of(evidence)
    if slowest is None or slowest.cause is Cause.USUAL:
        return ""
    request = slowest.request
    said = f"The slowest answer took {_ms(request.took_s)}. Due at second {request.due_s:.1f}"
    when = _when(slowest, is_only=len(evidence.strikes) == 1)
    why = slowest.why + "".join(_parts(evidence, request))
    return f"{said} ({when}), {why}." if when else f"{said}, {why}."


def _parts(evidence: Evidence, request: Request) -> Iterator[str]:
    """Where its time went, as far as that is known."""
    is_late = request.unsent_s > request.took_s / 10
    if is_late:
        yield (
            f"; {_ms(request.unsent_s)} of it passed before it was sent, as all of the drill's own "
            "connections were in use"
        )
    most_s = limit_s(evidence)
    if most_s is not None:
        is_over = request.took_s - request.unsent_s > most_s
        yield (
            f"; {'the rest' if is_late else 'that'} is {'more than' if is_over else 'within'} its "
            f"longest wait and its service together ({_ms(most_s)})"
            f"{', which fails nothing' if is_over else ''}"
        )


def _explain(evidence: Evidence, request: Request) -> tuple[Cause, str]:
    from_s, to_s, took_s = request.due_s, request.ended_s, request.took_s
    first_s = min((strike.at_s for strike in evidence.strikes), default=evidence.lasted_s)
    if to_s >= first_s:
        if why := foretold(evidence, from_s, to_s):
            return Cause.FORETOLD, f"it waited for a slot: {why}"
        for strike in evidence.strikes:
            if _is_held(strike, request):
                text = f"it went out on a connection of {strike.target}'s and waited until that was"
                return Cause.HELD, f"{text} well again"
        if (vacant := vacant_s(evidence, from_s, to_s)) > took_s / 2:
            return Cause.VACANT, f"it waited, and for {_ms(vacant)} of that nobody coordinated"
    if evidence.lateness_s > took_s / 2:
        late = f"the drill's own timers were up to {evidence.lateness_s:.1f} s late"
        return Cause.BUSY, f"it came on a machine too busy to tell why ({late})"
    if to_s >= first_s and (behind := _queued_behind(evidence, request)) is not None:
        until_s = min(_whole_s(evidence, behind), evidence.lasted_s)
        where = "in the queue that formed then"
        if _is_lasting(behind):
            where = f"for {behind.target} to go on, or {where}"
        whole = f"all was whole again at second {until_s:.1f}"
        return Cause.QUEUE, f"it waited {where} ({whole})"
    why = "it was slow for no reason that the drill knows: nothing that it did explains that"
    return Cause.UNKNOWN, f"{why} (see `trioroute events`)"


def _queued_behind(evidence: Evidence, request: Request) -> Strike | None:
    """The strike after which slow requests began that it is one of, without a pause between them.

    None when the first of them was slow before that, or came when all was whole.
    """
    usual_s = _usual_s(evidence)
    from_s = request.due_s
    slow = [r for r in evidence.requests if r.took_s > usual_s and r.due_s <= request.due_s]
    for each in sorted(slow, key=lambda r: r.ended_s, reverse=True):
        if each.ended_s >= from_s:
            from_s = min(from_s, each.due_s)
    for strike in reversed(evidence.strikes):
        if strike.at_s - usual_s <= from_s <= _whole_s(evidence, strike):
            return strike
    return None


def _is_held(strike: Strike, request: Request) -> bool:
    """Whether it was under way on a connection of the victim's while a fault lasted."""
    is_then = request.due_s < (strike.ended_s or strike.at_s) and request.ended_s > strike.at_s
    return is_then and strike.ports is not None and request.port in strike.ports


def _is_lasting(strike: Strike) -> bool:
    return strike.ended_s is not None and strike.ended_s > strike.at_s


def _usual_s(evidence: Evidence) -> float:
    return max(_TOLD_S, _TIMES_SERVICE * evidence.probe.service_s)


def _whole_s(evidence: Evidence, strike: Strike) -> float:
    """When all was whole again after it; the drill's end where that was not seen."""
    if strike.ended_s is None or strike.back_s is None:
        return evidence.lasted_s
    return strike.ended_s + strike.back_s


def _nearest(evidence: Evidence, request: Request) -> Strike | None:
    """The last strike before its answer; the first one where it was answered before that."""
    before = [strike for strike in evidence.strikes if strike.at_s <= request.ended_s]
    return before[-1] if before else next(iter(evidence.strikes), None)


def _phase(evidence: Evidence, request: Request, strike: Strike | None) -> Phase:
    if strike is None or request.due_s < strike.at_s:
        return Phase.BEFORE
    if request.due_s <= (strike.ended_s or strike.at_s):
        return Phase.FAULT
    return Phase.HEALING if request.due_s <= _whole_s(evidence, strike) else Phase.AFTER


def _when(slowest: Slowest, *, is_only: bool) -> str:
    """When it was due, seen from the strike."""
    strike, due_s = slowest.strike, slowest.request.due_s
    if strike is None:
        return ""
    apart = f"{abs(due_s - strike.at_s):.1f} s"
    which = "the strike" if is_only else f"{strike.target} was hit"
    if slowest.phase is Phase.BEFORE:
        return f"{apart} before {which}"
    since = f"{apart} after {which}"
    return {
        Phase.FAULT: f"{since}, while the fault lasted",
        Phase.HEALING: f"{since}, before all was whole again",
        Phase.AFTER: f"{since}, when all was whole again",
    }[slowest.phase]


def _ms(duration_s: float) -> str:
    return f"{1e3 * duration_s:,.0f} ms"
