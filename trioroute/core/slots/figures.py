"""Frozen counts that the slot machines give out: for scaling, status, tests and leak checks."""

import attrs

__all__ = ["Demand", "DirectoryStatistics", "HoldingStatistics"]


@attrs.frozen(kw_only=True)
class Demand:
    """What one deployment is asked for, in slots.

    Attributes:
        slots: of ready replicas.
        busy: with a request running, as last reported (at most one renewal old when calm).
        queued: requests waiting, over all front-ends.
        steady_busy, steady_queued: both as scaling counts them, nobody twice. Contended, every slot
            and every waiter is known; else slots in use are a mean over the last two renewals, and
            who waits has an idle slot on its way.
        in_doubt: slots nobody may use yet.
        recalls: how often holders were asked for idle slots, since the epoch began.
        above_limit: slots beyond a lowered limit that are still out; the new limit is in force once
            there are none (decision 29).
    """

    slots: int
    busy: int
    queued: int
    steady_busy: int
    steady_queued: int
    in_doubt: int
    contended: bool
    recalls: int = 0
    above_limit: int = 0


@attrs.frozen(kw_only=True)
class DirectoryStatistics:
    """Counts of things that should be rare."""

    epoch: int
    holders: int
    claims_rejected: int
    stray_returns: int
    leases_lapsed: int
    doubt_over: bool


@attrs.frozen(kw_only=True)
class HoldingStatistics:
    """A holder's counts."""

    epoch: int
    link_open: bool
    held: int
    busy: int
    waiting: int
    returned_late: int
    grants_returned: int
