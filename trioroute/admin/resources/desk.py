"""What the resource operations need from the running front-end; `app` provides it."""

from typing import Protocol

from trioroute.admin.resources.vault import KeyVault
from trioroute.admin.view import RefusedError
from trioroute.core.registry import Command
from trioroute.core.resources.state import RegistryState

__all__ = ["ConflictError", "Desk", "MissingError"]


class ConflictError(RefusedError):
    """Somebody else has changed the resource since it was read."""

    reason = "conflict"


class MissingError(RefusedError):
    """The resource that was to be changed does not exist."""

    reason = "missing"


class Desk(Protocol):
    """The registry, for whoever reads and changes it."""

    @property
    def name(self) -> str:
        """The front-end's, for records of who took a change."""

    @property
    def state(self) -> RegistryState:
        """The registry as applied here."""

    @property
    def vault(self) -> KeyVault:
        """What seals keys under the cluster secret."""

    @property
    def namespace(self) -> str:
        """Where replicas are containers of a cluster; empty where they are processes."""

    async def change(self, command: Command) -> int:
        """Commit one command; returns its index once it is applied here too.

        Raises:
            RefusedError: nothing has changed; ConflictError and MissingError say why.
            NoCoordinatorError: nothing has changed, and may if it is tried again.
            OutcomeUnknownError: it may or may not be committed.
        """

    async def last_lines(self, replica: str) -> tuple[str, ...]:
        """The end of what a local replica printed; nothing where that is not known."""
