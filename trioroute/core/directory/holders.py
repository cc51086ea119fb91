"""What the directory keeps about each holder."""

from collections.abc import Mapping

import attrs

from trioroute.core.slots.masks import count

__all__ = ["HolderRecord"]


@attrs.define(eq=False)
class HolderRecord:
    """One worker of one front-end, as the coordinator sees it.

    Attributes:
        received: messages processed in this session; `Lease.seen`.
        echo_sent_at: the holder's clock at its last renewal.
        born_by: the latest moment (our clock) at which its process can have started.
        expires_at: when its lease ends as booked here; None while it has none.
        silent_since: since when nothing is known of it; None while it reports.
        owes_report: whether it may have slots that this office has not given it, or of which
            nothing said so far counts, and has told of none since.
        dead: the newest incarnation that is proven to have ended (decision 25).
        died_at: when it had, at the latest.
        orderly: an incarnation before which all had ended with nothing in flight, as the log said
            at the take-over; None once another one has spoken since.
        unnumbered: how many requests it said last that it runs without a slot, by replica; None
            where it does not tell.
        unnumbered_until: until when such requests may run that it broke off; 0 when there are none.
        round_trip_s: how long its newest renewal took; 0 while unknown.
    """

    name: str
    version: int = 1
    round_trip_s: float = 0.0
    incarnation: int = -1
    dead: int = -2
    died_at: float = 0.0
    orderly: int | None = None
    in_session: bool = False
    reported: bool = False
    goodbye_at: float | None = None
    received: int = 0
    echo_sent_at: float = 0.0
    born_by: float = 0.0
    expires_at: float | None = None
    silent_since: float | None = None
    owes_report: bool = False
    routing_version: int = 0
    busy: Mapping[str, int] = attrs.field(factory=dict)
    unnumbered: Mapping[str, int] | None = None
    unnumbered_until: float = 0.0

    @property
    def is_dead(self) -> bool:
        """Whether the incarnation that spoke last is proven to have ended."""
        return self.incarnation <= self.dead

    @property
    def listens(self) -> bool:
        """Whether what is said to it now arrives, and it has told what it holds."""
        return self.in_session and self.reported

    @property
    def is_orderly(self) -> bool:
        """Whether nothing can run that incarnations before the one that spoke last had begun."""
        return self.incarnation == self.orderly

    def runs_on(self, replica: str) -> int:
        """How many requests it said last that it runs there, with a slot or without."""
        without = 0 if self.unnumbered is None else self.unnumbered.get(replica, 0)
        return count(self.busy.get(replica, 0)) + without

    def hang_up(self) -> None:
        """Nothing is known of it until it reports again."""
        self.in_session = self.reported = False
        self.busy = {}
