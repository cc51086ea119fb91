"""The processes of a `trioroute up` on this machine as a world to drill."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import attrs
import msgspec

from trioroute.client.local import LOCK_NAME, SUMMARY_NAME, lock_owner
from trioroute.demo.witness import find_family, find_held_ports
from trioroute.drills.catalogue import Deed
from trioroute.drills.guarding.post import Post
from trioroute.drills.local.dedicated import objection_to_filling
from trioroute.drills.local.post import open_post
from trioroute.drills.local.severed import can_sever
from trioroute.drills.local.wounds import Ballast, Cut, Frozen, Process, Wound
from trioroute.drills.world import Target, WorldError

__all__ = ["LocalWorld"]


class _Summary(msgspec.Struct):
    """Of `up.json`, what is needed here."""

    pid: int
    admin_urls: dict[str, str]


@attrs.define
class LocalWorld:
    """One `up`, by its data folder.

    Args:
        lock_fd: of `lock_drills`.
    """

    _data: Path
    _lock_fd: int
    _summary: _Summary
    _post: Post | None = None

    @classmethod
    def open(cls, data: Path, lock_fd: int) -> "LocalWorld":
        """Look the processes up.

        Raises:
            WorldError: there is no running `up` here.
        """
        try:
            summary = msgspec.json.decode((data / SUMMARY_NAME).read_bytes(), type=_Summary)
            owner = lock_owner((data / LOCK_NAME).read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            raise WorldError(f"no `trioroute up` runs from {data}: {error}") from None
        if owner != summary.pid:
            raise WorldError(f"no `trioroute up` runs from {data}: it left its summary behind")
        return cls(data.resolve(), lock_fd, summary)

    @property
    def name(self) -> str:
        """In words, for reports."""
        return f"trioroute up in {self._data}"

    @property
    def admin_urls(self) -> Mapping[str, str]:
        """Front-end name to admin address."""
        return self._summary.admin_urls

    @property
    def look_s(self) -> float:
        """A look costs a front-end some milliseconds, and nobody else anything."""
        return 0.05

    @property
    def is_sure(self) -> bool:
        """Who gets SIGKILL is dead, and filters of the kernel are asked by every packet."""
        return True

    def objection(self, deed: Deed, target: Target) -> str:
        """Why the deed cannot be done here, and what to do instead; empty when it can."""
        pids = self._pids(target)
        if not pids:
            if target.is_replica:
                return f"no process of {target.name} was found: see `trioroute get replicas`"
            log = self._data / "log" / f"{target.name}.log"
            return (
                f"{target.name} does not run just now: wait until `up` has started it again "
                f"(`trioroute status`); if it stays away, {log} says why"
            )
        foreign = sorted(set(pids) - find_family(self._summary.pid))
        if foreign:
            return f"process {foreign[0]} of {target.name} does not descend from this `up`"
        if not os.access(f"/proc/{pids[0]}/fd", os.R_OK):
            return f"the processes of {target.name} are another user's"
        if deed is Deed.FILL:
            return objection_to_filling(self._data / target.name)
        if deed is Deed.CUT:
            why = can_sever(pids[0])
            instead = "run it as the user of `up` or as root, or try `drill frozen-coordinator`"
            return f"{why}: {instead}" if why else ""
        return ""

    def held_ports(self, front_end: str, scoring_port: int) -> frozenset[int] | None:
        """Client ports of the connections that a front-end holds now."""
        families = {front_end: self._pids(Target(front_end))}
        return frozenset(find_held_ports(families, scoring_port))

    def identity(self, target: Target) -> str:
        """What tells this life of the target from the next one; empty while there is none."""
        pids = self._pids(target)
        if not pids:
            return ""
        first = Process.of(pids[0])
        return f"{first.pid}@{first.started}"

    async def strike(self, deed: Deed, target: Target, *, lasts_s: float) -> None:
        """Do it; returns when it is done.

        Raises:
            WorldError: it was not done.
        """
        objection = self.objection(deed, target)
        if objection:
            raise WorldError(objection)
        if not deed.is_lasting:
            self._signal(deed, target)
            return
        wound = self._wound(deed, target)
        self._post = await open_post(self._data, wound, lasts_s=lasts_s, lock_fd=self._lock_fd)

    async def mend(self) -> None:
        """Undo whatever lasting deed is still there.

        Raises:
            WorldError: something is left.
        """
        post, self._post = self._post, None
        if post is not None:
            await post.close()

    def _signal(self, deed: Deed, target: Target) -> None:
        pids = self._pids(target)
        # A front-end's workers die with their supervisor; asked to end, it asks them itself.
        struck = pids if target.is_replica else pids[:1]
        number = signal.SIGKILL if deed is Deed.KILL else signal.SIGTERM
        hit = [Process.of(pid).signal(number) for pid in struck]
        if not any(hit):
            raise WorldError(f"{target.name} had ended already")

    def _wound(self, deed: Deed, target: Target) -> Wound:
        if deed is Deed.FILL:
            return Ballast(str(self._data / target.name))
        processes = self._processes(target)
        if deed is Deed.FREEZE:
            return Frozen(processes, whose=target.name)
        others = [name for name in self.admin_urls if name != target.name]
        return Cut(
            one=processes,
            others=tuple(p for name in others for p in self._processes(Target(name))),
            ports=tuple(self._peer_ports(target.name)),
            whose=target.name,
        )

    def _processes(self, target: Target) -> tuple[Process, ...]:
        return tuple(Process.of(pid) for pid in self._pids(target))

    def _pids(self, target: Target) -> list[int]:
        """The first is the one that counts: the supervisor, the model server."""
        if not target.is_replica:
            try:
                owner = lock_owner((self._data / target.name / LOCK_NAME).read_bytes())
            except OSError:
                return []
            return [] if owner is None else [owner, *sorted(find_family(owner) - {owner})]
        if target.pid is None:
            return []
        # The leash only stands between the runner and the model server.
        below = sorted(find_family(target.pid) - {target.pid})
        return below or []

    def _peer_ports(self, front_end: str) -> list[int]:
        """Where all front-ends take peers, as one of them was told on its command line."""
        (pid, *_) = self._pids(Target(front_end))
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        peers = words[words.index("--peers") + 1]
        return [int(peer.rpartition(":")[2]) for peer in peers.split(",")]
