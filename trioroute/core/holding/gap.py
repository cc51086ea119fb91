"""For how long a holder has had no coordinator: the clocks of its waiting requests stand still."""

import attrs

__all__ = ["NoCoordinator"]


@attrs.define(eq=False)
class NoCoordinator:
    """For how long there was no coordinator, each gap counted up to `most_s`.

    Attributes:
        since: when the present gap began; None while there is a coordinator.
    """

    most_s: float
    since: float | None
    _before_s: float = 0.0

    def begin(self, now: float) -> None:
        """The session ended; a gap that lasts already goes on."""
        if self.since is None:
            self.since = now

    def end(self, now: float) -> None:
        """A coordinator has answered."""
        self._before_s, self.since = self.total_s(now), None

    def total_s(self, now: float) -> float:
        """All gaps so far."""
        gap_s = 0.0 if self.since is None else min(now - self.since, self.most_s)
        return self._before_s + gap_s
