"""The coordinator looks at its fellow front-ends' pods: whose container has ended is dead.

A front-end that starts again proves its own earlier end (`app.host.predecessor`). This is for one
that cannot: its container keeps ending, or its image has gone. Without proof its homes would wait
for a fence. Other machines' clocks are not believed: how long ago it ended counts from when it was
seen here.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio

from trioroute.app.data_folder import first_incarnation_after
from trioroute.core.decisions import Decision, DecisionKind
from trioroute.core.registry import ProveDead, RecordDecisions, RegistryState
from trioroute.discovery.kube.api import KubeApi
from trioroute.discovery.kube.endings import Ending, ending_of, selector_of
from trioroute.discovery.kube.registry import ResourceLog
from trioroute.discovery.kube.watch import KubeWatch

__all__ = ["FrontEndDeaths", "unproven"]

#: The log may name a holder a moment after its pod was seen: it is compared again, seconds.
_LOOK_S: Final = 1.0

_LOG: Final = logging.getLogger(__name__)


@attrs.frozen
class _Seen:
    ending: Ending
    at: float


class FrontEndDeaths:
    """Has the log say which front-ends Kubernetes reports to have ended. For the office only."""

    def __init__(
        self,
        api: KubeApi,
        log: ResourceLog,
        *,
        front_ends: Sequence[str],
        clock: Callable[[], float],
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """Args:
        api: of the front-ends' own namespace.
        front_ends: whose pods to look at.
        clock: must not stop while the machine sleeps.
        unix_time: for people, in the record of what was decided.
        """
        self._api = api
        self._log = log
        self._front_ends = tuple(front_ends)
        self._clock = clock
        self._unix_time = unix_time
        self._seen: dict[str, _Seen] = {}
        self._changed = trio.Event()

    async def run(self, epoch: int) -> None:
        """Watch until cancelled. Where it is not allowed to look, it says so and tries on.

        Raises:
            ControlError: the log cannot be written: the office is lost.
        """
        watch = KubeWatch(
            self._api.pods(),
            what="front-ends' pods",
            namespace=self._api.namespace,
            changed=self._poke,
            selector=selector_of(self._front_ends),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            while True:
                with trio.move_on_after(_LOOK_S):
                    await self._changed.wait()
                self._changed = trio.Event()
                for pod in watch.objects.values():
                    self._note(ending_of(pod))
                for seen in self._seen.values():
                    await self._prove(seen, epoch)

    def _poke(self) -> None:
        self._changed.set()

    def _note(self, ending: Ending | None) -> None:
        """Keep the newest of each front-end, and when it was seen first."""
        if ending is None:
            return
        known = self._seen.get(ending.front_end)
        if known is None or known.ending.boot < ending.boot:
            self._seen[ending.front_end] = _Seen(ending, self._clock())

    async def _prove(self, seen: _Seen, epoch: int) -> None:
        name, how = seen.ending.front_end, seen.ending.how
        below = first_incarnation_after(seen.ending.boot)
        for holder in unproven(self._log.state, name, below):
            ended_s_ago = max(0.0, self._clock() - seen.at)
            proof = ProveDead(holder=holder, below=below, ended_s_ago=ended_s_ago)
            result = await self._log.commit(proof)
            if result.error:
                continue  # it has started again, or was fenced, meanwhile
            _LOG.info("%s: Kubernetes reports that its container ended (%s)", holder, how)
            decision = Decision(
                at_s=self._unix_time(),
                epoch=epoch,
                kind=DecisionKind.FENCE,
                subject=holder,
                summary=f"proven dead: Kubernetes reports that its container ended ({how})",
            )
            await self._log.commit(RecordDecisions(epoch=epoch, decisions=(decision,)))


def unproven(state: RegistryState, front_end: str, below: int) -> list[str]:
    """Holders of a front-end that ended by this, and of which the log does not know it yet.

    Args:
        below: incarnations lower than this have ended.
    """
    return [
        holder
        for holder, incarnation in state.holders.items()
        if holder.rpartition("/")[0] == front_end
        and incarnation < below
        and holder not in state.clean  # it left nothing behind
        and (holder not in state.dead or state.dead[holder].below < below)
    ]
