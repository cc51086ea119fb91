"""How long the drill's requests took before the first strike and since. Pure."""

from collections.abc import Iterable, Iterator

import attrs

from trioroute.drills.evidence import Evidence, Request
from trioroute.drills.report.slowest import limit_s

__all__ = ["Latency", "latency_of", "latency_rows"]


@attrs.frozen
class Latency:
    """Quantiles of requests that were answered, from when they were due."""

    p50_s: float
    p99_s: float
    max_s: float


def latency_of(evidence: Evidence) -> tuple[Latency | None, Latency | None]:
    """Answered before the first strike, and since; None where nothing was.

    By when each was answered: what ran into the strike felt it.
    """
    first_s = min((strike.at_s for strike in evidence.strikes), default=evidence.lasted_s)
    ok = [request for request in evidence.requests if request.is_ok]
    return (
        _quantiles(request for request in ok if request.ended_s < first_s),
        _quantiles(request for request in ok if request.ended_s >= first_s),
    )


def latency_rows(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """When, and how long answers took then, in words."""
    before, since = latency_of(evidence)
    if before is not None:
        yield "before the strike", _words(before)
    if since is not None:
        yield "since the strike", _words(since) + _excess(evidence, since)


def _excess(evidence: Evidence, since: Latency) -> str:
    most_s = limit_s(evidence)
    if most_s is None or since.p99_s <= most_s:
        return ""
    return (
        f"; p99 is more than its longest wait and its service together ({_ms(most_s)}), "
        "which fails nothing"
    )


def _quantiles(answered: Iterable[Request]) -> Latency | None:
    took = sorted(request.took_s for request in answered)
    if not took:
        return None

    def share(part: float) -> float:
        return took[min(len(took) - 1, int(part * len(took)))]

    return Latency(share(0.5), share(0.99), took[-1])


def _words(took: Latency) -> str:
    return f"p50 {_ms(took.p50_s)}, p99 {_ms(took.p99_s)}, slowest {_ms(took.max_s)}"


def _ms(duration_s: float) -> str:
    return f"{1e3 * duration_s:,.0f} ms"
