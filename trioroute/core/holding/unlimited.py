"""Picking for deployments without a limit: the less busy of two replicas drawn at random.

Two choices come close to the least busy of all at the cost of two look-ups, and unlike it do not
send every front-end to the same replica at once.
"""

from collections.abc import Callable, Sequence

import attrs

__all__ = ["UnlimitedReplicas"]


@attrs.define(eq=False)
class UnlimitedReplicas:
    """What this holder has in flight without a slot, on each replica of any deployment.

    Attributes:
        draw: a random whole number below its argument.
    """

    draw: Callable[[int], int]
    in_flight: dict[str, int] = attrs.field(factory=dict)

    def take(self, ids: Sequence[str]) -> str | None:
        """Pick one of these replicas and count one request on it; None when there is none."""
        if not ids:
            return None
        first, second = ids[self.draw(len(ids))], ids[self.draw(len(ids))]
        busier = self.in_flight.get(first, 0) > self.in_flight.get(second, 0)
        picked = second if busier else first
        self.in_flight[picked] = self.in_flight.get(picked, 0) + 1
        return picked

    def give_back(self, replica: str) -> None:
        """One request on it is over.

        Raises:
            KeyError: none was in flight there.
        """
        left = self.in_flight[replica] - 1
        if left:
            self.in_flight[replica] = left
        else:
            del self.in_flight[replica]
