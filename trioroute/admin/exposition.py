"""Writes metric families in Prometheus' text format or OpenMetrics.

Our own and not prometheus_client's `generate_latest`: 120 deployments (11,900 lines) cost that
61 ms of CPU, in OpenMetrics (what Prometheus asks for) 112 ms, beside the consensus of the same
process; this costs 8 ms. prometheus_client stays the judge: its parsers read it all in the tests.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

import attrs

from trioroute.telemetry.histograms import Distribution
from trioroute.telemetry.names import Metric

__all__ = ["Family", "HistogramFamily", "content_type", "encode", "is_openmetrics_wanted"]

_OPENMETRICS: Final = "application/openmetrics-text"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
#: In a help text a double quote stands for itself (text format 0.0.4).
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


@attrs.frozen
class Family:
    """A counter or gauge: label values in the metric's order, and a value."""

    metric: Metric
    samples: Iterable[tuple[Sequence[str], float]]


@attrs.frozen
class HistogramFamily:
    """A histogram: label values and a distribution over the buckets up to each bound."""

    metric: Metric
    bounds_s: Sequence[float]
    samples: Iterable[tuple[Sequence[str], Distribution]]


def is_openmetrics_wanted(accept: str) -> bool:
    """Whether the scraper's Accept header names OpenMetrics, as Prometheus' does."""
    return _OPENMETRICS in accept


def content_type(*, is_openmetrics: bool) -> str:
    """The media type of what `encode` returns."""
    if is_openmetrics:
        return f"{_OPENMETRICS}; version=1.0.0; charset=utf-8"
    return "text/plain; version=0.0.4; charset=utf-8"


def encode(families: Iterable[Family | HistogramFamily], *, is_openmetrics: bool) -> bytes:
    """All families as one body."""
    lines: list[str] = []
    for family in families:
        metric = family.metric
        # A counter's family is named without `_total` in OpenMetrics and with it before.
        named = metric.name + ("_total" if metric.kind == "counter" and not is_openmetrics else "")
        explained = metric.help.translate(_ESCAPES if is_openmetrics else _HELP_ESCAPES)
        lines += (f"# HELP {named} {explained}", f"# TYPE {named} {metric.kind}")
        if isinstance(family, HistogramFamily):
            _write_histogram(family, lines)
        else:
            name = metric.name + ("_total" if metric.kind == "counter" else "")
            for values, value in family.samples:
                labels = _labels(metric, values)
                lines.append(f"{name}{{{labels}}} {value}" if labels else f"{name} {value}")
    if is_openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _write_histogram(family: HistogramFamily, lines: list[str]) -> None:
    name = family.metric.name
    edges = [f'le="{bound!r}"' for bound in map(float, family.bounds_s)] + ['le="+Inf"']
    for values, distribution in family.samples:
        labels = _labels(family.metric, values)
        start = f"{name}_bucket{{{labels}," if labels else f"{name}_bucket{{"
        end = f"{{{labels}}}" if labels else ""
        below = list(accumulate(distribution.counts))
        lines += [f"{start}{edge}}} {n}" for edge, n in zip(edges, below, strict=True)]
        lines += (f"{name}_count{end} {below[-1]}", f"{name}_sum{end} {distribution.sum_s!r}")


def _labels(metric: Metric, values: Sequence[str]) -> str:
    return ",".join(
        f'{label}="{value.translate(_ESCAPES)}"'
        for label, value in zip(metric.labels, values, strict=True)
    )
