"""The registry for the admin API's resource operations: `admin.resources.desk.Desk`."""

from typing import Final

from consensus import (
    CommandFailedError,
    CommandTooLongError,
    Member,
    NotAcceptedError,
    UnknownOutcomeError,
)
from trioroute.admin.resources.desk import ConflictError, MissingError
from trioroute.admin.resources.vault import KeyVault
from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.core.model import Deployment
from trioroute.core.registry import Command, Registry
from trioroute.core.resources.commands import PutDeployment
from trioroute.core.resources.state import Refusal, RegistryState
from trioroute.discovery.local import LocalReplicaSource
from trioroute.discovery.processes.snapshots import SnapshotError
from trioroute.discovery.source import ReplicaSource
from trioroute.errors import NoCoordinatorError
from trioroute.wire.records import decode_result, encode_command

__all__ = ["RegistryDesk"]

#: An election takes a second; the admin client waits five.
_PROPOSE_S: Final = 4.0

_ERRORS: Final = {
    Refusal.CONFLICT: ConflictError,
    Refusal.MISSING: MissingError,
}


class RegistryDesk:
    """One front-end's registry, changed through the log."""

    def __init__(
        self,
        member: Member,
        registry: Registry,
        *,
        vault: KeyVault,
        source: ReplicaSource | None,
        name: str = "",
    ) -> None:
        """Read and change this registry from now on.

        Args:
            name: the front-end's.
            source: who runs replicas here and keeps what they print; None where nobody does.
        """
        self._name = name
        self._member = member
        self._registry = registry
        self._vault = vault
        self._source = source

    @property
    def name(self) -> str:
        """The front-end's, for records of who took a change."""
        return self._name

    @property
    def state(self) -> RegistryState:
        """The registry as applied here."""
        return self._registry.state

    @property
    def vault(self) -> KeyVault:
        """What seals keys under the cluster secret."""
        return self._vault

    @property
    def namespace(self) -> str:
        """None: replicas are processes of this machine, or fixed addresses."""
        return ""

    async def change(self, command: Command) -> int:
        """Commit one command; returns its index once it is applied here too.

        Raises:
            RefusedError: nothing has changed; ConflictError and MissingError say why.
            NoCoordinatorError: nothing has changed, and may if it is tried again.
            OutcomeUnknownError: it may or may not be committed.
        """
        if isinstance(command, PutDeployment):
            await self._keep_code(command.deployment)
        try:
            applied = await self._member.propose(encode_command(command), timeout_s=_PROPOSE_S)
        except (CommandFailedError, CommandTooLongError) as error:
            raise RefusedError(str(error)) from None
        except NotAcceptedError as error:
            raise NoCoordinatorError(str(error)) from None
        except UnknownOutcomeError as error:
            raise OutcomeUnknownError(str(error)) from None
        # The answer may come from the leader before this member has applied the entry.
        await self._member.wait_applied_beyond(applied.index - 1)
        result = decode_result(applied.result)
        if result.error:
            raise _ERRORS.get(result.refusal, RefusedError)(result.error)
        return applied.index

    async def _keep_code(self, deployment: Deployment) -> None:
        """First the copy: what is registered must be there to be started, also in a year."""
        if isinstance(self._source, LocalReplicaSource):
            try:
                await self._source.keep_code(deployment)
            except SnapshotError as error:
                raise RefusedError(str(error)) from None

    async def last_lines(self, replica: str) -> tuple[str, ...]:
        """The end of what a local replica printed; nothing where that is not known."""
        return () if self._source is None else await self._source.last_lines(replica)
