"""What the coordinator asks of whoever runs replicas: say what exists, and make it that many.

Three sources stand behind this Protocol: fixed addresses (`static`), processes of this machine
(`local`, whose other end is the runner), and later a cluster. A source starts and stops; whether
a replica answers is the coordinator's to probe.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import attrs

from trioroute.core.model import Deployment
from trioroute.errors import ControlError

__all__ = ["FoundReplica", "FoundState", "ReplicaSource", "StaleEpochError"]

#: `starting`: its process does not accept connections yet. `running`: it does, or somebody else
#: answers for it. `backing-off`: it has ended, certainly, and a new one follows. `stopped`: it was
#: told to end and must not be used; it leaves the picture once its last process has gone.
FoundState = Literal["starting", "running", "backing-off", "stopped"]


class StaleEpochError(ControlError):
    """The wish comes from an older term of office than one already obeyed: stand down.

    Attributes:
        epoch: the highest epoch that the source has obeyed.
    """

    reason = "stale-epoch"

    def __init__(self, epoch: int) -> None:
        super().__init__(f"epoch {epoch} has spoken already")
        self.epoch = epoch


@attrs.frozen(kw_only=True)
class FoundReplica:
    """One replica as its source sees it.

    Attributes:
        id: unique for ever; a restarted model server is a new replica.
        deployment: the deployment's key.
        port: 0 while none is chosen (its runtime is still being built).
        restarts: how often its place had to be filled again since it was asked for.
        reason: one line why it does not run, or what it is waiting for; else empty.
        last_lines: the end of what it printed, when it did not live.
        started_at: seconds since 1970, 0.0 before the first start.
    """

    id: str
    deployment: str
    host: str
    port: int
    pid: int | None = None
    state: FoundState = "running"
    restarts: int = 0
    reason: str = ""
    last_lines: tuple[str, ...] = ()
    started_at: float = 0.0


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
