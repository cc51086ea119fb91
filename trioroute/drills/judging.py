"""What the evidence of a drill shows: a list of findings, and one verdict.

Pure. Each finding is one of the promises in `faults-and-security` that can be seen from outside.
"""

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from trioroute.drills.catalogue import Deed, Drill, Victim
from trioroute.drills.evidence import End, Evidence, Look, Request, Strike
from trioroute.drills.wholeness import lost

__all__ = ["Account", "Finding", "Judgement", "Verdict", "account_for", "end_of", "judge"]

#: Timers of ours that were later than this mean that the machine was too busy to judge times.
_LATE_MAX_S: Final = 0.25
#: An office changes hands in so many steps, one after the other and in several processes (votes
#: are asked for, given, the office is entered in the log); each may be as late as our own timers.
_LATE_STEPS: Final = 3
#: Fewer requests than this say nothing about those that nobody sent.
_REQUESTS_MIN: Final = 10
#: A request that ran into the strike may end this long after it without being excused for long.
_IN_FLIGHT_S: Final = 0.25
_EXAMPLES_MAX: Final = 3
#: A holder's report is void when its lease of two seconds has ended.
_REPORT_MAX_S: Final = 2.0
#: A shorter fault is over before anybody's heartbeat is late.
_FELT_MIN_S: Final = 0.5
#: What had arrived before a cut was complete may be acted on for so long.
_CUT_TAKES_S: Final = 0.1
#: What is refused for want of slots.
_NO_SLOT: Final = "queue-timeout"
#: What a front-end says of requests whose time it let pass.
_OUT_OF_TIME: Final = ("answer-timeout", _NO_SLOT)


class Verdict(enum.Enum):
    """How something came out."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "could not judge"


@attrs.frozen
class Finding:
    """One thing judged.

    Attributes:
        id: for programs; never changes its meaning.
        claim: what was to be shown.
        measured: what was seen, in words with units.
        goal: what it is held against; empty where there is no figure.
    """

    id: str
    verdict: Verdict
    claim: str
    measured: str
    goal: str = ""


@attrs.frozen(kw_only=True)
class Account:
    """Every request's end; the counts sum to the number sent.

    Attributes:
        foretold: of the excused, those that were refused for want of slots where that was said
            beforehand.
    """

    counts: dict[End, int]
    reasons: dict[str, int]
    foretold: int = 0

    @property
    def sent(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    @property
    def lost(self) -> int:
        """Those that went with what was hit."""
        return self.counts[End.BROKEN] + self.counts[End.EXCUSED] - self.foretold


@attrs.frozen(kw_only=True)
class Judgement:
    """All findings, and what they come to."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    account: Account


def judge(drill: Drill, evidence: Evidence, *, gap_goal_s: float | None = None) -> Judgement:
    """Hold what was seen against what the drill is to show.

    Args:
        gap_goal_s: instead of the drill's own.
    """
    goal_s = drill.gap_goal_s if gap_goal_s is None else gap_goal_s
    account = account_for(drill, evidence)
    findings = (
        *_judge_requests(drill, evidence, account),
        *_judge_limits(evidence),
        *_judge_office(drill, evidence, goal_s),
        *_judge_felt(drill, evidence),
        *_judge_recovery(drill, evidence),
        *_judge_drill(evidence),
    )
    verdicts = {finding.verdict for finding in findings}
    if Verdict.FAILED in verdicts:
        verdict = Verdict.FAILED
    elif Verdict.UNKNOWN in verdicts:
        verdict = Verdict.UNKNOWN
    else:
        verdict = Verdict.PASSED
    return Judgement(verdict=verdict, findings=findings, account=account)


def account_for(drill: Drill, evidence: Evidence) -> Account:
    """What became of all requests, and why those that are not ok are not."""
    counts = dict.fromkeys(End, 0)
    reasons: Counter[str] = Counter()
    foretold = 0
    for request in evidence.requests:
        end = end_of(drill, evidence.strikes, request)
        counts[end] += 1
        foretold += end is End.EXCUSED and any(_is_foretold(s, request) for s in evidence.strikes)
        if end not in (End.OK, End.UNDER_WAY):
            why = f"{request.status} {request.reason}" if request.status else request.reason
            reasons[f"{end.value}: {why.strip() or 'no reason given'}"] += 1
    return Account(counts=counts, reasons=dict(reasons.most_common()), foretold=foretold)


