"""The registry as consensus sees it, and consensus as the coordinator sees it."""

from collections.abc import Collection
from typing import Final

import trio

from consensus import CommandFailedError, Member, NotAcceptedError, UnknownOutcomeError
from trioroute.core.registry import Command, Registry, RegistryState, Result
from trioroute.errors import NoCoordinatorError
from trioroute.wire.records import (
    RecordError,
    decode_command,
    decode_result,
    decode_state,
    encode_command,
    encode_result,
    encode_state,
)

__all__ = ["RegistryLog", "RegistryMachine"]

#: A coordinator whose command takes longer has lost its quorum: its authority ended long before.
_COMMIT_S: Final = 3.0


class RegistryMachine:
    """A `consensus.StateMachine`; `registry` is what everyone reads, and only this changes it."""

    def __init__(self) -> None:
        self.registry = Registry()

    def apply(self, command: bytes, index: int) -> bytes:
        """Take one committed command; return its encoded result.

        A command that cannot be read (a newer version's, or garbage) is refused alike on every
        member: whether one can read it depends on its bytes only.
        """
        try:
            decoded = decode_command(command)
        except RecordError as error:
            return encode_result(Result(f"command cannot be read: {error}"))
        return encode_result(self.registry.apply(decoded, index))

    def snapshot(self) -> bytes:
        """The whole state."""
        return encode_state(self.registry.state)

    def restore(self, data: bytes) -> None:
        """Replace the whole state; empty data is the state before the first command."""
        # The object stays: whoever reads the registry holds on to it.
        self.registry.state = decode_state(data) if data else Registry().state


class RegistryLog:
    """The coordinator's `Log`: the registry as applied here, and the way to change it."""

    def __init__(self, member: Member, machine: RegistryMachine) -> None:
        self._member = member
        self._machine = machine

    @property
    def state(self) -> RegistryState:
        """The registry as applied here."""
        return self._machine.registry.state

    async def commit(self, command: Command) -> Result:
        """Propose, and wait until it is applied here.

        Raises:
            NoCoordinatorError: not committed, or it is unknown whether; the office is lost.
        """
        try:
            applied = await self._member.propose(encode_command(command), timeout_s=_COMMIT_S)
        except (NotAcceptedError, UnknownOutcomeError, CommandFailedError) as error:
            raise NoCoordinatorError(f"{type(command).__name__} not committed: {error}") from None
        # The answer may come from the leader before this member has applied the entry.
        await self._member.wait_applied_beyond(applied.index - 1)
        return decode_result(applied.result)

    async def wait_changed(self, index: int) -> None:
        """Return once the registry has changed after `index`; take-overs alone do not count."""
        await trio.lowlevel.checkpoint()
        applied = self._member.applied_index
        while self.state.index <= index:
            applied = await self._member.wait_applied_beyond(applied)

    def reachable(self) -> Collection[str]:
        """The front-ends that are there: this one, and those that it has a link to."""
        now = self._member.statistics()
        return (now.name, *now.peers_connected)

    def may_grant(self, epoch: int) -> bool:
        """Whether this member holds the office of that epoch with fresh authority just now."""
        return self._member.may_act(epoch)
