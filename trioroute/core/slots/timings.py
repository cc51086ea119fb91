"""The times that the slot protocol's safety rests on, in one frozen value.

All are seconds. Holder and coordinator each measure on their own clock; `rate_margin` is how much
faster or slower one clock may run than another, so the holder shortens and the coordinator
lengthens every time that both count.
"""

import attrs

from trioroute.errors import ConfigError

__all__ = ["SlotTimings"]


@attrs.frozen(kw_only=True)
class SlotTimings:
    """Times of leases, take-over and isolation.

    Attributes:
        lease_s: how long a holder may start requests after it asked. Short enough that a dead
            holder's loans come back soon, long enough to ride out a fail-over.
        renew_s: how often a holder renews; five renewals may be lost before the lease ends.
        rate_margin: 5 %: far above any quartz, so that only broken clocks exceed it.
        send_allowance_s: a request is not started this close to the lease's end, because writing
            it takes time.
        authority_s: how long an old coordinator may still believe in itself (consensus AUTH).
        calm_after_s: how long nothing may have waited before slots go home again.
        recall_s: how long to wait for recalled slots before contention is declared. Well above a
            round trip, well below anything a client would notice.
        hand_over_share_max: contended slots may idle for this share of the service time on their
            way over the coordinator; beyond it holders serve their own waiters first. At a load of
            0.9 a share of 1 % makes waits 13 % longer, which misses the goal; 0.6 % meets it.
        own_age_max_s: by how much an own waiter served so may be younger than the oldest.
        order_s: how long after a take-over nothing is granted to waiting requests while holders
            that are there have yet to tell of theirs. As long as a link may take to come up.
        reclaim_after_min_s: lower bound of `reclaim_after` (decision 26).
        failover_grace_s: how long a waiting request's clock stands still without a coordinator,
            in all.
        goodbye_keep_s: how long the home of a holder that said goodbye is kept for its return.
    """

    lease_s: float = 2.0
    renew_s: float = 0.4
    rate_margin: float = 0.05
    send_allowance_s: float = 0.02
    authority_s: float = 0.5
    calm_after_s: float = 0.05
    recall_s: float = 0.02
    hand_over_share_max: float = 0.006
    own_age_max_s: float = 0.05
    order_s: float = 0.1
    reclaim_after_min_s: float = 30.0
    failover_grace_s: float = 5.0
    goodbye_keep_s: float = 30.0

    def __attrs_post_init__(self) -> None:
        if self.lease_s <= 3 * self.renew_s:
            raise ConfigError(
                f"lease_s ({self.lease_s}) must be more than three times renew_s ({self.renew_s}): "
                "one lost renewal must not end a lease"
            )
        if not 0 <= self.rate_margin < 0.5:
            raise ConfigError(f"rate_margin must be in 0 … 0.5, not {self.rate_margin}")

    @property
    def held_s(self) -> float:
        """How long the holder counts a lease, from when it asked."""
        return self.lease_s * (1 - self.rate_margin)

    @property
    def booked_s(self) -> float:
        """How long the coordinator counts a lease, from when it answered."""
        return self.lease_s * (1 + self.rate_margin)

    def request_s(self, request_max_s: float) -> float:
        """MAXREQ as another clock may measure it."""
        return request_max_s * (1 + self.rate_margin)

    def doubt_s(self, request_max_s: float) -> float:
        """How long after a take-over an unknown request of a silent holder may still run."""
        return (self.authority_s + self.lease_s + request_max_s) * (1 + self.rate_margin)

    def reclaim_s(self, request_max_s: float) -> float:
        """When a silent holder's home may be given away (decision 26)."""
        return max(self.reclaim_after_min_s, self.doubt_s(request_max_s))
