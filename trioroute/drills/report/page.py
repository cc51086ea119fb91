"""A drill's report as one HTML page: no script, nothing from elsewhere, fit to print or to mail.

Pure. The page is well-formed XML too, so that a test can read it as strictly as it likes.
"""

import datetime as dt
from collections.abc import Iterator
from html import escape
from typing import Final

from trioroute.drills.catalogue import Drill
from trioroute.drills.evidence import End, Evidence
from trioroute.drills.judging import Finding, Judgement, Verdict
from trioroute.drills.report.latency import latency_rows
from trioroute.drills.report.picture import draw
from trioroute.drills.report.record import Record
from trioroute.drills.report.silence import longest_silence, silence_line
from trioroute.drills.report.slowest import judged_line, slowest_line, slowest_of
from trioroute.drills.report.timeline import timeline_of
from trioroute.drills.report.words import FORCED, MARKS, headline, lateness_line, story

__all__ = ["to_page"]

_CLASSES: Final = {Verdict.PASSED: "good", Verdict.FAILED: "bad", Verdict.UNKNOWN: "unsure"}

_STYLE: Final = """
:root { --ink:#1c2430; --soft:#5b6675; --paper:#fff; --line:#e3e7ec; --good:#1a7f4b;
  --bad:#c62f2f; --unsure:#9a6700; --ok:#3b9d6e; --excused:#e0a100; --dot:#4a6fa5;
  --fault:#f6c9c4; --healing:#fbeecb;
  --c0:#cfe0f5; --c1:#d9ecd9; --c2:#eadcf3; --c3:#f5e3cf; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6eaf0; --soft:#9aa6b5; --paper:#14181e;
  --line:#2c343e; --good:#4cc38a; --bad:#f2777a; --unsure:#e2b340; --ok:#3fa877;
  --dot:#86a9dc; --fault:#5a2b2b; --healing:#453a1c;
  --c0:#274261; --c1:#28482f; --c2:#45315a; --c3:#523d24; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--paper); color:var(--ink);
  font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif; }
main { max-width:62rem; margin:0 auto; padding:2rem 1.25rem 4rem; }
h1 { font-size:1.6rem; line-height:1.25; margin:.2rem 0 0; }
h2 { font-size:1.05rem; margin:2.2rem 0 .6rem; }
.meta, .foot { color:var(--soft); font-size:.9rem; }
.verdict { border-left:.4rem solid; padding:.7rem 1rem; margin:1.2rem 0; font-size:1.1rem;
  border-radius:.2rem; background:color-mix(in srgb, currentColor 8%, transparent); }
.good { color:var(--good); } .bad { color:var(--bad); } .unsure { color:var(--unsure); }
.verdict strong { display:block; font-size:1.35rem; }
.forced { border:.1rem dashed; padding:.7rem 1rem; margin:1.2rem 0; border-radius:.2rem; }
.forced ul { margin:.3rem 0; padding-left:1.2rem; color:var(--ink); }
.figures { display:grid; grid-template-columns:repeat(4, 1fr); gap:.8rem; padding:0;
  list-style:none; }
@media (max-width:40rem) { .figures { grid-template-columns:repeat(2, 1fr); } }
.figures li { border:1px solid var(--line); border-radius:.4rem;
  padding:.6rem .9rem; }
.figures b { display:block; font-size:1.5rem; white-space:nowrap;
  font-variant-numeric:tabular-nums; }
.figures span { color:var(--soft); font-size:.85rem; }
table { border-collapse:collapse; width:100%; font-size:.95rem; }
th { text-align:left; color:var(--soft); font-weight:500; }
th,td { padding:.4rem .6rem .4rem 0; border-bottom:1px solid var(--line); vertical-align:top; }
td.mark { width:1.6rem; font-weight:700; } td.goal { white-space:nowrap; color:var(--soft); }
figure { margin:1rem 0; overflow-x:auto; } svg { width:100%; min-width:40rem; height:auto; }
figcaption { color:var(--soft); font-size:.85rem; }
figcaption i { display:inline-block; width:.7rem; height:.7rem; margin:0 .3rem 0 .9rem; }
svg text { font:12px system-ui,sans-serif; fill:var(--soft); }
svg .tick { text-anchor:middle; } svg .label { text-anchor:end; font-size:10.5px; }
svg .name { text-anchor:middle; fill:var(--ink); } svg .said { fill:var(--bad); font-weight:600; }
svg .grid { stroke:var(--line); } svg .base { stroke:var(--soft); }
svg .strike { stroke:var(--bad); stroke-width:1.5; stroke-dasharray:4 3; }
svg .fault { fill:var(--fault); } svg .healing { fill:var(--healing); }
svg .ok { fill:var(--ok); } svg .excused { fill:var(--excused); } svg .failed { fill:var(--bad); }
svg .dot { fill:var(--dot); } svg circle.bad { fill:var(--bad); }
svg .c0 { fill:var(--c0); } svg .c1 { fill:var(--c1); } svg .c2 { fill:var(--c2); }
svg .c3 { fill:var(--c3); }
@media print { main { padding:0; } }
"""

_LEGEND: Final = (
    ("ok", "answered"),
    ("excused", "lost with what was hit"),
    ("bad", "failed"),
    ("fault", "the fault lasts"),
    ("healing", "until all was whole again"),
)


