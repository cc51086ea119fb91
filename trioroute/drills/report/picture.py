"""The timeline as a picture: SVG that stands in the page itself. Pure.

Three strips over one axis of seconds: who coordinated, how requests ended, how long the slowest of
each tenth of a second took. Colours come from the page's style sheet, so that it can be printed and
read in the dark.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from trioroute.drills.evidence import Strike
from trioroute.drills.report.timeline import BUCKET_S, Bucket, Office, Timeline

__all__ = ["draw"]

_WIDTH: Final = 960
_LEFT: Final = 104
_RIGHT: Final = 16
_OFFICE_TOP: Final = 34
_OFFICE_HEIGHT: Final = 26
_ENDS_TOP: Final = 84
_ENDS_HEIGHT: Final = 120
_TIMES_TOP: Final = 232
_TIMES_HEIGHT: Final = 90
_AXIS: Final = _TIMES_TOP + _TIMES_HEIGHT
_HEIGHT: Final = _AXIS + 40
#: A name fits into so many units of width at the size that the page uses.
_CHARACTER: Final = 7
_TICKS_MAX: Final = 12
_STEPS: Final = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)


def draw(timeline: Timeline, strikes: Sequence[Strike]) -> str:
    """The picture as one `svg` element."""
    x = _Scale(timeline.lasted_s)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'aria-label="What happened during the drill, by seconds">',
        *_axis(x),
        *_faults(strikes, x),
        *_offices(timeline.offices, x),
        *_ends(timeline.buckets, x),
        *_times(timeline.buckets, x),
        *_strikes(strikes, x),
        "</svg>",
    ]
    return "\n".join(parts)


class _Scale:
    """Seconds to units of width."""

    def __init__(self, lasted_s: float) -> None:
        self.lasted_s = max(lasted_s, BUCKET_S)
        self.unit = (_WIDTH - _LEFT - _RIGHT) / self.lasted_s

    def __call__(self, at_s: float) -> float:
        return round(_LEFT + min(max(at_s, 0.0), self.lasted_s) * self.unit, 1)


def _axis(x: _Scale) -> Iterator[str]:
    step = next((each for each in _STEPS if x.lasted_s / each <= _TICKS_MAX), _STEPS[-1])
    for number in range(int(x.lasted_s / step) + 1):
        at = x(number * step)
        yield f'<line class="grid" x1="{at}" x2="{at}" y1="{_OFFICE_TOP}" y2="{_AXIS}"/>'
        yield f'<text class="tick" x="{at}" y="{_AXIS + 16}">{number * step:g}</text>'
    middle = _LEFT + (_WIDTH - _LEFT - _RIGHT) / 2
    yield f'<text class="tick" x="{middle}" y="{_AXIS + 34}">seconds since the drill began</text>'


def _faults(strikes: Sequence[Strike], x: _Scale) -> Iterator[str]:
    """The time during which something was broken, behind everything else."""
    for strike in strikes:
        end_s = strike.at_s if strike.ended_s is None else strike.ended_s
        whole_s = end_s + (strike.back_s or 0.0)
        for kind, until_s in (("healing", whole_s), ("fault", end_s)):
            width = round(x(until_s) - x(strike.at_s), 1)
            yield (
                f'<rect class="{kind}" x="{x(strike.at_s)}" y="{_OFFICE_TOP}" '
                f'width="{width}" height="{_AXIS - _OFFICE_TOP}"/>'
            )


def _offices(offices: Sequence[Office], x: _Scale) -> Iterator[str]:
    yield _label(_OFFICE_TOP + _OFFICE_HEIGHT / 2, "coordinator")
    names = sorted({office.coordinator for office in offices})
    for office in offices:
        left, width = x(office.from_s), round(x(office.to_s) - x(office.from_s), 1)
        colour = names.index(office.coordinator) % 4
        said = f"{office.coordinator}, epoch {office.epoch}"
        fitting = (said, f"{office.coordinator}, {office.epoch}", office.coordinator)
        shown = next((text for text in fitting if len(text) * _CHARACTER < width), "")
        yield (
            f'<rect class="office c{colour}" x="{left}" y="{_OFFICE_TOP}" rx="3" '
            f'width="{max(width, 1)}" height="{_OFFICE_HEIGHT}">'
            f"<title>{escape(said)}</title></rect>"
        )
        yield (
            f'<text class="name" x="{left + width / 2:.1f}" '
            f'y="{_OFFICE_TOP + _OFFICE_HEIGHT / 2 + 4}">{escape(shown)}</text>'
        )


def _ends(buckets: Sequence[Bucket], x: _Scale) -> Iterator[str]:
    most = max((each.ok + each.excused + each.failed for each in buckets), default=0) or 1
    yield _label(_ENDS_TOP + 10, "requests")
    yield _label(_ENDS_TOP + 24, f"in 100 ms (≤ {most})")
    bottom = _ENDS_TOP + _ENDS_HEIGHT
    yield f'<line class="base" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>'
    width = max(round(BUCKET_S * x.unit - 0.4, 2), 0.6)
    for number, bucket in enumerate(buckets):
        below = 0
        for kind, count in (
            ("ok", bucket.ok),
            ("excused", bucket.excused),
            ("failed", bucket.failed),
        ):
            if count:
                height = round(count / most * _ENDS_HEIGHT, 1)
                top = round(bottom - below / most * _ENDS_HEIGHT - height, 1)
                yield (
                    f'<rect class="{kind}" x="{x(number * BUCKET_S)}" y="{top}" '
                    f'width="{width}" height="{height}"/>'
                )
                below += count


def _times(buckets: Sequence[Bucket], x: _Scale) -> Iterator[str]:
    """On a scale of powers of ten, from a millisecond on: a stall is what is to be seen."""
    slowest_s = max((each.slowest_s for each in buckets), default=0.0)
    decades = max(1, math.ceil(math.log10(max(slowest_s, 1e-3) / 1e-3) - 1e-9))
    yield _label(_TIMES_TOP - 8, "slowest answer")
    for decade in range(decades + 1):
        y = round(_AXIS - decade / decades * _TIMES_HEIGHT, 1)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        value = 10**decade
        yield _label(y + 4, f"{value} ms" if value < 1000 else f"{value // 1000} s")
    for number, bucket in enumerate(buckets):
        if bucket.slowest_s > 0:
            share = max(0.0, math.log10(max(bucket.slowest_s, 1e-3) / 1e-3)) / decades
            at = x((number + 0.5) * BUCKET_S)
            y = round(_AXIS - share * _TIMES_HEIGHT, 1)
            kind = "bad" if bucket.failed else "dot"
            yield f'<circle class="{kind}" cx="{at}" cy="{y}" r="2"/>'


def _strikes(strikes: Sequence[Strike], x: _Scale) -> Iterator[str]:
    for strike in strikes:
        at = x(strike.at_s)
        yield f'<line class="strike" x1="{at}" x2="{at}" y1="18" y2="{_AXIS}"/>'
        anchor = "end" if at > _WIDTH * 0.75 else "start"
        shift = -4 if anchor == "end" else 4
        yield (
            f'<text class="said" text-anchor="{anchor}" x="{at + shift}" y="26">'
            f"{escape(strike.target)}</text>"
        )


def _label(y: float, text: str) -> str:
    return f'<text class="label" x="{_LEFT - 8}" y="{y}">{escape(text)}</text>'
