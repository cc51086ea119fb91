"""What the tour asks of the running `up`; `app` implements it."""

from collections.abc import Sequence
from typing import Protocol

import attrs

from trioroute.demo.scoring import ScoringTarget

__all__ = ["Office", "TourControl"]


@attrs.frozen
class Office:
    """Who coordinates.

    Attributes:
        since_s: for how long, by the coordinator's own account; None when nobody says.
    """

    name: str
    epoch: int
    since_s: float | None = None


class TourControl(Protocol):
    """The front-ends of an `up`, as a drill needs them."""

    @property
    def target(self) -> ScoringTarget:
        """The example endpoint's scoring URL and key."""
        ...

    @property
    def front_ends(self) -> Sequence[str]:
        """The front-ends' names."""
        ...

    def pid(self, name: str) -> int | None:
        """The supervisor process of a front-end that runs just now."""
        ...

    def kill(self, name: str) -> None:
        """SIGKILL a front-end's processes; it is started again."""
        ...

    async def find_office(self) -> Office | None:
        """Who coordinates, as those say who answer; None while nobody is known to."""
        ...

    async def wait_back(self, name: str) -> None:
        """Return once a killed front-end runs again and takes part in the group."""
        ...
