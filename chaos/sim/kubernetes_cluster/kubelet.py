"""A toy kubelet: binds pods, gives them addresses, says when they are ready, ends them in order.

What runs in a pod is a `Runtime`: `Idle` runs nothing and is ready when told; `containers` runs
processes of this machine. It asks any API server through `Kube`, so it also serves control planes
that have no nodes. A container that ends by itself, or is ended because it failed a probe, is
started again after a pause, as another one: its restarts are counted. One container a pod, without
those that run first; CPU is not limited.
"""

import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

import attrs
import trio

from chaos.sim.kubernetes_cluster.kube import Kube

__all__ = ["Addresses", "Exit", "Idle", "Kubelet", "Ready", "Runtime"]

Json = dict[str, Any]
Ready = Callable[[bool], Awaitable[None]]

_NODE: Final = "node-a"
#: Pauses before a container that ended is started again, seconds.
_PAUSE_FIRST_S: Final = 0.2
_PAUSE_MAX_S: Final = 10.0
#: As many restarts, and people are told that it keeps ending.
_LOOPING: Final = 3


class Runtime(Protocol):
    """Runs the container of one pod."""

    async def run(self, pod: Json, address: str, ready: Ready) -> int:
        """Until cancelled, then end it in order; or until it ends by itself: its exit status."""
        ...

    async def execute(self, pod: Json, address: str, command: list[str]) -> None:
        """Run a command in the container, as a hook does."""
        ...

    def kill(self, uid: str) -> None:
        """End a pod's container at once; nothing when it does not run."""
        ...


class Idle:
    """Containers that do nothing: ready after a time, or when a test says so."""

    def __init__(self, ready_after_s: float = 0.0) -> None:
        self.ready_after_s = ready_after_s

    async def run(self, pod: Json, address: str, ready: Ready) -> int:
        """See `Runtime`."""
        del pod, address
        await trio.sleep(self.ready_after_s)
        await ready(True)
        await trio.sleep_forever()

    async def execute(self, pod: Json, address: str, command: list[str]) -> None:
        """See `Runtime`."""

    def kill(self, uid: str) -> None:
        """See `Runtime`."""


class Addresses:
    """Pods' addresses. Pods with a name of their own keep theirs: here names are not looked up."""

    def __init__(self, prefix: str) -> None:
        """Args:
        prefix: the first two numbers; 127.x for processes.
        """
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._named: dict[tuple[str, str], str] = {}
        #: To give out first, so that a test can let one come back.
        self.next: list[str] = []

    def fresh(self) -> str:
        """One that no pod had before."""
        if self.next:
            return self.next.pop(0)
        high, low = divmod(next(self._numbers), 250)
        return f"{self._prefix}.{high}.{low + 1}"

    def named(self, namespace: str, name: str) -> str:
        """The one of a pod of that name, which may be made later."""
        if (namespace, name) not in self._named:
            self._named[namespace, name] = self.fresh()
        return self._named[namespace, name]

    def give(self, namespace: str, name: str, address: str) -> None:
        """Let a pod with a name of its own have this one, whosesoever it was."""
        self._named[namespace, name] = address

    def of(self, pod: Json) -> str:
        """A new pod's."""
        if "subdomain" in pod["spec"]:
            return self.named(pod["metadata"]["namespace"], pod["metadata"]["name"])
        return self.fresh()


@attrs.frozen(kw_only=True)
class Exit:
    """A container that ended and nobody had told the kubelet to end it.

    Attributes:
        at: on the machine's monotonic clock, seconds.
        pod: its name.
        status: as `subprocess` has it: a signal's number is negative.
    """

    at: float
    pod: str
    labels: Mapping[str, str]
    status: int


@attrs.define(eq=False)
class _Running:
    scope: trio.CancelScope
    address: str
    is_ending: bool = False
    restarts: int = 0
    started_at: str = ""
    ended: Json = attrs.field(factory=dict)
    over: trio.Event = attrs.field(factory=trio.Event)


