"""A desk over a real registry of one member: what is changed is applied at once."""

import time

import attrs
import trio

from trioroute.admin.resources.desk import ConflictError, MissingError
from trioroute.admin.resources.tokens import TokenOffice
from trioroute.admin.resources.vault import KeyVault
from trioroute.admin.view import RefusedError
from trioroute.core.registry import Command, Registry
from trioroute.core.resources.state import Refusal, RegistryState

__all__ = ["SECRET", "SmallDesk", "make_signing_key"]

SECRET = b"s" * 32


@attrs.define(eq=False)
class SmallDesk:
    """`before` is applied once in front of the next change, as if somebody else were faster."""

    vault: KeyVault = attrs.field(factory=lambda: KeyVault(SECRET))
    registry: Registry = attrs.field(factory=Registry)
    lines: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    before: list[Command] = attrs.field(factory=list)
    failure: Exception | None = None
    namespace: str = ""
    name: str = "fe-0"

    @property
    def state(self) -> RegistryState:
        return self.registry.state

    async def change(self, command: Command) -> int:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        while self.before:
            self.registry.apply(self.before.pop(0), self.state.index + 1)
        result = self.registry.apply(command, self.state.index + 1)
        if result.refusal is Refusal.CONFLICT:
            raise ConflictError(result.error)
        if result.refusal is Refusal.MISSING:
            raise MissingError(result.error)
        if result.error:
            raise RefusedError(result.error)
        return self.state.index

    async def last_lines(self, replica: str) -> tuple[str, ...]:
        await trio.lowlevel.checkpoint()
        return self.lines.get(replica, ())


def make_signing_key(desk: SmallDesk, endpoint: str) -> None:
    """One that every worker has had for a minute, so that nobody waits for it."""

    async def no_sleep(_: float) -> None:
        await trio.lowlevel.checkpoint()

    async def issue() -> None:
        await TokenOffice(desk, lambda: time.time() - 60, no_sleep).issue(endpoint, 60)

    trio.run(issue)
