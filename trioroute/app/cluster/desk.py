"""The admin API's desk on Kubernetes: changes are written to the custom resources.

Those are the source of truth there. The coordinator copies them into the log, and a change is
answered when it has come back from there: then every front-end routes by it.
"""

from collections.abc import Callable
from typing import Final

import trio

from consensus import Member
from trioroute.admin.resources.desk import ConflictError, MissingError
from trioroute.admin.resources.vault import KeyVault
from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.app.desk import RegistryDesk
from trioroute.core.registry import Command
from trioroute.core.resources.changes import apply_resource
from trioroute.core.resources.commands import (
    DeleteDeployment,
    DeleteEndpoint,
    PutDeployment,
    PutEndpoint,
    ResourceCommand,
    SetKeys,
    SetTokenKeys,
    SetTraffic,
)
from trioroute.core.resources.state import Refusal, RegistryState
from trioroute.discovery.kube.calls import KubeError
from trioroute.discovery.kube.writer import ResourceWriter
from trioroute.errors import ConfigError, NoCoordinatorError
from trioroute.spec.cluster.resources import Reading, read_resource, resource_of
from trioroute.spec.written.documents import Document

__all__ = ["KubeDesk"]

#: The coordinator copies within a second; an election takes another. The admin client waits five.
_COPIED_S: Final = 4.0
_CONFLICT: Final = 409
_INVALID: Final = 422


class KubeDesk:
    """One front-end's registry, changed through custom resources."""

    def __init__(self, inner: RegistryDesk, member: Member, writer: ResourceWriter) -> None:
        """Args:
        inner: reads the registry, and changes what no resource says: keys.
        """
        self._inner = inner
        self._member = member
        self._writer = writer

    @property
    def name(self) -> str:
        """The front-end's."""
        return self._inner.name

    @property
    def state(self) -> RegistryState:
        """The registry as applied here."""
        return self._inner.state

    @property
    def vault(self) -> KeyVault:
        """What seals keys under the cluster secret."""
        return self._inner.vault

    async def last_lines(self, replica: str) -> tuple[str, ...]:
        """What a replica's container said when it ended last."""
        return await self._inner.last_lines(replica)

    @property
    def namespace(self) -> str:
        """Where replicas are pods."""
        return self._writer.namespace

    async def change(self, command: Command) -> int:
        """Write one change and wait until it has been copied; see `RegistryDesk.change`.

        Raises:
            OutcomeUnknownError: it is written, and not copied yet; or it may be written.
        """
        if isinstance(command, SetKeys | SetTokenKeys) or not isinstance(command, ResourceCommand):
            return await self._inner.change(command)
        self._refuse_early(command)
        try:
            return await self._write(command)
        except KubeError as error:
            if error.status == _CONFLICT:
                raise ConflictError(f"somebody else has changed it meanwhile: {error}") from None
            if error.status == _INVALID:
                raise RefusedError(str(error)) from None
            if error.status:
                raise NoCoordinatorError(f"Kubernetes refused to write it: {error}") from None
            raise OutcomeUnknownError(f"the Kubernetes API did not answer: {error}") from None

    def _refuse_early(self, command: ResourceCommand) -> None:
        """By the registry's own rules, before anything is written."""
        _, result = apply_resource(self.state, command, self.state.index + 1)
        if result.refusal is Refusal.CONFLICT:
            raise ConflictError(result.error)
        if result.refusal is Refusal.MISSING:
            raise MissingError(result.error)
        if result.error:
            raise RefusedError(result.error)

    async def _write(self, command: ResourceCommand) -> int:
        match command:
            case PutEndpoint(endpoint=endpoint):
                return await self._put(endpoint.name, command.document)
            case PutDeployment(deployment=deployment):
                return await self._put(deployment.key, command.document)
            case SetTraffic(endpoint=name):
                said = await self._writer.set_traffic(name, command.traffic, command.mirror_traffic)
                if said is None:
                    raise MissingError(f"there is no OnlineEndpoint that describes {name}")
                return await self._wait_copied(said)
            case DeleteEndpoint(name=name):
                return await self._delete(name)
            case DeleteDeployment(endpoint=name, name=deployment_name):
                return await self._delete(f"{name}/{deployment_name}")
            case SetKeys() | SetTokenKeys():
                return await self._inner.change(command)

    async def _put(self, key: str, text: str) -> int:
        try:
            document = Document.decode(text)
        except ConfigError:
            raise RefusedError(f"{key}: on Kubernetes it needs what its user wrote") from None
        self._refuse_unreadable(document)
        return await self._wait_copied(await self._writer.put(document))

    @staticmethod
    def _refuse_unreadable(document: Document) -> None:
        resource = resource_of(document)
        resource["metadata"]["uid"] = ""
        problems = read_resource(resource).problems
        if problems:
            raise RefusedError("\n".join(f"{one.field}: {one.message}" for one in problems))

    async def _delete(self, key: str) -> int:
        await self._writer.delete(key)
        return await self._wait(lambda state: key not in {*state.endpoints, *state.deployments})

    async def _wait_copied(self, said: Reading) -> int:
        return await self._wait(lambda state: state.documents.get(said.key) == said.document)

    async def _wait(self, is_copied: Callable[[RegistryState], bool]) -> int:
        with trio.move_on_after(_COPIED_S):
            while True:
                applied = self._member.applied_index
                if is_copied(self.state):
                    return self.state.index
                await self._member.wait_applied_beyond(applied)
        raise OutcomeUnknownError(
            "it is written to Kubernetes, and the coordinator has not taken it yet"
        )
