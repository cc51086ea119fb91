"""What a run came to: lines for people, JSON for machines."""

from collections import Counter, defaultdict
from typing import Any, Final

import attrs

from chaos.faults import kind_named
from chaos.history import History, Span
from chaos.judging.checkers import Violation, check
from chaos.judging.gaps import coordinator_gaps, office_gaps, quantile
from chaos.judging.levels import Levels
from chaos.judging.slopes import growths, p99_drift
from chaos.judging.validity import invalidity

__all__ = ["Judgement", "judge", "shown", "to_json"]

#: More than these of one rule say no more than that there are many.
_SHOWN_MAX: Final = 5


@attrs.frozen(kw_only=True)
class Judgement:
    """A history and what the checkers say of it."""

    history: History
    levels: Levels
    violations: tuple[Violation, ...]
    invalid: tuple[str, ...]

    @property
    def is_green(self) -> bool:
        """Whether the run proves what its scenario claims."""
        return not self.violations and not self.invalid

    @property
    def is_too_busy(self) -> bool:
        """Whether the machine was: the reason why it proves nothing, of which others follow."""
        return self.history.starved_share > self.levels.starved_share_max


def judge(history: History, levels: Levels) -> Judgement:
    """Check a history against its scenario's levels."""
    return Judgement(
        history=history,
        levels=levels,
        violations=tuple(check(history, levels)),
        invalid=tuple(invalidity(history, levels)),
    )


def shown(judgement: Judgement, *, replay: str = "") -> str:
    """The report in lines; the last one has the verdict and names the kinds that ran."""
    history = judgement.history
    lines = [f"{history.scenario} in {history.world}, seed {history.seed}"]
    lines += [
        f"SKIPPED fault={kind_named(name).row} kind={name} needs={needs}"
        for name, needs in sorted(history.skipped.items())
    ]
    if not history.has_executions:
        lines.append("SKIPPED I3, I4: replicas' own records are not on this machine")
        if history.world == "cluster":
            lines.append("SKIPPED nobody_dies: containers do not end on this machine")
    if history.world != "simulated" and None in (history.before, history.after):
        lines.append("SKIPPED I7: nobody counted what the system's processes hold in this world")
    lines += history.notes
    lines += _request_lines(history)
    lines += _fault_lines(history)
    lines += _gap_lines(history)
    lines += _growth_lines(history)
    counts: Counter[str] = Counter()
    for violation in judgement.violations:
        counts[violation.rule] += 1
        if counts[violation.rule] <= _SHOWN_MAX:
            when = "" if violation.at is None else f" at {violation.at:.2f} s"
            lines.append(f"VIOLATION {violation.rule}{when}: {violation.text}")
    for rule, count in counts.items():
        if count > _SHOWN_MAX:
            lines.append(f"VIOLATION {rule}: {count - _SHOWN_MAX} more")
    lines += [f"INVALID: {reason}" for reason in judgement.invalid]
    if not judgement.is_green and replay:
        lines.append(f"replay: {replay}")
    lines.append(_verdict(judgement))
    return "\n".join(lines)


def _request_lines(history: History) -> list[str]:
    if not history.requests:
        return []
    outcomes = Counter(
        "ok" if request.is_ok else request.reason or request.outcome.value
        for request in history.requests
    )
    times = [r.ended_at - r.sent_at for r in history.requests if r.is_ok and r.ended_at]
    text = ", ".join(f"{name} {count}" for name, count in outcomes.most_common())
    busy = f", {history.starved_share:.0%} of it on a machine too busy"
    if history.has_executions:
        busy += f"; {history.busy_share:.0%} of the slots' time in use"
    return [
        f"{len(history.requests)} requests; {history.rate:.0f}/s for"
        f" {history.duration_s:.0f} s{busy}",
        f"  {text}",
        f"  answered in p50 {quantile(times, 0.5) * 1000:.0f} ms, p99"
        f" {quantile(times, 0.99) * 1000:.0f} ms, max {max(times, default=0.0) * 1000:.0f} ms;"
        f" {len(history.executions)} executions,"
        f" {len({office.epoch for office in history.offices})} epochs seen",
    ]


