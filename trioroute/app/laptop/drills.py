"""What the demo's tour asks of the running `up`: its `TourControl`."""

from collections.abc import Sequence
from typing import Final

import trio

from trioroute.app.laptop.door import AdminDoor
from trioroute.app.laptop.front_ends import FrontEnds
from trioroute.core.status import ClusterStatus
from trioroute.demo.control import Office
from trioroute.demo.scoring import ScoringTarget

__all__ = ["Drills"]

#: How often to look whether a killed front-end is back, seconds.
_LOOK_S: Final = 0.05

#: A front-end that does not say who coordinates within this is left out of the answer, seconds.
_ASK_S: Final = 0.5


class Drills:
    """The front-ends of an `up`, as a drill needs them.

    Args:
        target: the endpoint that is scored while things break.
    """

    def __init__(self, target: ScoringTarget, door: AdminDoor, front_ends: FrontEnds) -> None:
        self._target = target
        self._door = door
        self._front_ends = front_ends
        self._killed_pids: dict[str, int | None] = {}

    @property
    def target(self) -> ScoringTarget:
        """The example endpoint's scoring URL and key."""
        return self._target

    @property
    def front_ends(self) -> Sequence[str]:
        """The front-ends' names."""
        return self._front_ends.names

    def pid(self, name: str) -> int | None:
        """The supervisor process of a front-end that runs just now."""
        return self._front_ends.pid(name)

    def kill(self, name: str) -> None:
        """SIGKILL a front-end; its workers die with it, and it is started again."""
        self._killed_pids[name] = self._front_ends.pid(name)
        self._front_ends.kill(name)

    async def find_office(self) -> Office | None:
        """Who coordinates, by the highest epoch that anybody has heard of."""
        found: list[Office] = []

        async def ask(name: str) -> None:
            with trio.move_on_after(_ASK_S):
                status = await self._door.status(name)
                if status is not None and status.coordinator is not None:
                    found.append(_office(status))

        async with trio.open_nursery() as nursery:
            for name in self.front_ends:
                nursery.start_soon(ask, name)
        # The coordinator's own account wins: it alone knows since when.
        return max(found, key=lambda o: (o.epoch, o.since_s is not None), default=None)

    async def wait_back(self, name: str) -> None:
        """Return once a killed front-end runs again and takes part in the group."""
        while True:
            # Its successor has another process id; the old one may answer for a moment.
            if self._front_ends.pid(name) not in (None, self._killed_pids.get(name)):
                with trio.move_on_after(_ASK_S):
                    if await self._door.is_ready(name):
                        return
            await trio.sleep(_LOOK_S)


def _office(status: ClusterStatus) -> Office:
    assert status.coordinator is not None
    return Office(status.coordinator.name, status.coordinator.epoch, status.coordinator.since_s)