def end_of(drill: Drill, strikes: Sequence[Strike], request: Request) -> End:
    """What became of one request, by the faults of its time."""
    if request.is_ok:
        return End.OK
    if request.is_under_way:
        return End.UNDER_WAY
    for strike in strikes:
        if request.ended_s < strike.at_s:
            continue
        if not request.status and drill.breaks_connections and _was_held(strike, request):
            return End.BROKEN
        if _is_foretold(strike, request):
            return End.EXCUSED
        ended_s = strike.at_s if strike.ended_s is None else strike.ended_s
        in_time = request.due_s <= ended_s + drill.excused_s
        if in_time and request.status and request.reason in drill.reasons:
            return End.EXCUSED
        if in_time and _was_held(strike, request) and _is_its_own_answer(drill, request):
            return End.EXCUSED
    return End.FAILED


def _is_its_own_answer(drill: Drill, request: Request) -> bool:
    """Whether the victim may say that on a connection of its own.

    Cut off, it serves on for a while, then refuses: an answer or a break. Frozen, its clocks run
    on: what it had in hand may be over its time when it goes on, though the answer has come.
    """
    if drill.deed is Deed.FREEZE:
        return bool(request.status) and request.reason in _OUT_OF_TIME
    return drill.deed is Deed.CUT


def _was_held(strike: Strike, request: Request) -> bool:
    if strike.ports is None:
        # Nobody can tell whose it was: only what was in flight then can have been lost.
        return request.due_s <= strike.at_s + _IN_FLIGHT_S
    return request.port in strike.ports


def _is_foretold(strike: Strike, request: Request) -> bool:
    """Whether it was refused for want of slots where that was said beforehand (`shortage`)."""
    ended_s = strike.at_s if strike.ended_s is None else strike.ended_s
    in_time = strike.at_s <= request.ended_s and request.due_s <= ended_s + strike.short_s
    return strike.short_s > 0 and in_time and request.reason == _NO_SLOT


def _judge_requests(drill: Drill, evidence: Evidence, account: Account) -> Iterator[Finding]:
    claim = "no request failed that the fault does not excuse"
    if len(evidence.requests) < _REQUESTS_MIN:
        why = evidence.probe.why_not or f"only {len(evidence.requests)} requests were sent"
        yield Finding("requests", Verdict.UNKNOWN, claim, why, "0 failed")
        return
    counts = account.counts
    excused, foretold = account.lost, account.foretold
    failed = [r for r in evidence.requests if end_of(drill, evidence.strikes, r) is End.FAILED]
    said = Counter(f"{r.status or 'broken'} {r.reason}".strip() for r in failed)
    shown = "; ".join(f"{n} × {why}" for why, n in said.most_common(_EXAMPLES_MAX))
    measured = f"{counts[End.OK]:,} of {account.sent:,} answered, {counts[End.FAILED]:,} failed"
    if excused:
        measured += f", {excused} lost with what was hit"
    if under_way := counts[End.UNDER_WAY]:
        measured += f", {under_way} still under way when it was interrupted"
    if foretold:
        measured += f", {foretold} refused for want of slots, as was said beforehand"
    silenced = _silenced(drill, evidence)
    if silenced:
        measured += f"; {silenced}"
    verdict = _passed(not failed and not silenced)
    if under_way and not failed and not silenced:
        verdict = Verdict.UNKNOWN
    measured += f" ({shown})" if shown else ""
    yield Finding("requests", verdict, claim, measured, "0 failed")
    if drill.victim is Victim.REPLICA and drill.deed is Deed.KILL:
        # It worked on at most its slots' worth; each may be sent once more before it is given up.
        yield from _judge_replica_losses(evidence, counts[End.EXCUSED])