def _fault_lines(history: History) -> list[str]:
    by_kind: defaultdict[str, list[float]] = defaultdict(list)
    last_felt: dict[str, str] = {}
    for span in history.spans:
        if span.is_felt and span.healed_at is not None and span.recovered_at is not None:
            by_kind[span.kind].append(span.recovered_at - span.healed_at)
            last_felt[span.kind] = span.felt
    lines = [
        f"  {name:17} × {len(took):3}  recovered p50 {quantile(took, 0.5):5.2f} s,"
        f" max {max(took):5.2f} s (goal {kind_named(name).recover_s:g}); felt: {last_felt[name]}"
        for name, took in sorted(by_kind.items())
    ]
    return lines + [
        f"UNFELT fault={kind_named(span.kind).row} kind={span.kind} target={span.target}"
        f" at={span.injected_at - history.began_at:.1f}: counts as not done"
        for span in _unfelt(history)
    ]


def _unfelt(history: History) -> list[Span]:
    """Faults that were done and that nobody felt."""
    return [span for span in history.spans if not span.is_felt and not span.failure]


def _gap_lines(history: History) -> list[str]:
    return [
        *_spread("nobody coordinated", office_gaps(history)),
        *_spread("first request under the next coordinator", coordinator_gaps(history)),
    ]


def _spread(what: str, gaps: list[float]) -> list[str]:
    if not gaps:
        return []
    return [
        f"  {what}, {len(gaps)} losses: p50 {quantile(gaps, 0.5):.2f} s,"
        f" p90 {quantile(gaps, 0.9):.2f} s, p99 {quantile(gaps, 0.99):.2f} s,"
        f" max {max(gaps):.2f} s"
    ]


def _growth_lines(history: History) -> list[str]:
    found = growths(history)
    lines = [
        f"  {growth.process:22} {growth.memory_bytes.per_h / (1 << 20):+6.2f} MiB/h,"
        f" {growth.descriptors.per_h:+5.2f} ± {growth.descriptors.doubt_per_h:.2f} descriptors/h"
        f" over {growth.watched_s / 60:.0f} min"
        for growth in found
        if growth.is_judged
    ]
    unjudged = sum(not growth.is_judged for growth in found)
    if unjudged:
        lines.append(f"  growth not judged of {unjudged} processes that lived too short for it")
    if found:
        lines.append(f"  p99 of the last third over the first: {p99_drift(history.requests):.2f}")
    return lines


def _verdict(judgement: Judgement) -> str:
    history = judgement.history
    done = [span.kind for span in history.spans if span.is_felt]
    kinds = sorted(set(done))
    if judgement.violations:
        word = f"FAILED, {len(judgement.violations)} violations"
    else:
        word = "INVALID" if judgement.invalid else "OK, 0 violations"
    ran = f" ({', '.join(kinds)})" if kinds else ""
    missing = f"{len(history.skipped)} kinds skipped, {len(_unfelt(history))} faults unfelt"
    return f"{word}: {len(done)} faults of {len(kinds)} kinds, {missing}{ran}"


def to_json(judgement: Judgement) -> dict[str, Any]:
    """The same for machines; requests only where something was wrong with them."""
    history = judgement.history
    odd = [r for r in history.requests if not r.is_ok and r.wants_answer]
    return {
        "scenario": history.scenario,
        "world": history.world,
        "seed": history.seed,
        "green": judgement.is_green,
        "violations": [attrs.asdict(violation) for violation in judgement.violations],
        "invalid": list(judgement.invalid),
        "skipped": history.skipped,
        "duration_s": history.duration_s,
        "starved_share": history.starved_share,
        "busy_share": history.busy_share,
        "requests": len(history.requests),
        "faults": [
            {**attrs.asdict(span), "front_ends": sorted(span.front_ends)} for span in history.spans
        ],
        "began_at": history.began_at,
        "starved": history.starved,
        "offices": [attrs.asdict(office) for office in history.offices],
        "epochs": sorted({office.epoch for office in history.offices}),
        "not_ok": [{**attrs.asdict(r), "outcome": r.outcome.value} for r in odd],
        "final": None if history.final is None else attrs.asdict(history.final),
        "samples": [
            [round(s.at - history.began_at, 1), s.process, s.memory_bytes, s.descriptors]
            for s in history.samples
        ],
        "growths": [attrs.asdict(growth) for growth in growths(history)],
        "before": None if history.before is None else attrs.asdict(history.before),
        "after": None if history.after is None else attrs.asdict(history.after),
    }
