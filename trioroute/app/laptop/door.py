"""How `up` speaks to its front-ends: their admin APIs, asked from Trio, and what it waits for."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol, TypeVar

import trio

from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.http import AdminClient
from trioroute.core.model import Deployment, Endpoint
from trioroute.core.status import ClusterStatus, DeploymentStatus, ReplicaCondition
from trioroute.errors import TrioRouteError

__all__ = ["AdminDoor", "NotReadyError", "Progress"]

T = TypeVar("T")

#: How often to look again while something starts, seconds.
_LOOK_S: Final = 0.1

#: All front-ends up and a coordinator chosen: an election takes a second, imports another; slow
#: shared machines get the rest.
_COORDINATOR_S: Final = 60.0

#: Starts that a replica may fail before the deployment is given up: the first may have met a port
#: that was taken, the second says it again.
_FAILED_STARTS: Final = 2

#: How long a deployment may go without any sign of progress. A runtime that is being built says so.
_SILENT_S: Final = 180.0


class NotReadyError(TrioRouteError):
    """Something that was started does not get ready; the message says what and why.

    Args:
        replica: the replica that fails, whose last lines may tell more; empty when there is none.
    """

    reason = "not-ready"

    def __init__(self, message: str, *, replica: str = "") -> None:
        super().__init__(message)
        self.replica = replica


class Progress(Protocol):
    """Where steps are told."""

    def progress(self, text: str) -> None:
        """One step is under way, or something happened."""


class AdminDoor:
    """The admin APIs of all front-ends of one `up`, by name."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._clients = {name: AdminClient(url) for name, url in urls.items()}

    async def status(self, name: str | None = None) -> ClusterStatus | None:
        """The system as one front-end sees it, None when it does not answer.

        Args:
            name: the front-end to ask; None finds the coordinator, who knows most.
        """
        if name is not None:
            return await self._ask(self._clients[name].status)
        for asked, client in self._clients.items():
            status = await self._ask(client.status)
            if status is None:
                continue
            office = status.coordinator
            if office is None or office.name == asked:
                return status
            return await self._ask(self._clients[office.name].status) or status
        return None

    async def wait_coordinator(self) -> None:
        """Return when every front-end is ready, which includes that it knows a coordinator.

        Raises:
            NotReadyError: one does not get there.
        """
        why = "no answer"
        with trio.move_on_after(_COORDINATOR_S):
            for name, client in self._clients.items():
                while True:
                    is_ready, why = await self._ask(client.readiness) or (False, "no answer")
                    if is_ready:
                        break
                    why = f"{name}: {why}"
                    await trio.sleep(_LOOK_S)
            return
        raise NotReadyError(f"the front-ends did not get ready within {_COORDINATOR_S:g} s: {why}")

    async def is_ready(self, name: str) -> bool:
        """Whether a front-end wants requests."""
        answer = await self._ask(self._clients[name].readiness)
        return answer is not None and answer[0]

    async def answers(self, name: str) -> bool:
        """Whether a front-end says anything at all."""
        return await self._ask(self._clients[name].readiness) is not None

    async def put_registry(
        self, endpoints: tuple[Endpoint, ...], deployments: tuple[Deployment, ...]
    ) -> None:
        """Replace all endpoints and deployments, through whichever front-end answers.

        Raises:
            ProblemAnswerError: the change was refused.
            NotReadyError: nobody took it.
        """
        why: TrioRouteError | None = None
        for client in self._clients.values():
            put = partial(client.put_registry, endpoints, deployments)
            try:
                await trio.to_thread.run_sync(put, abandon_on_cancel=True)
            except UnreachableError as error:
                why = error
            else:
                return
        raise NotReadyError(f"no front-end took the endpoints: {why}")

    async def wait_replicas(self, wished: Mapping[str, int], screen: Progress) -> ClusterStatus:
        """Return when each deployment has the replicas it wants, or some and no hope for more.

        Args:
            wished: how many replicas of each deployment, by its key.

        Raises:
            NotReadyError: one keeps failing, or shows no progress at all.
        """
        said: set[tuple[str, str]] = set()
        changed_at = trio.current_time()
        while True:
            status = await self.status()
            waiting = _waiting(status, wished) if status is not None else {}
            if status is not None and not waiting:
                return status
            for key, text in waiting.items() - said:
                said.add((key, text))
                changed_at = trio.current_time()
                screen.progress(f"{key}: {text}")
            if trio.current_time() - changed_at > _SILENT_S:
                raise NotReadyError(f"no progress for {_SILENT_S:g} s: {waiting}")
            await trio.sleep(_LOOK_S)

    async def _ask(self, question: Callable[[], T]) -> T | None:
        try:
            return await trio.to_thread.run_sync(question, abandon_on_cancel=True)
        except (UnreachableError, ProblemAnswerError):
            return None


def _waiting(status: ClusterStatus, wished: Mapping[str, int]) -> dict[str, str]:
    """The deployments that are not all there yet, and what they are waiting for.

    Raises:
        NotReadyError: a deployment's replicas have failed too often.
    """
    found = {d.key: d for endpoint in status.endpoints for d in endpoint.deployments}
    waiting: dict[str, str] = {}
    for key, count in wished.items():
        deployment = found.get(key)
        if deployment is None:
            waiting[key] = "waiting for the coordinator"
        elif deployment.ready_count < count and not _goes_on_with_fewer(deployment):
            waiting[key] = _describe(deployment)
    return waiting


def _goes_on_with_fewer(deployment: DeploymentStatus) -> bool:
    """Whether some replicas serve and another has failed: nobody should wait for that one.

    Raises:
        NotReadyError: replicas fail and none serves.
    """
    for replica in deployment.replicas:
        if replica.state is ReplicaCondition.BACKING_OFF and replica.restarts >= _FAILED_STARTS:
            if deployment.ready_count:
                return True
            raise NotReadyError(
                f"deployment {deployment.key} does not start: {replica.reason}", replica=replica.id
            )
    return False


def _describe(deployment: DeploymentStatus) -> str:
    reasons = [replica.reason for replica in deployment.replicas if replica.reason]
    # Of several, the one that does something: others may only wait for it.
    return min(reasons, key=lambda text: "waiting for" in text, default="replicas are starting")
