"""Simulated model servers: each keeps the only record that counts, what ran on it at once."""

import random
from collections.abc import Callable
from typing import Final

import attrs
import trio

from chaos.sim.system.history import Dispatch, Run, SystemHistory
from chaos.sim.system.processes import start_outside

__all__ = ["SERVICE_S", "ModelServer", "Reply"]

#: How long one request takes, seconds; with the way there and back well below the time limit.
SERVICE_S: Final = (0.02, 0.5)
#: Where requests may take longer than usual, some do, by this share of what they may take at most.
_LONG: Final = 0.25
_LONG_SHARE: Final = 0.8
#: One way between a front-end and a replica, seconds.
_DELAY_S: Final = (0.0003, 0.005)


@attrs.define(eq=False)
class Reply:
    """What a front-end waits for: `served`, `refused` (nobody listens) or `broken`."""

    event: trio.Event = attrs.field(factory=trio.Event)
    outcome: str = ""

    def give(self, outcome: str) -> None:
        """It has arrived."""
        self.outcome = outcome
        self.event.set()


class ModelServer:
    """One replica. A request that has reached it runs to its end, whoever still listens.

    Args:
        service_s: shortest and longest time that a request takes now, seconds.
    """

    def __init__(
        self,
        name: str,
        history: SystemHistory,
        nursery: trio.Nursery,
        rng: random.Random,
        *,
        service_s: Callable[[], tuple[float, float]],
    ) -> None:
        self.name = name
        self.is_alive = True
        self._history = history
        self._nursery = nursery
        self._rng = rng
        self._service_s = service_s
        self._running: dict[int, Run] = {}

    @property
    def running(self) -> int:
        """Requests it works on now."""
        return len(self._running)

    def send(self, dispatch: Dispatch, long_s: float, reaches: Callable[[], bool]) -> Reply:
        """Put a request on its way; nothing that happens to the sender stops it any more.

        Args:
            long_s: how long it may take, where that is longer than usual; else 0.
            reaches: whether packets get between the sender and this replica at the moment.
        """
        reply = Reply()
        start_outside(self._nursery, self._serve, dispatch, long_s, reaches, reply)
        return reply

    def crash(self) -> None:
        """What it worked on is gone."""
        self.is_alive = False
        for run in self._running.values():
            run.ended_at = trio.current_time()
        self._running.clear()

    async def _serve(
        self, dispatch: Dispatch, long_s: float, reaches: Callable[[], bool], reply: Reply
    ) -> None:
        await trio.sleep(self._rng.uniform(*_DELAY_S))
        if not (self.is_alive and reaches()):
            reply.give("refused")
            return
        run = Run(dispatch, trio.current_time())
        self._history.runs.append(run)
        self._running[id(run)] = run
        await trio.sleep(self._takes_s(long_s))
        if run.ended_at is None:
            del self._running[id(run)]
            run.ended_at, run.is_whole = trio.current_time(), True
        await trio.sleep(self._rng.uniform(*_DELAY_S))
        if reaches():
            reply.give("served" if run.is_whole else "broken")

    def _takes_s(self, long_s: float) -> float:
        shortest_s, longest_s = self._service_s()
        if long_s and self._rng.random() < _LONG:
            return self._rng.uniform(longest_s, long_s * _LONG_SHARE)
        return self._rng.uniform(shortest_s, longest_s)
