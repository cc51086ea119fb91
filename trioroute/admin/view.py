"""What the admin API needs from the running front-end; `app` provides it.

The four reads answer from memory, at once: an operator asks when things are slow. The writes may
take as long as consensus takes and say what became of them: done, refused, or not known.
"""

from typing import Protocol

from trioroute.core.model import Deployment, Endpoint
from trioroute.core.status import ClusterStatus
from trioroute.errors import ControlError
from trioroute.telemetry.recording import WorkerStats

__all__ = ["OutcomeUnknownError", "RefusedError", "SystemView"]


class RefusedError(ControlError):
    """The change was understood and nothing has changed; the message says why."""

    reason = "refused"


class OutcomeUnknownError(ControlError):
    """The change may or may not have been made: time ran out before the log said so."""

    reason = "outcome-unknown"


class SystemView(Protocol):
    """One front-end, and through it the group.

    Every write raises RefusedError, NoCoordinatorError (nothing was done) or OutcomeUnknownError.
    """

    def status(self) -> ClusterStatus:
        """The whole system as this front-end sees it."""

    def is_ready(self) -> tuple[bool, str]:
        """Whether to send requests here, and why not (or how it is ready)."""

    def worker_stats(self) -> WorkerStats:
        """The counts of all workers this supervisor ever had, merged."""

    async def put_registry(
        self, endpoints: tuple[Endpoint, ...], deployments: tuple[Deployment, ...]
    ) -> int:
        """Replace all endpoints and deployments; returns the index of the log entry."""

    async def transfer_coordinator(self) -> None:
        """Hand the coordinator's office to another front-end; returns once that is under way."""

    async def drain(self) -> None:
        """Begin to take this front-end out of service; returns once it is no longer ready."""