def to_page(drill: Drill, evidence: Evidence, judgement: Judgement, record: Record) -> str:
    """The page.

    Args:
        record: of `record_of`, for the figures.
    """
    began = dt.datetime.fromtimestamp(evidence.began_at, dt.UTC)
    kind = _CLASSES[judgement.verdict]
    said, _, rest = headline(drill, judgement).partition(". " if kind == "good" else ": ")
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"/>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        f"<title>Drill: {escape(drill.summary)}</title>",
        f"<style>{_STYLE}</style></head><body><main>",
        f'<p class="meta">trioroute {escape(str(record["version"]))} · failure drill · '
        f"{began:%Y-%m-%d %H:%M:%S} UTC · {escape(evidence.system)}</p>",
        f"<h1>{escape(_sentence(drill.summary))}</h1>",
        *_forced(evidence),
        f'<p class="verdict {kind}"><strong>{escape(said)}</strong>{escape(_sentence(rest))}</p>',
        *_observed(evidence),
        *_figures(evidence, judgement),
        "<h2>What happened</h2>",
        *(f"<p>{escape(line)}</p>" for line in story(drill, evidence, judgement)),
        *_picture(drill, evidence),
        "<h2>What a healthy system shows</h2>",
        f"<p>{escape(_sentence(drill.expects))}.</p>",
        "<h2>What was checked</h2>",
        *_table(judgement.findings),
        f'<p class="meta">On this machine {escape(lateness_line(evidence))}. A limit on time '
        "that is exceeded by less than such lateness may cost is not judged.</p>",
        *_latency(evidence),
        *_reasons(judgement),
        '<p class="foot">Goals are the project&#8217;s own, for three front-ends on one quiet '
        "machine. What to do when a check fails: chaos/RUNBOOKS.md.</p>",
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _forced(evidence: Evidence) -> Iterator[str]:
    """Above the verdict: it is about a system that was not fit for the drill."""
    if evidence.forced:
        yield f'<div class="forced unsure"><strong>{escape(FORCED)}</strong><ul>'
        for each in evidence.forced:
            yield f"<li>{escape(_sentence(each.text))}<br/>To do: {escape(each.fix)}</li>"
        yield "</ul>What failed may come of that, and not of the drill.</div>"


def _observed(evidence: Evidence) -> Iterator[str]:
    """Beside the verdict: nobody shall read a pass and miss how long somebody waited, and why."""
    if line := silence_line(evidence):
        yield f'<p class="unsure">{escape(line)}</p>'
    slowest = slowest_of(evidence)
    if slowest is not None and (line := slowest_line(evidence)):
        kind = "note" if slowest.is_explained else "unsure"
        yield f'<p class="{kind}">{escape(line)}</p>'


def _figures(evidence: Evidence, judgement: Judgement) -> Iterator[str]:
    counts = judgement.account.counts
    slowest = slowest_of(evidence)
    gaps = [strike.gap_s for strike in evidence.strikes if strike.gap_s is not None]
    backs = [strike.back_s for strike in evidence.strikes if strike.back_s is not None]
    silence, under_way = longest_silence(evidence.requests), counts[End.UNDER_WAY]
    shown = [
        (f"{judgement.account.sent:,}", "requests sent"),
        (f"{counts[End.OK]:,}", "answered"),
        (f"{counts[End.BROKEN] + counts[End.EXCUSED]:,}", "lost with what was hit"),
        (f"{counts[End.FAILED]:,}", "failed otherwise"),
        *([(f"{under_way:,}", "under way at the end")] if under_way else []),
        *([(f"{1e3 * max(gaps):,.0f} ms", "without a coordinator")] if gaps else []),
        *([(f"{max(backs):.1f} s", "until all was back")] if backs else []),
        *([(f"{1e3 * slowest.request.took_s:,.0f} ms", "slowest answer")] if slowest else []),
        *([(_span(silence.lasted_s), "longest without an answer")] if silence else []),
    ]
    yield '<ul class="figures">'
    yield from (f"<li><b>{escape(b)}</b><span>{escape(s)}</span></li>" for b, s in shown)
    yield "</ul>"


def _picture(drill: Drill, evidence: Evidence) -> Iterator[str]:
    yield f"<figure>{draw(timeline_of(drill, evidence), evidence.strikes)}"
    keys = "".join(
        f'<i style="background:var(--{colour})"></i>{escape(text)}'
        for colour, text in _LEGEND
        if colour != "fault" or drill.deed.is_lasting
    )
    yield f"<figcaption>{keys}</figcaption></figure>"


def _table(findings: tuple[Finding, ...]) -> Iterator[str]:
    yield "<table><thead><tr><th></th><th>Claim</th><th>Measured</th><th>Goal</th></tr></thead>"
    yield "<tbody>"
    for finding in findings:
        kind = _CLASSES[finding.verdict]
        yield (
            f'<tr><td class="mark {kind}">{MARKS[finding.verdict]}</td>'
            f"<td>{escape(_sentence(finding.claim))}</td><td>{escape(finding.measured)}</td>"
            f'<td class="goal">{escape(finding.goal)}</td></tr>'
        )
    yield "</tbody></table>"


def _latency(evidence: Evidence) -> Iterator[str]:
    rows = list(latency_rows(evidence))
    if rows:
        yield "<h2>How long answers took</h2><table><tbody>"
        for when, took in rows:
            yield f"<tr><td>{escape(_sentence(when))}</td><td>{escape(took)}</td></tr>"
        yield f'</tbody></table><p class="meta">{escape(judged_line(evidence))}</p>'


def _reasons(judgement: Judgement) -> Iterator[str]:
    if judgement.account.reasons:
        yield "<h2>Requests that were not answered with 200</h2><table><tbody>"
        for why, count in judgement.account.reasons.items():
            yield f"<tr><td>{count}</td><td>{escape(why)}</td></tr>"
        yield "</tbody></table>"


def _span(duration_s: float) -> str:
    return f"{1e3 * duration_s:.0f} ms" if duration_s < 1 else f"{duration_s:.1f} s"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
