"""The longest time in which nobody was answered though somebody waited, and why. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

import attrs

from trioroute.drills.evidence import Evidence, Request, Strike

__all__ = ["Silence", "foretold", "longest_silence", "silence_line", "vacant_s"]

#: Shorter than this nobody needs to be told; or than two requests take one after the other.
_TOLD_S: Final = 1.0
#: What was said beforehand explains a silence that began so long before its time: a request is
#: missed from when it was due.
_EARLY_S: Final = 1.0


@attrs.frozen
class Silence:
    """From when the first waited, or the last answer came, until the next answer."""

    from_s: float
    to_s: float

    @property
    def lasted_s(self) -> float:
        """How long."""
        return self.to_s - self.from_s


def longest_silence(requests: Sequence[Request]) -> Silence | None:
    """The longest time without an answer while a request waited for one; None without requests."""
    if not requests:
        return None
    by_end = sorted(requests, key=lambda request: request.ended_s)
    ends = [request.ended_s for request in by_end]
    # Of all that end at this place or later, the one that has waited longest.
    oldest = list(accumulate((r.due_s for r in reversed(by_end)), min))[::-1]
    answers = [request.ended_s for request in by_end if request.is_ok]
    longest = Silence(0.0, 0.0)
    for last_s, next_s in pairwise([float("-inf"), *answers, ends[-1]]):
        later = bisect_right(ends, last_s)
        if later < len(ends):
            found = Silence(max(last_s, oldest[later]), next_s)
            longest = max(longest, found, key=lambda silence: silence.lasted_s)
    return longest


def silence_line(evidence: Evidence) -> str:
    """What clients noticed of it and why, one sentence; empty where it is not worth one."""
    silence = longest_silence(evidence.requests)
    if silence is None or silence.lasted_s < max(_TOLD_S, 2 * evidence.probe.service_s):
        return ""
    said = f"For {silence.lasted_s:.1f} s, from second {silence.from_s:.1f} on, nobody was answered"
    if why := foretold(evidence, silence.from_s, silence.to_s):
        return f"{said}: {why}."
    if (vacant := vacant_s(evidence, silence.from_s, silence.to_s)) > silence.lasted_s / 2:
        return f"{said}; for {vacant:.1f} s of that nobody coordinated."
    if evidence.lateness_s > silence.lasted_s / 2:
        late = f"the drill's own timers were up to {evidence.lateness_s:.1f} s late"
        return f"{said}; the machine was too busy to tell why ({late})."
    return f"{said}, and the drill knows no reason: see `trioroute events`."


def foretold(evidence: Evidence, from_s: float, to_s: float) -> str:
    """How a wait of this time was explained beforehand (`shortage`); empty where it was not."""
    for mind in evidence.minds:
        for strike in evidence.strikes:
            is_then = from_s >= strike.at_s - _EARLY_S and to_s <= strike.at_s + mind.over_s
            if is_then and evidence.probe.endpoint in mind.endpoints:
                return (
                    f"slots that {strike.target} held may stay unused for {mind.back_s:.1f} s, "
                    "as was said beforehand"
                )
    return ""


def vacant_s(evidence: Evidence, from_s: float, to_s: float) -> float:
    """For how long of this time nobody coordinated after a strike; the longest of all strikes."""
    return max((_vacant_s(strike, from_s, to_s) for strike in evidence.strikes), default=0.0)


def _vacant_s(strike: Strike, from_s: float, to_s: float) -> float:
    until_s = strike.at_s + (strike.gap_s or 0.0)
    return max(0.0, min(until_s, to_s) - max(strike.at_s, from_s))
