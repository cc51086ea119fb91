"""Looks at every front-end again and again while a drill runs, and asks whether all is whole."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

import trio

from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.http import AdminClient
from trioroute.core.status import ClusterStatus
from trioroute.drills.evidence import Look, Whole
from trioroute.drills.wholeness import best_view, look_of, lost, rifts, whole_of

__all__ = ["Watcher"]

T = TypeVar("T")

#: A front-end answers from memory; a frozen one does not, and must not hold up the others.
_ASK_S: Final = 1.0
#: Between two looks at the same front-end, seconds. Each costs it some milliseconds.
_CALM_S: Final = 0.25
#: Between two looks at ourselves, seconds.
_TICK_S: Final = 0.05


class Watcher:
    """The front-ends of one system, seen from outside.

    Args:
        urls: front-end name to admin address.
        since: seconds since the drill began.
        look_s: between two looks at the same front-end while something is broken.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        *,
        token: str | None,
        since: Callable[[], float],
        look_s: float = 0.05,
    ) -> None:
        self.looks: list[Look] = []
        self.is_alert = False
        self.lateness_s = 0.0
        self.missing: tuple[str, ...] = ()
        self._clients = {
            name: AdminClient(url, timeout_s=_ASK_S, token=token) for name, url in urls.items()
        }
        self._since = since
        self._look_s = look_s
        self._offices: dict[int, tuple[str, float | None]] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        async with trio.open_nursery() as nursery:
            for client in self._clients.values():
                nursery.start_soon(self._watch, client)
            nursery.start_soon(self._watch_ourselves)

    def office_after(
        self, epoch: int, *, but: str = "", of: str = ""
    ) -> tuple[int, str, float | None] | None:
        """The next epoch after this one: its number, whose it is, and when it began.

        The beginning is by its own account, None until that is known.

        Args:
            but: whose epochs do not count.
            of: whose epochs alone count; empty counts everybody's.
        """
        later = [
            (each, *office)
            for each, office in self._offices.items()
            if each > epoch and office[0] != but and of in ("", office[0])
        ]
        return min(later, key=lambda office: office[0], default=None)

    async def views(self) -> dict[str, ClusterStatus]:
        """What each front-end says that answers."""
        found: dict[str, ClusterStatus] = {}

        async def ask(name: str, client: AdminClient) -> None:
            status = await _ask(client.status)
            if status is not None:
                found[name] = status

        async with trio.open_nursery() as nursery:
            for name, client in self._clients.items():
                nursery.start_soon(ask, name, client)
        return {name: found[name] for name in self._clients if name in found}

    async def readiness(self) -> dict[str, str]:
        """By front-end name, why it wants no requests; empty when it does."""
        found = dict.fromkeys(self._clients, "no answer")

        async def ask(name: str, client: AdminClient) -> None:
            answer = await _ask(client.readiness)
            if answer is not None:
                found[name] = "" if answer[0] else answer[1]

        async with trio.open_nursery() as nursery:
            for name, client in self._clients.items():
                nursery.start_soon(ask, name, client)
        return found

    async def whole(self) -> Whole | None:
        """The system now; None when nobody answers."""
        views = await self.views()
        ready = [name for name, why in (await self.readiness()).items() if not why]
        return whole_of(views, ready) if views else None

    async def wait_whole(self, before: Whole) -> None:
        """Return when nothing is missing any more of what was there before.

        Until then `missing` says what was at the newest look, a sentence each.
        """
        while True:
            views = await self.views()
            ready = [name for name, why in (await self.readiness()).items() if not why]
            now = whole_of(views, ready)
            self.missing = (*lost(before, now), *rifts(views, self._clients))
            if not self.missing:
                return
            await trio.sleep(self._look_s)

    async def wait_idle(self, before: Whole) -> None:
        """Return when no more slots are busy, and no more requests wait, than before."""
        while True:
            best = best_view(await self.views())
            if best is not None:
                look = look_of(best, 0.0)
                is_busier = (look.busy or 0) > (before.busy or 0)
                is_longer = (look.queued or 0) > (before.queued or 0)
                if look.busy is not None and not is_busier and not is_longer:
                    return
            await trio.sleep(_CALM_S)

    async def _watch(self, client: AdminClient) -> None:
        while True:
            status = await _ask(client.status)
            if status is not None:
                self._note(status)
            await trio.sleep(self._look_s if self.is_alert else _CALM_S)

    def _note(self, status: ClusterStatus) -> None:
        now_s = self._since()
        self.looks.append(look_of(status, now_s))
        office = status.coordinator
        if office is None:
            return
        began_s = None if office.since_s is None else now_s - office.since_s
        if began_s is not None or office.epoch not in self._offices:
            known = self._offices.get(office.epoch, ("", None))[1]
            # The first account is the nearest to the event: later ones carry more clock error.
            self._offices[office.epoch] = (office.name, known if known is not None else began_s)

    async def _watch_ourselves(self) -> None:
        while True:
            due = trio.current_time() + _TICK_S
            await trio.sleep_until(due)
            self.lateness_s = max(self.lateness_s, trio.current_time() - due)


async def _ask(question: Callable[[], T]) -> T | None:
    try:
        return await trio.to_thread.run_sync(partial(question), abandon_on_cancel=True)
    except (UnreachableError, ProblemAnswerError):
        return None