class Kubelet:
    """All nodes of a cluster."""

    def __init__(
        self, kube: Kube, runtime: Runtime, addresses: Addresses, *, namespace: str = ""
    ) -> None:
        """Args:
        namespace: whose pods run here; empty for all.
        """
        self._kube = kube
        self._runtime = runtime
        self._namespace = namespace
        self._running: dict[str, _Running] = {}
        self._killed: set[str] = set()
        self.addresses = addresses
        #: Of containers that ended by themselves, or that the kernel or a failed probe ended.
        self.exits: list[Exit] = []

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; containers end with it."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            try:
                while True:
                    pods = await self._kube.list("Pod", self._namespace)
                    for pod in pods:
                        self._look(nursery, pod)
                    self._forget({pod["metadata"]["uid"] for pod in pods})
                    await self._kube.wait_changed()
            finally:
                for uid in self._running:
                    self._runtime.kill(uid)

    def kill(self, uid: str) -> None:
        """End a pod's container as if it had crashed; that is nobody's own doing."""
        self._killed.add(uid)
        self._runtime.kill(uid)

    def _look(self, nursery: trio.Nursery, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        running = self._running.get(uid)
        is_told = "deletionTimestamp" in pod["metadata"]
        if running is None and not is_told:
            running = self._running[uid] = _Running(trio.CancelScope(), self.addresses.of(pod))
            nursery.start_soon(self._run_pod, pod, running)
        if running is not None and is_told and not running.is_ending:
            running.is_ending = True
            nursery.start_soon(self._end_pod, pod, running)

    def _forget(self, there: set[str]) -> None:
        """Pods that were deleted by force have no time to end."""
        for uid in [uid for uid in self._running if uid not in there]:
            running = self._running.pop(uid)
            self._runtime.kill(uid)
            running.scope.cancel()

    async def _run_pod(self, pod: Json, running: _Running) -> None:
        if not pod["spec"].get("nodeName"):
            await self._kube.bind(pod, _NODE)
        with running.scope:
            while True:
                running.started_at = _now()
                await self._say(pod, running, False)
                status = await self._runtime.run(
                    pod, running.address, partial(self._say, pod, running)
                )
                self._note_exit(pod, status)
                running.restarts += 1
                running.ended = {"terminated": _ended(status, running.started_at)}
                pause_s = min(_PAUSE_FIRST_S * 2 ** (running.restarts - 1), _PAUSE_MAX_S)
                await self._say(pod, running, False, waits=running.restarts >= _LOOPING)
                await trio.sleep(pause_s)
        running.over.set()

    def _note_exit(self, pod: Json, status: int) -> None:
        metadata = pod["metadata"]
        if metadata["uid"] in self._killed:
            self._killed.remove(metadata["uid"])
            return
        labels = metadata.get("labels") or {}
        noted = Exit(at=time.monotonic(), pod=metadata["name"], labels=labels, status=status)
        self.exits.append(noted)

    async def _say(
        self, pod: Json, running: _Running, is_ready: bool, *, waits: bool = False
    ) -> None:
        """Write the pod's status."""
        now = _now()
        word = "True" if is_ready else "False"
        container = {
            "name": pod["spec"]["containers"][0]["name"],
            "image": pod["spec"]["containers"][0]["image"],
            "imageID": "",
            "ready": is_ready,
            "restartCount": running.restarts,
            "state": {"running": {"startedAt": running.started_at}},
            "lastState": running.ended,
        }
        if waits:
            message = f"back-off restarting failed container: {running.ended['terminated']}"
            container["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        conditions = [
            {"type": kind, "status": status, "lastTransitionTime": now}
            for kind, status in (
                ("PodScheduled", "True"),
                ("Ready", word),
                ("ContainersReady", word),
            )
        ]
        status = {
            "phase": "Running",
            "podIP": running.address,
            "podIPs": [{"ip": running.address}],
            "conditions": conditions,
            "containerStatuses": [container],
        }
        metadata = pod["metadata"]
        await self._kube.merge(
            "Pod",
            metadata["namespace"],
            metadata["name"],
            # Of another pod with that name nothing may be said.
            patch={"metadata": {"uid": metadata["uid"]}, "status": status},
            subresource="status",
        )

    async def _end_pod(self, pod: Json, running: _Running) -> None:
        """preStop while it still serves, then the end, then the pod is gone."""
        hooks = pod["spec"]["containers"][0].get("lifecycle") or {}
        grace_s = pod["metadata"]["deletionGracePeriodSeconds"]
        hook = hooks.get("preStop", {})
        with trio.move_on_after(grace_s):
            if "exec" in hook:
                await self._runtime.execute(pod, running.address, hook["exec"]["command"])
            await trio.sleep(hook.get("sleep", {}).get("seconds", 0))
            running.scope.cancel()
            await running.over.wait()
        self._runtime.kill(pod["metadata"]["uid"])
        running.scope.cancel()
        await running.over.wait()
        metadata = pod["metadata"]
        await self._kube.delete(
            "Pod", metadata["namespace"], metadata["name"], grace_s=0, uid=metadata["uid"]
        )
        self._running.pop(metadata["uid"], None)


def _ended(status: int, started_at: str) -> Json:
    """How a container's end is told; one by a signal has the status that a shell would see."""
    code = status if status >= 0 else 128 - status
    reason = "Error" if code else "Completed"
    times = {"startedAt": started_at, "finishedAt": _now()}
    return {"exitCode": code, "reason": reason, **times}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
