"""A drill's report for programs: JSON whose schema `chaos/RUNBOOKS.md` documents. Pure."""

import datetime as dt
from typing import Final

import attrs
import msgspec

from trioroute.drills.catalogue import Drill
from trioroute.drills.evidence import Evidence, Strike, Whole
from trioroute.drills.judging import Judgement, Verdict
from trioroute.drills.report.latency import Latency, latency_of
from trioroute.drills.report.silence import longest_silence
from trioroute.drills.report.slowest import limit_s, slowest_line, slowest_of
from trioroute.drills.report.timeline import BUCKET_S, timeline_of

__all__ = ["SCHEMA", "Record", "record_of", "to_json"]

#: Fields are added, never changed; a change of meaning makes the next number.
SCHEMA: Final = "trioroute.drill/1"

#: Plain values, ready for JSON.
Record = dict[str, object]


def record_of(drill: Drill, evidence: Evidence, judgement: Judgement, *, version: str) -> Record:
    """Everything that was found out, as plain maps, lists and scalars.

    Args:
        version: of trioroute.
    """
    timeline = timeline_of(drill, evidence)
    return {
        "schema": SCHEMA,
        "drill": drill.name,
        "summary": drill.summary,
        "proves": drill.proves,
        "verdict": judgement.verdict.value,
        "system": evidence.system,
        "version": version,
        "began_at": _iso(evidence.began_at),
        "lasted_s": _rounded(evidence.lasted_s),
        "interrupted": evidence.interrupted,
        "forced": [objection.text for objection in evidence.forced],
        "precheck": {
            "verdict": (Verdict.FAILED if evidence.forced else Verdict.PASSED).value,
            "objections": [
                {"text": objection.text, "remedy": objection.fix} for objection in evidence.forced
            ],
        },
        "minds": [mind.text for mind in evidence.minds],
        "lateness_ms": _ms(evidence.lateness_s),
        "findings": [
            {**attrs.asdict(finding), "verdict": finding.verdict.value}
            for finding in judgement.findings
        ],
        "requests": _requests(evidence, judgement),
        "strikes": [_strike(strike) for strike in evidence.strikes],
        "before": _whole(evidence.before),
        "after": None if evidence.after is None else _whole(evidence.after),
        "timeline": {
            "bucket_s": BUCKET_S,
            "ok": [bucket.ok for bucket in timeline.buckets],
            "excused": [bucket.excused for bucket in timeline.buckets],
            "failed": [bucket.failed for bucket in timeline.buckets],
            "slowest_ms": [_ms(bucket.slowest_s) for bucket in timeline.buckets],
            "coordinators": [
                {
                    "name": office.coordinator,
                    "epoch": office.epoch,
                    "from_s": _rounded(office.from_s),
                    "to_s": _rounded(office.to_s),
                }
                for office in timeline.offices
            ],
        },
    }


def to_json(record: Record) -> bytes:
    """As a file's content."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def _requests(evidence: Evidence, judgement: Judgement) -> Record:
    before, since = latency_of(evidence)
    return {
        "endpoint": evidence.probe.endpoint,
        "rate_per_s": _rounded(evidence.probe.rate_per_s),
        "why_not": evidence.probe.why_not,
        "sent": judgement.account.sent,
        **{end.value: count for end, count in judgement.account.counts.items()},
        "foretold": judgement.account.foretold,
        "reasons": judgement.account.reasons,
        "before": _times(before),
        "since": _times(since),
        "silence": _silence(evidence),
        "slowest": _slowest(evidence),
    }


def _silence(evidence: Evidence) -> Record | None:
    found = longest_silence(evidence.requests)
    if found is None:
        return None
    return {
        "from_s": _rounded(found.from_s),
        "to_s": _rounded(found.to_s),
        "lasted_ms": _ms(found.lasted_s),
    }


def _slowest(evidence: Evidence) -> Record | None:
    found = slowest_of(evidence)
    if found is None:
        return None
    most_s, request = limit_s(evidence), found.request
    return {
        "due_s": _rounded(request.due_s),
        "ended_s": _rounded(request.ended_s),
        "took_ms": _ms(request.took_s),
        "unsent_ms": _ms(request.unsent_s),
        "limit_ms": None if most_s is None else _ms(most_s),
        "phase": found.phase.value,
        "target": "" if found.strike is None else found.strike.target,
        "cause": found.cause.value,
        "explained": found.is_explained,
        "why": slowest_line(evidence),
    }


def _times(took: Latency | None) -> Record:
    if took is None:
        return {"p50_ms": None, "p99_ms": None, "max_ms": None}
    return {"p50_ms": _ms(took.p50_s), "p99_ms": _ms(took.p99_s), "max_ms": _ms(took.max_s)}


def _strike(strike: Strike) -> Record:
    return {
        "target": strike.target,
        "at_s": _rounded(strike.at_s),
        "ended_s": None if strike.ended_s is None else _rounded(strike.ended_s),
        "was_coordinator": strike.was_coordinator,
        "epoch": strike.epoch,
        "successor": strike.successor,
        "successor_epoch": strike.successor_epoch,
        "gap_ms": None if strike.gap_s is None else _ms(strike.gap_s),
        "back_s": None if strike.back_s is None else _rounded(strike.back_s),
        "connections_held": None if strike.ports is None else len(strike.ports),
    }


def _whole(whole: Whole) -> Record:
    return {
        "ready": list(whole.ready),
        "coordinator": whole.coordinator,
        "epoch": whole.epoch,
        "replicas": dict(whole.replicas),
        "slots": dict(whole.slots),
        "busy": whole.busy,
        "queued": whole.queued,
    }


def _iso(unix_s: float) -> str:
    return dt.datetime.fromtimestamp(unix_s, dt.UTC).isoformat(timespec="seconds")


def _ms(duration_s: float) -> float:
    return round(1e3 * duration_s, 1)


def _rounded(value: float) -> float:
    return round(value, 3)
