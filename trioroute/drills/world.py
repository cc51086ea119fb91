"""What a drill needs of whatever runs the system: the seam between drills and machines.

`local.system` does it with the processes of an `up` on this machine, `kube.system` with the pods of
a Kubernetes cluster. Nothing else in drills knows where the system runs.
"""

from collections.abc import Mapping
from typing import Protocol

import attrs

from trioroute.drills.catalogue import Deed
from trioroute.errors import TrioRouteError

__all__ = ["Target", "World", "WorldError"]


class WorldError(TrioRouteError):
    """The deed could not be done, or not be mended; says what is left and how to mend it."""

    reason = "drill-refused"


@attrs.frozen
class Target:
    """A front-end by its name, or a replica by its id.

    Attributes:
        pid: of a replica on this machine, as its front-end says.
    """

    name: str
    is_replica: bool = False
    pid: int | None = None


class World(Protocol):
    """Where the system runs."""

    @property
    def name(self) -> str:
        """In words, for reports."""
        ...

    @property
    def admin_urls(self) -> Mapping[str, str]:
        """Front-end name to admin address."""
        ...

    @property
    def look_s(self) -> float:
        """How long to pause between two looks at a front-end while something is broken, seconds."""
        ...

    @property
    def is_sure(self) -> bool:
        """Whether what `strike` did is done when it returns.

        A cluster's kubelets and network take their time, or do not do it at all.
        """
        ...

    def objection(self, deed: Deed, target: Target) -> str:
        """Why the deed cannot be done here, and what to do instead; empty when it can. Blocking."""
        ...

    def held_ports(self, front_end: str, scoring_port: int) -> frozenset[int] | None:
        """Client ports of the connections that it holds now; None where nobody can tell.

        Called on a thread.
        """
        ...

    def identity(self, target: Target) -> str:
        """What tells this life of the target from the next one; empty while there is none.

        Called on a thread.
        """
        ...

    async def strike(self, deed: Deed, target: Target, *, lasts_s: float) -> None:
        """Do it; returns when it is done.

        Args:
            lasts_s: a lasting deed is mended after this, even if nobody asks.

        Raises:
            WorldError: it was not done.
        """
        ...

    async def mend(self) -> None:
        """Undo whatever lasting deed is still there. Nothing to do is fine.

        Raises:
            WorldError: something is left.
        """
        ...
