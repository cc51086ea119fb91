"""The system as installed by `k8s/`: front-ends and replicas as pods, and clients before them."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import trio

from chaos.history import Death, Execution, FinalRead
from chaos.pods.install import definitions, overlay, secrets_of
from chaos.pods.site import Site
from chaos.processes.replicas import read_executions
from chaos.workload.clients import Clients, Shape
from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.http import AdminClient
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System as Admin
from trioroute.core.status import ClusterStatus

__all__ = ["ENDPOINT", "FRONT_ENDS", "PodSystem", "deployment", "endpoint", "is_ready"]

Json = dict[str, Any]

ENDPOINT: Final = "iris"
#: `app.kubernetes.io/name` of front-ends.
_NAME_LABEL: Final = "app.kubernetes.io/name"
_FRONT_END_NAME: Final = "trioroute"
FRONT_ENDS: Final = f"{_NAME_LABEL}={_FRONT_END_NAME}"

_SCORING_PORT: Final = 8080
_ADMIN_PORT: Final = 9090
_LOOK_S: Final = 0.1
_START_MAX_S: Final = 90.0
_DEADLINE_S: Final = 15.0


def endpoint(traffic: Mapping[str, int]) -> Json:
    """An OnlineEndpoint whose requests are shared out so."""
    spec = {"name": ENDPOINT, "auth_mode": "key", "traffic": dict(traffic)}
    return _resource("OnlineEndpoint", ENDPOINT, spec)


def deployment(
    name: str,
    image: str,
    command: str,
    *,
    properties: Mapping[str, str] = MappingProxyType({}),
    **spec: Any,
) -> Json:
    """An OnlineDeployment of the recording model server; two requests at a time."""
    probe = {"initial_delay": 0, "period": 1, "timeout": 2, "failure_threshold": 3}
    said = {
        "name": name,
        "endpoint_name": ENDPOINT,
        "environment": {"image": image},
        "properties": {"trioroute.command": command, **properties},
        "request_settings": {
            "request_timeout_ms": 5000,
            "max_concurrent_requests_per_instance": 2,
            "max_queue_wait_ms": 8000,
        },
        "readiness_probe": probe,
        "liveness_probe": probe,
        **spec,
    }
    return _resource("OnlineDeployment", f"{ENDPOINT}-{name}", said)


def _resource(kind: str, name: str, spec: Json) -> Json:
    return {
        "apiVersion": "trioroute.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


class PodSystem:  # house: all that a cluster can be asked about one installation
    """One installation. The `Door` of its clients: the Service before the front-ends."""

    def __init__(self, site: Site, *, service_s: float = 0.015) -> None:
        """Args:
        service_s: what an ordinary request costs a replica.
        """
        self.site = site
        self.key = ""
        self._doors: list[tuple[str, tuple[str, int]]] = []
        self.clients = Clients(
            self,
            Shape(
                path=f"/api/v1/service/{ENDPOINT}/score",
                chat_path="/",
                service_s=service_s,
                deadline_s=_DEADLINE_S,
            ),
        )

    def order(self, number: int) -> list[tuple[str, tuple[str, int]]]:
        """Ready front-ends, each number beginning at another."""
        doors = self._doors
        return doors[number % len(doors) :] + doors[: number % len(doors)] if doors else []

    def authorization(self) -> str:
        """The endpoint's key."""
        return f"Bearer {self.key}"

    # Install, wait, read.

    async def install(self, name: str = "ha", *, kept: Sequence[Json] = (), **knobs: str) -> None:
        """Apply what an administrator applies: definitions, Secrets, an overlay.

        Args:
            kept: Secrets that the overlay wants besides those that all do.
        """
        site = self.site
        documents = await self.rendered(name, **knobs)
        (stateful,) = (one for one in documents if one["kind"] == "StatefulSet")
        pods = [f"trioroute-{number}" for number in range(stateful["spec"]["replicas"])]
        kept = (*kept, *secrets_of(pods, site.folder / "peers"))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": site.namespace}}
        await self.apply(namespace, *definitions(), *kept, *documents)

    async def rendered(
        self, name: str, *, components: Sequence[str] = (), **knobs: str
    ) -> Sequence[Json]:
        """An overlay's documents, for this site's namespace and image."""
        site = self.site
        render = partial(
            overlay,
            name,
            site.namespace,
            site.folder / "overlay",
            image=site.image,
            knobs={"UNREADY_S": "1", "DRAIN_S": "10", **knobs},
            components=components,
        )
        documents = await trio.to_thread.run_sync(render)
        if site.kubelet is None:
            # Real nodes, perhaps fewer than three: where pods stand is no matter of the suite's.
            for one in documents:
                if one["kind"] == "StatefulSet":
                    one["spec"]["template"]["spec"].pop("topologySpreadConstraints", None)
        return documents

    async def follow_front_ends(self) -> None:
        """Be their Service: keep in mind who is ready, until cancelled."""
        while True:
            pods = await self.site.kube.list("Pod", self.site.namespace, FRONT_ENDS)
            self._doors = [
                (pod["metadata"]["name"], (pod["status"]["podIP"], _SCORING_PORT))
                for pod in pods
                if is_ready(pod)
            ]
            await trio.sleep(_LOOK_S)

    async def wait_front_ends(self, count: int) -> None:
        """Return when so many are ready. Raises trio.TooSlowError."""
        with trio.fail_after(_START_MAX_S):
            while len(self._doors) < count:
                await trio.sleep(_LOOK_S)

    async def apply(self, *documents: Json) -> None:
        """Apply custom resources, or whatever else."""
        for document in documents:
            await self.site.kube.apply(document, self.site.namespace)

    async def fetch_key(self) -> None:
        """Ask for the endpoint's key, as its clients are given it."""
        with trio.fail_after(_START_MAX_S):
            while not self.key:
                with contextlib.suppress(UnreachableError, ProblemAnswerError):
                    client = ResourceClient(Admin(admin_urls=await self.admin_urls()))
                    found = await trio.to_thread.run_sync(client.credentials, ENDPOINT)
                    self.key = found.primary_key
                await trio.sleep(_LOOK_S)

    async def admin_urls(self) -> tuple[str, ...]:
        """Of all front-ends that run."""
        if self.site.admin_urls is not None:
            return tuple(await trio.to_thread.run_sync(self.site.admin_urls))
        pods = await self.site.kube.list("Pod", self.site.namespace, FRONT_ENDS)
        found = [pod["status"].get("podIP") for pod in pods]
        return tuple(f"http://{address}:{_ADMIN_PORT}" for address in found if address)

    async def status(self) -> ClusterStatus | None:
        """What the coordinator says, or whoever answers."""
        best = None
        for url in await self.admin_urls():
            try:
                best = await trio.to_thread.run_sync(AdminClient(url).status)
            except (UnreachableError, ProblemAnswerError):
                continue
            if best.coordinator is not None and best.coordinator.name == best.reporter:
                break
        return best

    async def wait_condition(self, kind: str, name: str, condition: str, reason: str) -> None:
        """Return when a custom resource says so of itself. Raises trio.TooSlowError."""
        said: dict[str, tuple[str, str]] = {}
        with trio.move_on_after(_START_MAX_S):
            while True:
                found = await self.site.kube.find(kind, self.site.namespace, name) or {}
                conditions = (found.get("status") or {}).get("conditions") or ()
                said = {one["type"]: (one["reason"], one["message"]) for one in conditions}
                if said.get(condition, ("", ""))[0] == reason:
                    return
                await trio.sleep(_LOOK_S)
        raise trio.TooSlowError(f"{kind} {name}: no {condition}={reason}, but {said}")

    async def replicas(self, name: str = "") -> Sequence[Json]:
        """Pods of a deployment, or of all, that are not being deleted."""
        labels = f"trioroute.dev/endpoint={ENDPOINT}"
        labels += f",trioroute.dev/deployment={name}" if name else ""
        pods = await self.site.kube.list("Pod", self.site.namespace, labels)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    async def wait_replicas(self, name: str, low: int, high: int) -> None:
        """Return when so many are ready and none is on its way. Raises trio.TooSlowError."""
        pods: Sequence[Json] = ()
        with trio.move_on_after(_START_MAX_S):
            while True:
                pods = await self.replicas(name)
                if low <= len(pods) <= high and all(map(is_ready, pods)):
                    return
                await trio.sleep(_LOOK_S)
        raise trio.TooSlowError(f"{name}: {len(pods)} replicas, {sum(map(is_ready, pods))} ready")

    def pids(self) -> list[int]:
        """Of the containers that run here."""
        containers = self.site.containers
        return [] if containers is None else containers.pids()

    def deaths(self) -> list[Death]:
        """Front-ends whose containers ended and nobody had told them to, of those that run here."""
        kubelet = self.site.kubelet
        return [
            Death(at=one.at, name=one.pod, status=one.status)
            for one in (kubelet.exits if kubelet else ())
            if one.labels.get(_NAME_LABEL) == _FRONT_END_NAME
        ]

    def executions(self) -> list[Execution]:
        """What all replicas have recorded, of those that run here."""
        containers = self.site.containers
        return [
            execution
            for file in (containers.files("record") if containers else ())
            for execution in read_executions(file.read_text(), file.parent.parent.name)
        ]

    async def read_finally(self) -> FinalRead:
        """What the system says of itself without load."""
        status = await self.status() or ClusterStatus(reporter="")
        rows = [row for one in status.endpoints for row in one.deployments]
        office = status.coordinator
        # The coordinator alone knows: nobody who can say what runs is as bad as what runs.
        unknown = sum(row.busy is None or row.queued is None for row in rows) or not rows
        return FinalRead(
            coordinator=office.name if office else "",
            epoch=office.epoch if office else 0,
            ready=tuple(name for name, _ in self._doors),
            unready=(),
            busy=sum(row.busy or 0 for row in rows) + unknown,
            queued=sum(row.queued or 0 for row in rows),
            replicas_ready=sum(row.ready_count for row in rows),
            replicas_wished=len(await self.replicas()),
            probes_failed=(),
        )


def is_ready(pod: Json) -> bool:
    """Whether a Service would send it requests."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    is_told = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return is_told and "deletionTimestamp" not in pod["metadata"]
