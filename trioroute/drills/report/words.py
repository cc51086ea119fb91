"""A drill's result in words: the summary on the terminal, and the sentences of the page. Pure."""

from collections.abc import Iterator
from typing import Final

from trioroute.drills.catalogue import Deed, Drill
from trioroute.drills.evidence import End, Evidence, Strike
from trioroute.drills.judging import Finding, Judgement, Verdict
from trioroute.drills.report.latency import latency_rows
from trioroute.drills.report.offices import office_lines
from trioroute.drills.report.silence import silence_line
from trioroute.drills.report.slowest import judged_line, slowest_line

__all__ = ["FORCED", "MARKS", "headline", "lateness_line", "story", "summary_lines"]

#: In front of a line, as in `doctor`.
MARKS: Final = {Verdict.PASSED: "√", Verdict.FAILED: "×", Verdict.UNKNOWN: "?"}

#: Above everything else, where it was so.
FORCED: Final = "Forced: the checks before the drill failed, and --force overruled them"

_HEADLINES: Final = {
    Verdict.PASSED: "Passed",
    Verdict.FAILED: "Failed",
    Verdict.UNKNOWN: "Could not judge",
}

#: In front of what must not be overlooked, as in `doctor`.
_ATTENTION: Final = "‼"

#: What was done to the one that stands in the middle.
_DID: Final = {
    Deed.KILL: "killed {}",
    Deed.END: "asked {} to end",
    Deed.FREEZE: "froze {}",
    Deed.CUT: "cut off {}",
    Deed.FILL: "filled the disk of {}",
}


def headline(drill: Drill, judgement: Judgement) -> str:
    """The result in one line."""
    said = _HEADLINES[judgement.verdict]
    if judgement.verdict is Verdict.PASSED:
        return f"{said}. {drill.proves}"
    # What was seen speaks for itself; the claims stand in the list of checks.
    bad = [_seen(finding) for finding in judgement.findings if finding.verdict is judgement.verdict]
    return f"{said}: {'; '.join(bad)}"


def _seen(finding: Finding) -> str:
    """What was measured, with the limit that it is held against where there is one."""
    is_limit = finding.goal.startswith(("≤", "≥"))
    return f"{finding.measured} (goal {finding.goal})" if is_limit else finding.measured


def story(drill: Drill, evidence: Evidence, judgement: Judgement) -> Iterator[str]:
    """What happened, sentence by sentence, for somebody who was not there."""
    yield f"This drill {drill.does}."
    for strike in evidence.strikes:
        yield _deed(drill, strike)
        if strike.successor:
            gap = "" if strike.gap_s is None else f" {_span(strike.gap_s)} later"
            yield f"{strike.successor} took over{gap} (epoch {strike.successor_epoch})."
        if strike.back_s is not None:
            since = " after it was mended" if drill.deed.is_lasting else " later"
            yield f"Everything was back {_span(strike.back_s)}{since}."
        elif strike.missing:
            yield f"It was not whole again when the drill gave up: {'; '.join(strike.missing)}."
        else:
            yield _unseen(evidence)
    yield from office_lines(evidence)
    # What the checks had against it stands above everything else.
    objected = {objection.text for objection in evidence.forced}
    yield from (
        f"Beforehand it was said that {mind.text}."
        for mind in evidence.minds
        if mind.text not in objected
    )
    counts = judgement.account.counts
    if judgement.account.sent:
        account, under_way = judgement.account, counts[End.UNDER_WAY]
        foretold = f"{_were(account.foretold)} refused for want of slots, as was said beforehand, "
        yield (
            f"Of {account.sent:,} requests that the drill sent meanwhile, "
            f"{_were(counts[End.OK])} answered, {_were(account.lost)} lost with what was hit, "
            f"{foretold if account.foretold else ''}and "
            f"{counts[End.FAILED]:,} failed without such an excuse"
            f"{f'; {_were(under_way)} still under way then' if under_way else ''}."
        )
    elif evidence.probe.why_not:
        yield f"No requests were sent: {evidence.probe.why_not}."
    if evidence.interrupted:
        yield f"The drill ended early: {evidence.interrupted}."


def _deed(drill: Drill, strike: Strike) -> str:
    """What was done to whom, and when."""
    role = ", which coordinated the system" if strike.was_coordinator else ""
    lasted = ""
    if drill.deed.is_lasting and strike.ended_s is not None:
        lasted = f"; that lasted {_span(strike.ended_s - strike.at_s)}"
    did = _DID[drill.deed].format(strike.target)
    return f"After {strike.at_s:.1f} s the drill {did}{role}{lasted}."


def _were(count: int) -> str:
    return f"{count:,} {'was' if count == 1 else 'were'}"


def _unseen(evidence: Evidence) -> str:
    if not evidence.interrupted:
        return "It was not seen to come back."
    if evidence.is_undone:
        return "The drill ended early: whatever was broken is mended, and was not waited for."
    return "The drill ended early, and something is left: run `trioroute drill undo`."


def summary_lines(drill: Drill, evidence: Evidence, judgement: Judgement) -> Iterator[str]:
    """What the terminal shows at the end."""
    if evidence.forced:
        yield f"{_ATTENTION} {FORCED}"
        yield from (f"    × {objection.text}" for objection in evidence.forced)
    width = max((len(finding.claim) for finding in judgement.findings), default=0)
    for finding in judgement.findings:
        goal = f"  (goal {finding.goal})" if finding.goal else ""
        yield f"{MARKS[finding.verdict]} {finding.claim:<{width}}  {finding.measured}{goal}"
    for why, count in judgement.account.reasons.items():
        yield f"    {count} × {why}"
    for when, took in latency_rows(evidence):
        yield f"    answers {when}: {took}"
    yield from (f"    {line}" for line in office_lines(evidence))
    if silence := silence_line(evidence):
        yield f"    {silence}"
    if slowest := slowest_line(evidence):
        yield f"    {slowest}"
        yield f"    {judged_line(evidence)}"
    yield f"    {lateness_line(evidence)}"
    said = f"drill {drill.name}: {judgement.verdict.value.upper()} in {evidence.lasted_s:.0f} s"
    yield said + "".join(f", {circumstance}" for circumstance in _circumstances(evidence))


def _circumstances(evidence: Evidence) -> Iterator[str]:
    """What whoever reads the last line alone must not miss."""
    if evidence.forced:
        yield "forced on a system that was not fit for it"
    if evidence.interrupted:
        mended = "whatever was broken is mended" if evidence.is_undone else "run `drill undo`"
        yield f"ended early ({mended})"


def lateness_line(evidence: Evidence) -> str:
    """How busy the machine was, by the drill's own timers."""
    return f"the drill's own timers were at most {_span(evidence.lateness_s)} late"


def _span(duration_s: float) -> str:
    return f"{1e3 * duration_s:.0f} ms" if duration_s < 1 else f"{duration_s:.1f} s"