def _silenced(drill: Drill, evidence: Evidence) -> str:
    """When nobody at all was answered although one front-end only was hit; empty when never.

    Each refusal may have its excuse; that all were refused while others could serve has none,
    unless it was said beforehand that slots would be too few.
    """
    if not drill.deed.is_lasting or drill.victim is Victim.REPLICA:
        return ""
    for strike in evidence.strikes:
        from_s = strike.at_s + (strike.gap_s or 0.0) + drill.excused_s
        to_s = strike.at_s if strike.ended_s is None else strike.ended_s
        due = [r for r in evidence.requests if from_s <= r.due_s and r.ended_s <= to_s]
        if len(due) >= _REQUESTS_MIN and not strike.short_s and not any(r.is_ok for r in due):
            return f"nobody was answered from {from_s:.1f} to {to_s:.1f} s, though others could"
    return ""


def _judge_replica_losses(evidence: Evidence, lost: int) -> Iterator[Finding]:
    ready = sum(evidence.before.replicas.values())
    slots = sum(evidence.before.slots.values())
    if ready:
        most = 2 * -(-slots // ready)
        claim = "a killed replica costs no more than it had in hand"
        yield Finding(
            "replica-losses", _passed(lost <= most), claim, f"{lost} requests lost", f"≤ {most}"
        )


def _judge_limits(evidence: Evidence) -> Iterator[Finding]:
    """Holders' reports are up to a lease old: a slot that changes hands may be in two for a look.

    So only what lasts is held against the system; a replica's own record would show what does not.
    """
    claim = "no replica had more requests than slots"
    telling = [look for look in evidence.looks if look.busy is not None]
    over = _lasting(telling)
    passing = sum(bool(look.over) for look in telling)
    if over:
        yield Finding("over-commit", Verdict.FAILED, claim, "; ".join(over[:_EXAMPLES_MAX]), "0")
    elif not telling:
        yield Finding(
            "over-commit", Verdict.UNKNOWN, claim, "no coordinator said how busy replicas were", "0"
        )
    else:
        seen = f"; in {passing} of them a slot that changed hands counted twice" if passing else ""
        measured = f"0 in {len(telling)} looks{seen}"
        yield Finding("over-commit", Verdict.PASSED, claim, measured, "0")


def _lasting(looks: Sequence[Look]) -> list[str]:
    """What every look of one front-end said for longer than a report may be old."""
    since: dict[tuple[str, str], float] = {}
    found: dict[str, None] = {}
    for look in looks:
        now = {(look.reporter, text) for text in look.over}
        since = {key: at for key, at in since.items() if key[0] != look.reporter or key in now} | {
            key: look.at_s for key in now if key not in since
        }
        found |= {
            text: None
            for (reporter, text), at in since.items()
            if reporter == look.reporter and look.at_s - at > _REPORT_MAX_S
        }
    return list(found)


def _judge_office(drill: Drill, evidence: Evidence, goal_s: float | None) -> Iterator[Finding]:
    claim = "no two front-ends coordinated in the same epoch"
    shared = _shared_epochs(evidence.looks)
    seen = len({look.epoch for look in evidence.looks if look.epoch})
    measured = (
        "; ".join(shared) or f"{seen} epoch{'' if seen == 1 else 's'}, each with one coordinator"
    )
    verdict = _passed(not shared)
    if not seen:
        verdict, measured = Verdict.UNKNOWN, "no front-end ever said who coordinates"
    yield Finding("one-coordinator", verdict, claim, measured)
    if not drill.moves_office:
        return
    # A cut that parted nobody moves nothing; `felt` says that it was none.
    moved = [
        strike
        for strike in evidence.strikes
        if strike.was_coordinator and not _is_unfelt_cut(drill, strike)
    ]
    for strike in moved:
        yield _judge_epoch(strike, evidence.interrupted)
        if strike.own_epoch:
            yield _judge_own_epoch(strike, evidence.lateness_s)
        if goal_s is not None:
            yield _judge_gap(strike, goal_s, evidence.lateness_s)
    if not moved:
        text = "the coordinator was never hit, or did not feel it"
        yield Finding("epoch", Verdict.UNKNOWN, "another front-end took over", text)


def _shared_epochs(looks: Sequence[Look]) -> list[str]:
    owners: dict[int, set[str]] = {}
    for look in looks:
        if look.epoch:
            owners.setdefault(look.epoch, set()).add(look.coordinator)
    return [
        f"{' and '.join(sorted(names))} coordinated in epoch {epoch}"
        for epoch, names in sorted(owners.items())
        if len(names) > 1
    ]


def _judge_epoch(strike: Strike, interrupted: str) -> Finding:
    claim = "another front-end took over, in a higher epoch"
    if interrupted and not strike.successor:
        return Finding(
            "epoch", Verdict.UNKNOWN, claim, "nobody else coordinated before the drill ended early"
        )
    if not strike.successor or strike.successor == strike.target:
        return Finding(
            "epoch", Verdict.FAILED, claim, "nobody else coordinated while the drill looked"
        )
    rose = strike.successor_epoch > strike.epoch
    text = f"{strike.target}, epoch {strike.epoch} → {strike.successor}, {strike.successor_epoch}"
    if not rose:
        text = f"the epoch did not rise: {text}"
    return Finding("epoch", _passed(rose), claim, text)


def _judge_own_epoch(strike: Strike, lateness_s: float) -> Finding:
    """An office needs a majority's votes: who is cut off from it can win none.

    What had arrived before the cut may still be acted on, on a busy machine later than on others.
    """
    claim = "whoever was cut off won no office"
    text = f"{strike.target} held epoch {strike.own_epoch} while it was cut off"
    if strike.own_epoch_at_s is None:
        return Finding("own-epoch", Verdict.UNKNOWN, claim, f"{text}; it did not say since when")
    after_s = strike.own_epoch_at_s - strike.at_s
    if after_s <= _CUT_TAKES_S:
        text = f"{strike.target} won epoch {strike.own_epoch} before the cut was complete"
        return Finding("own-epoch", Verdict.PASSED, claim, text)
    text += f", and won it {_seconds(after_s)} after the cut"
    if after_s <= _CUT_TAKES_S + lateness_s:
        text += f", on a machine so busy that the drill itself was {_seconds(lateness_s)} late"
        return Finding("own-epoch", Verdict.UNKNOWN, claim, text)
    return Finding("own-epoch", Verdict.FAILED, claim, text)


def _judge_felt(drill: Drill, evidence: Evidence) -> Iterator[Finding]:
    """A fault that nobody noticed shows nothing of how it is borne."""
    claim = "the fault was felt"
    if not drill.deed.is_lasting:
        return
    for strike in evidence.strikes:
        lasted_s = None if strike.ended_s is None else strike.ended_s - strike.at_s
        if lasted_s is not None and lasted_s < _FELT_MIN_S:
            text = f"it lasted {_seconds(lasted_s)}: let it last longer with --lasts"
            yield Finding("felt", Verdict.UNKNOWN, claim, text, f"≥ {_seconds(_FELT_MIN_S)}")
        elif drill.deed is not Deed.FREEZE and strike.was_felt is None and not strike.successor:
            text = f"the drill ended early, before it was seen whether {strike.target} felt it"
            yield Finding("felt", Verdict.UNKNOWN, claim, text)
        elif drill.deed is Deed.FILL and not strike.was_felt:
            text = f"{strike.target} wrote nothing that needed room: its log keeps a megabyte of it"
            how = "let it last longer (--lasts), and change much, or restart it, meanwhile"
            yield Finding("felt", Verdict.UNKNOWN, claim, f"{text}; {how}")
        elif _is_unfelt_cut(drill, strike):
            text = f"{strike.target} and the others went on hearing each other: nothing was cut"
            yield Finding("felt", Verdict.UNKNOWN, claim, text)
        elif lasted_s is not None:
            text = f"by {strike.target}, for {_seconds(lasted_s)}"
            yield Finding("felt", Verdict.PASSED, claim, text)


def _is_unfelt_cut(drill: Drill, strike: Strike) -> bool:
    return drill.deed is Deed.CUT and strike.was_felt is False and not strike.successor


def _judge_gap(strike: Strike, goal_s: float, lateness_s: float) -> Finding:
    claim = "somebody coordinated again in time"
    goal = f"≤ {_seconds(goal_s)}"
    if strike.gap_s is None:
        return Finding("gap", Verdict.UNKNOWN, claim, "the successor did not say since when", goal)
    verdict, busy = _in_time(strike.gap_s, goal_s, lateness_s)
    measured = f"{_seconds(strike.gap_s)} without a coordinator{busy}"
    return Finding("gap", verdict, claim, measured, goal)


def _in_time(took_s: float, goal_s: float, lateness_s: float) -> tuple[Verdict, str]:
    """A limit on time, and why it cannot be judged where the machine was too busy for it.

    What exceeds it by no more than the machine's own lateness may cost is nobody's fault.
    """
    excess_s = took_s - goal_s
    if excess_s <= 0:
        return Verdict.PASSED, ""
    if lateness_s > _LATE_MAX_S or excess_s <= _LATE_STEPS * lateness_s:
        text = f", on a machine so busy that the drill itself was {_seconds(lateness_s)} late"
        return Verdict.UNKNOWN, text
    return Verdict.FAILED, ""


def _judge_recovery(drill: Drill, evidence: Evidence) -> Iterator[Finding]:
    claim = "all was whole again: front-ends ready, replicas and slots back"
    goal = f"≤ {_seconds(drill.back_goal_s)}"
    late = [strike for strike in evidence.strikes if strike.back_s is None]
    slowest_s = max((s.back_s for s in evidence.strikes if s.back_s is not None), default=None)
    missing = _missing(evidence)
    if late or slowest_s is None:
        names = ", ".join(strike.target for strike in late) or "nothing was hit"
        verdict = Verdict.FAILED if late and not evidence.interrupted else Verdict.UNKNOWN
        gone = [text for strike in late for text in strike.missing]
        unseen = f"{names} was not waited for" if late and evidence.interrupted else names
        measured = f"not whole in time: {'; '.join(gone)}" if gone else unseen
        yield Finding("recovery", verdict, claim, measured, goal)
    elif missing:
        yield Finding("recovery", Verdict.FAILED, claim, "; ".join(missing), goal)
    else:
        verdict, busy = _in_time(slowest_s, drill.back_goal_s, evidence.lateness_s)
        yield Finding("recovery", verdict, claim, f"after {_seconds(slowest_s)}{busy}", goal)


def _missing(evidence: Evidence) -> list[str]:
    """What was there before and is not at the end."""
    after, before = evidence.after, evidence.before
    if after is None:
        return ["nobody answered at the end"]
    found = list(lost(before, after))
    # Others may be sending requests: only what is more than before is left over from the drill.
    if None not in (after.busy, before.busy) and (after.busy or 0) > (before.busy or 0):
        found.append(f"{after.busy} slots still busy, {before.busy} before")
    if None not in (after.queued, before.queued) and (after.queued or 0) > (before.queued or 0):
        found.append(f"{after.queued} requests still wait, {before.queued} before")
    return found


def _judge_drill(evidence: Evidence) -> Iterator[Finding]:
    claim = "whatever the drill broke was mended"
    text = (
        "nothing is left of it"
        if evidence.is_undone
        else "something is left: run `trioroute drill undo`"
    )
    yield Finding("undone", _passed(evidence.is_undone), claim, text)
    if evidence.interrupted:
        claim = "the drill went to its end"
        yield Finding("complete", Verdict.UNKNOWN, claim, f"it ended early: {evidence.interrupted}")


def _passed(is_so: bool) -> Verdict:
    return Verdict.PASSED if is_so else Verdict.FAILED


def _seconds(duration_s: float) -> str:
    return f"{duration_s * 1e3:.0f} ms" if duration_s < 1 else f"{duration_s:.1f} s"
