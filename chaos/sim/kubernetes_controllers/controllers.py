"""What the controller manager does: Deployments, StatefulSets, Jobs get their pods; orphans go."""

import math
from collections.abc import Callable

import trio

from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.objects import Objects
from chaos.sim.kubernetes_controllers.deployments import Deployments
from chaos.sim.kubernetes_controllers.endpoint_slices import EndpointSlices
from chaos.sim.kubernetes_controllers.garbage import Garbage
from chaos.sim.kubernetes_controllers.jobs import Jobs
from chaos.sim.kubernetes_controllers.quotas import Quotas
from chaos.sim.kubernetes_controllers.replica_sets import ReplicaSets
from chaos.sim.kubernetes_controllers.stateful_sets import StatefulSets

__all__ = ["Controllers"]


class Controllers:
    """The controllers and the garbage collector of one fake cluster."""

    def __init__(self, objects: Objects, kinds: Callable[[], list[Kind]]) -> None:
        """Args:
        kinds: all that are served now.
        """
        self._objects = objects
        self._garbage = Garbage(objects, kinds)
        self._deployments = Deployments(objects)
        self._replica_sets = ReplicaSets(objects)
        self._stateful_sets = StatefulSets(objects)
        self._jobs = Jobs(objects)
        self._quotas = Quotas(objects)
        self._endpoint_slices = EndpointSlices(objects)
        self._changed = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        self._objects.store.listeners.append(self._poke)
        try:
            task_status.started()
            while True:
                self._changed = trio.Event()
                ends_at = self.step()
                left_s = math.inf if ends_at is None else max(ends_at - self._objects.now(), 0.05)
                with trio.move_on_after(left_s):
                    await self._changed.wait()
        finally:
            self._objects.store.listeners.remove(self._poke)

    def _poke(self) -> None:
        self._changed.set()

    def step(self) -> float | None:
        """One look at everything; returns when another is due though nothing changes.

        Returns: seconds since 1970.
        """
        self._garbage.step()
        due = [self._deployments.step(), self._jobs.step()]
        self._replica_sets.step()
        self._stateful_sets.step()
        self._quotas.step()
        self._endpoint_slices.step()
        return min((at for at in due if at is not None), default=None)
