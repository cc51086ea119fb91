"""What a holder keeps about each replica, each deployment and each waiting request.

Values with one owner, `holding.Holding`; the only decision here is which replica serves next.
"""

from typing import NamedTuple

import attrs

from trioroute.core.model import Deployment, Replica
from trioroute.core.slots.masks import count

__all__ = ["Grant", "HeldDeployment", "HeldReplica", "Waiter"]


class Grant(NamedTuple):
    """The right to have one request in flight on one slot of one replica.

    A tuple rather than an attrs class because one is made for every request.
    """

    deployment: str
    replica: str
    slot: int
    epoch: int
    number: int


@attrs.define(eq=False)
class HeldReplica:
    """One replica's slots in this holder: ``busy ⊆ held``, ``recalled ⊆ busy``.

    Attributes:
        home: what the log says is at home here.
        stacked: whether it stands on its deployment's stack of free replicas.
    """

    replica: Replica
    held: int = 0
    busy: int = 0
    recalled: int = 0
    home: int = 0
    stacked: bool = False

    @property
    def idle(self) -> int:
        """Held, and no request runs on it."""
        return self.held & ~self.busy


@attrs.define(eq=False)
class Waiter:
    """One request in the queue; the credit is the gap time there had been before it came."""

    number: int
    deployment: str
    arrived_at: float
    credit_at_arrival_s: float


@attrs.define(eq=False)
class HeldDeployment:
    """One deployment in this holder.

    Attributes:
        free: replicas with an idle slot, the next to serve last; checked on use, for a replica may
            have lost its slot since.
    """

    deployment: Deployment
    replicas: dict[str, HeldReplica] = attrs.field(factory=dict)
    free: list[HeldReplica] = attrs.field(factory=list)
    waiters: dict[int, Waiter] = attrs.field(factory=dict)
    contended: bool = False

    def push(self, held: HeldReplica, *, last: bool = False) -> None:
        """The replica has an idle slot; it serves next, or after all others when `last`."""
        if held.stacked:
            return
        held.stacked = True
        if last:
            self.free.insert(0, held)
        else:
            self.free.append(held)

    def pick(self) -> HeldReplica | None:
        """Which replica starts the next request; None when no slot is idle.

        With one slot each: the most recently used, whose connection and caches are warm and which
        leaves the others idle for the scaler. With several: the least busy.
        """
        free = self.free
        while free:
            top = free[-1]
            if not top.idle:
                top.stacked = False
                free.pop()
                continue
            if top.replica.slots == 1:
                top.stacked = False
                return free.pop()
            return min((held for held in free if held.idle), key=lambda held: count(held.busy))
        return None
