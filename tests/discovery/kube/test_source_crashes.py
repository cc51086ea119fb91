"""A coordinator that is killed at any of its writes: the next one finishes what it began.

Every write of a whole life is found by counting; then the life is lived again for each of them,
and the coordinator is killed there: before the API server has the request, or after it was carried
out and before anybody heard. All goes through the official client.
"""

from collections.abc import Callable
from typing import Any, Final

import pytest
import trio

from chaos.sim.kubernetes.requests import Answer, Request
from tests.k8s.cluster import FakeCluster, open_cluster, wait_until
from tests.k8s.copyist import RegistryOfTest
from trioroute.core.found import FoundReplica
from trioroute.core.registry import Registry
from trioroute.discovery.kube.objects import MADE_FROM
from trioroute.discovery.kube.source import KubeReplicaSource

Json = dict[str, Any]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: More than a life has, so that none is missed.
_WRITES_MAX: Final = 200
_LOOK_S: Final = 0.02
_MADE: Final = ("Deployment", "Service", "ConfigMap")


class _Axe:
    """Kills the coordinator at one of its writes."""

    def __init__(self, at: int, *, is_done: bool, server_answers: Callable[[Request], Any]) -> None:
        self._at = at
        self._is_done = is_done
        self._answers = server_answers
        self.writes: list[str] = []
        self.scope = trio.CancelScope()
        self.has_fallen = False

    def sees(self, request: Request) -> Answer | None:
        """Called by the server for each request."""
        if request.method == "GET" or "router" not in request.headers.get("authorization", ""):
            return None
        self.writes.append(f"{request.method} {request.path}")
        if len(self.writes) != self._at:
            return None
        if self._is_done:
            self._answers(request)
        self.has_fallen = True
        self.scope.cancel()
        return Answer(status=500, body="nobody hears this")


class _Life:
    """One namespace through several coordinators."""

    def __init__(self, cluster: FakeCluster, axe: _Axe) -> None:
        self._cluster = cluster
        self._axe = axe
        self._log = Registry()
        self._epoch = 0
        self.picture: tuple[FoundReplica, ...] = ()

    async def coordinate(self) -> None:
        """Coordinators, each with a new epoch and no memory but the log's, until cancelled."""
        while True:
            self._epoch += 1
            scope = trio.CancelScope()
            if not self._axe.has_fallen:
                self._axe.scope = scope
            with scope:
                await self._office()

    async def _office(self) -> None:
        source, copyist = self._cluster.source(), RegistryOfTest(self._cluster)
        copyist.registry = self._log
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, source)
            nursery.start_soon(copyist.run)
            while True:
                await self._wish(source)
                await trio.sleep(_LOOK_S)

    async def _watch(self, source: KubeReplicaSource) -> None:
        async with source.watch() as pictures:
            async for picture in pictures:
                self.picture = picture

    async def _wish(self, source: KubeReplicaSource) -> None:
        """What the fleet says: the oldest go first when there are too many."""
        desired = [(one, one.scale.instance_count) for one in self._log.state.deployments.values()]
        retire = [
            found.id
            for deployment, count in desired
            for found in sorted(self._running(deployment.key), key=lambda one: one.started_at)[
                : max(len(self._running(deployment.key)) - count, 0)
            ]
        ]
        await source.set_desired(self._epoch, desired, retire)

    def _running(self, key: str) -> list[FoundReplica]:
        return [one for one in self.picture if one.deployment == key and one.state == "running"]

    # What happens to the resources, and what must come of it.

    async def live(self) -> None:
        """Made, changed, scaled up and down, deleted; each time it must come out right."""
        cluster = self._cluster
        cluster.make("OnlineEndpoint", _ENDPOINT)
        await self._comes_out(1)
        before = self._marks()
        cluster.change("OnlineDeployment", "iris-blue", _with(image="registry.example/model:2"))
        await wait_until(lambda: not self._marks() & before)
        await self._comes_out(1)
        cluster.change("OnlineDeployment", "iris-blue", _with(instance_count=3))
        await self._comes_out(3)
        cluster.change("OnlineDeployment", "iris-blue", _with(instance_count=2))
        await self._comes_out(2)
        cluster.delete("OnlineDeployment", "iris-blue")
        cluster.delete("OnlineEndpoint", "iris")
        await wait_until(lambda: not self._log.state.endpoints)
        await wait_until(lambda: not any(cluster.list(kind) for kind in (*_MADE, "Pod")))
        await wait_until(lambda: self.picture == ())

    async def _comes_out(self, count: int) -> None:
        def is_right() -> bool:
            pods = [pod for pod in self._cluster.list("Pod") if _lives(pod)]
            made = [[one["metadata"]["name"] for one in self._cluster.list(k)] for k in _MADE]
            said = (self._cluster.get("OnlineDeployment", "iris-blue") or {}).get("status", {})
            return (
                made == [["iris-blue"]] * len(_MADE)
                and len(pods) == len(self._running("iris/blue")) == count
                and len(self._marks()) == 1
                and bool(said.get("conditions"))
            )

        await wait_until(is_right)

    def _marks(self) -> set[str]:
        pods = [pod for pod in self._cluster.list("Pod") if _lives(pod)]
        return {pod["metadata"]["labels"][MADE_FROM] for pod in pods}


async def _live(at: int, *, is_done: bool = False) -> list[str]:
    """One life with a kill at a write; returns all writes that were made."""
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        axe = _Axe(at, is_done=is_done, server_answers=cluster.api._answer)
        cluster.server.faults.refuses = axe.sees
        # Short, so that nothing waits for a terminating pod.
        cluster.change("OnlineDeployment", "iris-blue", _with(request_timeout_ms=100))
        life = _Life(cluster, axe)
        nursery.start_soon(life.coordinate)
        await life.live()
        nursery.cancel_scope.cancel()
    return axe.writes


@pytest.mark.parametrize(("at", "is_done"), [(3, True), (6, False)])
async def test_killed_at_some_writes_and_finished_by_the_next(at: int, is_done: bool) -> None:
    assert len(await _live(at, is_done=is_done)) > at


@pytest.mark.long
async def test_killed_at_every_write_and_finished_by_the_next() -> None:
    writes = await _live(_WRITES_MAX + 1)
    print(f"\n{len(writes)} writes in a life: {len(set(writes))} different")
    assert len(writes) < _WRITES_MAX
    for number, write in enumerate(writes, start=1):
        for is_done in (False, True):
            began_at = trio.current_time()
            await _live(number, is_done=is_done)
            when = "after" if is_done else "before"
            print(f"killed {when} {number:3} {write}: {trio.current_time() - began_at:.1f} s")


def _with(
    *, image: str = "", instance_count: int = 0, request_timeout_ms: int = 0
) -> Callable[[Json], Json]:
    def change(old: Json) -> Json:
        spec = dict(old["spec"])
        if image:
            spec["environment"] = {"image": image}
        if instance_count:
            spec["instance_count"] = instance_count
        if request_timeout_ms:
            spec["request_settings"] = {"request_timeout_ms": request_timeout_ms}
        return {**old, "spec": spec}

    return change


def _lives(pod: Json) -> bool:
    return "deletionTimestamp" not in pod["metadata"]


_ENDPOINT: Final[Json] = {
    "metadata": {"name": "iris"},
    "spec": {"name": "iris", "auth_mode": "key", "traffic": {"blue": 100}},
}
