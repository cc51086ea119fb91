"""What the coordinator asks of whoever runs replicas: say what exists, and make it that many.

Three sources stand behind this Protocol: fixed addresses (`static`), processes of this machine
(`local`, whose other end is the runner), and later a cluster. A source starts and stops; whether
a replica answers is the coordinator's to probe.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from trioroute.core.found import FoundReplica
from trioroute.core.model import Deployment

__all__ = ["ReplicaSource"]


class ReplicaSource(Protocol):
    """Runs replicas, or knows who does."""

    async def set_desired(
        self,
        epoch: int,
        desired: Sequence[tuple[Deployment, int]],
        retire: Sequence[str] = (),
    ) -> None:
        """Replace the whole wish; returns when it is taken, not when it is fulfilled.

        Args:
            epoch: the coordinator's term of office.
            desired: every deployment that shall run, with its number of replicas.
            retire: replica ids to stop first where a number falls.

        Raises:
            StaleEpochError: a higher epoch has been obeyed.
        """
        ...

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[tuple[FoundReplica, ...]]]:
        """The whole picture at once and after each change; several changes may come as one."""
        ...

    async def last_lines(self, replica: str) -> tuple[str, ...]:
        """The end of what a replica printed, for one that runs but never gets ready."""
        ...
