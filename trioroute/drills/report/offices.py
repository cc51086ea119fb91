"""Changes of office that nothing that the drill did explains, in words. Pure."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from trioroute.drills.evidence import Evidence, Look, Strike

__all__ = ["office_lines"]

#: Timers that were so late can make a group believe its coordinator dead, seconds.
_BUSY_S: Final = 0.1


def office_lines(evidence: Evidence) -> Iterator[str]:
    """A sentence for each change of office that no strike explains.

    A strike explains every epoch between its victim's own and its successor's. Whoever is hit
    without holding the office explains none: that it stays is what such a drill expects.
    """
    busy = (
        f", on a machine so busy that the drill's own timers were {1e3 * evidence.lateness_s:.0f} "
        "ms late"
        if evidence.lateness_s >= _BUSY_S
        else ""
    )
    for was, now in pairwise(_offices(evidence)):
        if any(_explains(strike, was, now) for strike in evidence.strikes):
            continue
        who = (
            f"{now.coordinator} lost the office and won it again"
            if now.coordinator == was.coordinator
            else f"{now.coordinator} took the office over from {was.coordinator}"
        )
        yield (
            f"At second {now.at_s:.1f} {who} (epoch {was.epoch} → {now.epoch}), and nothing that "
            f"the drill did explains it{busy}: see `trioroute events` and the front-ends' logs."
        )


def _offices(evidence: Evidence) -> Sequence[Look]:
    """The first look at each epoch, from the one before the drill on."""
    before = evidence.before
    first: dict[int, Look] = {}
    if before.epoch:
        first[before.epoch] = Look(
            at_s=0.0, reporter="", coordinator=before.coordinator, epoch=before.epoch
        )
    for look in evidence.looks:
        if look.epoch:
            first.setdefault(look.epoch, look)
    return [first[epoch] for epoch in sorted(first)]


def _explains(strike: Strike, was: Look, now: Look) -> bool:
    if now.at_s < strike.at_s:
        return False
    if not strike.was_coordinator:
        # The front-ends did not agree on who coordinated just then.
        return not strike.epoch and strike.target == was.coordinator
    # Without a successor, whoever was seen in a higher epoch is a finding of its own (`epoch`).
    last = max(strike.successor_epoch, strike.own_epoch) or now.epoch
    return strike.epoch <= was.epoch < now.epoch <= last
