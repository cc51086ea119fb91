"""What happened when: requests by tenths of a second, and who coordinated from when to when.

Pure.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from trioroute.drills.catalogue import Drill
from trioroute.drills.evidence import End, Evidence, Look, Strike
from trioroute.drills.judging import end_of

__all__ = ["BUCKET_S", "Bucket", "Office", "Timeline", "timeline_of"]

BUCKET_S: Final = 0.1


@attrs.frozen(kw_only=True)
class Bucket:
    """Requests that ended in one tenth of a second, by their end; and the slowest of them."""

    ok: int = 0
    excused: int = 0
    failed: int = 0
    slowest_s: float = 0.0


@attrs.frozen(kw_only=True)
class Office:
    """Who coordinated for some time."""

    coordinator: str
    epoch: int
    from_s: float
    to_s: float


@attrs.frozen(kw_only=True)
class Timeline:
    """The whole drill."""

    lasted_s: float
    buckets: tuple[Bucket, ...]
    offices: tuple[Office, ...]


def timeline_of(drill: Drill, evidence: Evidence) -> Timeline:
    """The evidence by time."""
    count = max(1, math.ceil(evidence.lasted_s / BUCKET_S))
    buckets = [Bucket() for _ in range(count)]
    for request in evidence.requests:
        at = min(count - 1, max(0, int(request.ended_s / BUCKET_S)))
        end = end_of(drill, evidence.strikes, request)
        if end is End.UNDER_WAY:
            continue
        was = buckets[at]
        buckets[at] = Bucket(
            ok=was.ok + (end is End.OK),
            excused=was.excused + (end in (End.BROKEN, End.EXCUSED)),
            failed=was.failed + (end is End.FAILED),
            slowest_s=max(was.slowest_s, request.took_s),
        )
    return Timeline(
        lasted_s=evidence.lasted_s,
        buckets=tuple(buckets),
        offices=tuple(_offices(evidence.looks, evidence.strikes, evidence.lasted_s)),
    )


def _offices(looks: Sequence[Look], strikes: Sequence[Strike], lasted_s: float) -> Iterator[Office]:
    """Each epoch from its beginning to the strike that ended it, or to the next one."""
    first: dict[int, Look] = {}
    for look in looks:
        if look.epoch:
            first.setdefault(look.epoch, look)
    began = {epoch: look.at_s for epoch, look in first.items()}
    if began:
        began[min(began)] = 0.0
    for strike in strikes:
        if strike.gap_s is not None and strike.successor_epoch in began:
            began[strike.successor_epoch] = strike.at_s + strike.gap_s
    ended = {s.epoch: s.at_s for s in strikes if s.was_coordinator and s.successor}
    epochs = sorted(began)
    for epoch, after in zip(epochs, [*epochs[1:], 0], strict=False):
        until = ended.get(epoch, began.get(after, lasted_s))
        yield Office(
            coordinator=first[epoch].coordinator,
            epoch=epoch,
            from_s=began[epoch],
            to_s=max(began[epoch], min(until, began.get(after, lasted_s))),
        )
