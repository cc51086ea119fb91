"""Groups of members over a network in memory, for the tests of this folder."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from consensus import (
    Journal,
    Member,
    MemberConfig,
    MemoryJournal,
    PeerAddress,
    Role,
    Timings,
    run_with_authority,
)
from consensus.memory import MemoryNetwork

NAMES = ("fe-0", "fe-1", "fe-2", "fe-3", "fe-4")


class Register:
    """A state machine that keeps every command; `boom` raises, as a bad application would."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []

    def apply(self, command: bytes, index: int) -> bytes:
        """Append; answer how many there are."""
        if command == b"boom":
            raise ValueError("boom")
        self.commands.append(command)
        return b"%d" % len(self.commands)

    def snapshot(self) -> bytes:
        """Length-prefixed commands."""
        return b"".join(len(command).to_bytes(4) + command for command in self.commands)

    def restore(self, data: bytes) -> None:
        """The reverse."""
        self.commands = []
        while data:
            length = int.from_bytes(data[:4])
            self.commands.append(data[4 : 4 + length])
            data = data[4 + length :]


def config(
    name: str,
    *,
    voters: int = 3,
    observers: int = 0,
    timings: Timings | None = None,
    compact_entries: int = 1000,
) -> MemberConfig:
    """The configuration of one member of the usual group."""
    names = NAMES[: voters + observers]
    return MemberConfig(
        name=name,
        peers=tuple(PeerAddress(name=peer, host="127.0.0.1", port=1) for peer in names),
        voters=NAMES[:voters],
        timings=timings or Timings(),
        compact_entries=compact_entries,
    )


@attrs.define
class Life:
    """One life of a member: what runs, and how to end it."""

    member: Member
    machine: Register
    scope: trio.CancelScope
    epochs: list[int]
    failure: Exception | None = None


class Group:
    """Members by name, each in a task of its own, that can be killed and started again."""

    def __init__(
        self,
        nursery: trio.Nursery,
        network: MemoryNetwork,
        voters: int,
        *,
        observers: int,
        seed: int,
        compact_entries: int,
    ) -> None:
        self.network = network
        self.names = NAMES[: voters + observers]
        self._observers = observers
        self.lives: dict[str, Life] = {}
        self.journals: dict[str, Journal] = {name: MemoryJournal() for name in self.names}
        self.history: list[tuple[float, str, str]] = []
        self._nursery = nursery
        self._seed = seed
        self._incarnations = 0
        self._compact_entries = compact_entries

    async def start(self, name: str) -> None:
        """Begin a life."""
        self._incarnations += 1
        machine = Register()
        member = Member(
            config(
                name,
                voters=len(self.names) - self._observers,
                observers=self._observers,
                compact_entries=self._compact_entries,
            ),
            machine,
            transport=self.network.transport(name),
            journal=self.journals[name],
            incarnation=self._incarnations,
            rng=random.Random(f"{self._seed}/{self._incarnations}"),
        )
        life = self.lives[name] = Life(member, machine, trio.CancelScope(), [])
        await self._nursery.start(self._run, name, life)

    async def _run(self, name: str, life: Life, *, task_status: trio.TaskStatus[None]) -> None:
        async def hold_office(epoch: int) -> None:
            life.epochs.append(epoch)
            self.note(name, f"epoch {epoch} begins")
            try:
                await trio.sleep_forever()
            finally:
                self.note(name, f"epoch {epoch} ends")

        with life.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(life.member.run)
                nursery.start_soon(run_with_authority, life.member, hold_office)
                task_status.started()

    def note(self, name: str, what: str) -> None:
        """Write down that something happened now."""
        self.history.append((trio.current_time(), name, what))

    async def kill(self, name: str) -> None:
        """End a life as SIGKILL does: its kernel closes its sessions."""
        self.lives.pop(name).scope.cancel()
        await trio.lowlevel.checkpoint()

    def coordinator(self) -> str | None:
        """Who may act now."""
        acting = [
            name
            for name, life in self.lives.items()
            if life.epochs and life.member.may_act(life.epochs[-1])
        ]
        assert len(acting) <= 1, f"two coordinators: {acting}"
        return acting[0] if acting else None

    async def wait_coordinator(self, *, other_than: str | None = None, within_s: float) -> str:
        """The coordinator, once there is one."""
        with trio.fail_after(within_s):
            while (name := self.coordinator()) in (None, other_than):  # noqa: ASYNC110
                await trio.sleep(0.001)
        return name

    def leaders(self) -> list[str]:
        """Who thinks it leads."""
        return [
            name
            for name, life in self.lives.items()
            if life.member.statistics().role is Role.LEADER
        ]

    def terms(self) -> dict[str, int]:
        """Each member's term."""
        return {name: life.member.statistics().term for name, life in self.lives.items()}


@asynccontextmanager
async def open_group(
    *,
    voters: int = 3,
    observers: int = 0,
    seed: int = 0,
    loss: float = 0.0,
    compact_entries: int = 1000,
    journals: dict[str, Journal] | None = None,
    network: MemoryNetwork | None = None,
) -> AsyncIterator[Group]:
    """A group whose members have all started; it ends with the block.

    Args:
        network: the one to use instead of a plain one.
        journals: what some members keep from an earlier group; the others' disks are empty.
    """
    async with trio.open_nursery() as nursery:
        group = Group(
            nursery,
            network or MemoryNetwork(seed=seed, loss=loss),
            voters,
            observers=observers,
            seed=seed,
            compact_entries=compact_entries,
        )
        group.journals |= journals or {}
        for name in group.names:
            await group.start(name)
        yield group
        nursery.cancel_scope.cancel()
