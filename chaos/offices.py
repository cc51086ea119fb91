"""Who coordinated, as onlookers are told whenever they ask: news goes to the history."""

import attrs

from chaos.history import History, Office
from trioroute.core.status import ClusterStatus, CoordinatorStatus

__all__ = ["OfficeWatch"]


@attrs.define(eq=False)
class OfficeWatch:
    """Notes what a front-end says of the office when it had not said so before. One owner."""

    history: History
    _told: dict[str, tuple[int, str, bool]] = attrs.field(factory=dict)
    _aged: set[int] = attrs.field(factory=set)

    def see(self, status: ClusterStatus, at: float) -> str | None:
        """Take one answer, which came at this time of the onlooker's monotonic clock, seconds.

        Returns:
            whom to ask when the office began, while that is not known: the coordinator alone says.
        """
        office = status.coordinator
        if office is None:
            return None
        self._note(status, office, at)
        return None if office.epoch in self._aged else office.name

    def _note(self, status: ClusterStatus, office: CoordinatorStatus, at: float) -> None:
        told = (office.epoch, office.name, office.since_s is not None)
        if self._told.get(status.reporter) == told:
            return
        self._told[status.reporter] = told
        began_at = None if office.since_s is None else at - office.since_s
        if began_at is not None:
            self._aged.add(office.epoch)
        self.history.offices.append(
            Office(
                at=at,
                epoch=office.epoch,
                name=office.name,
                reporter=status.reporter,
                began_at=began_at,
            )
        )
