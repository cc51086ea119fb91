"""A toy kubelet: binds pods, gives them addresses, says when they are ready, ends them in order.

What runs in a pod is a `Runtime`: `Idle` runs nothing and is ready when told; `containers` runs
processes of this machine. It asks any API server through `Kube`, so it also serves control planes
that have no nodes. A container that ends by itself, or is ended because it failed a probe, is
started again after a pause, as another one: its restarts are counted. Its state tells how it ended
and what it left as a termination message; `lastState` tells it of the one before. Where the pod
says `Never`, its end is the pod's. One container a pod, without those that run first; CPU is not
limited.
"""

import hashlib
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

import attrs
import trio

from chaos.sim.kubernetes_cluster.kube import Kube

__all__ = ["Addresses", "Ended", "Exit", "Idle", "Kubelet", "Ready", "Runtime"]

Json = dict[str, Any]
Ready = Callable[[bool], Awaitable[None]]

_NODE: Final = "node-a"
#: Pauses before a container that ended is started again, seconds.
_PAUSE_FIRST_S: Final = 0.2
_PAUSE_MAX_S: Final = 10.0
#: As many ends, and people are told that it keeps ending: the first restart comes at once.
_LOOPING: Final = 2
#: How often an image that is missing is looked for, seconds.
_PULL_S: Final = 0.2


@attrs.frozen
class Ended:
    """How a container ended.

    Attributes:
        status: as a process has it: minus the signal's number when it was one.
        message: what its termination message file holds.
    """

    status: int
    message: str = ""


class Runtime(Protocol):
    """Runs the container of one pod."""

    async def run(self, pod: Json, address: str, ready: Ready) -> None:
        """Until cancelled, then end it in order; or until it ends by itself.

        All of its processes have gone then: their namespace went with the first one.
        """
        ...

    def ended(self, uid: str) -> Ended:
        """How a pod's last container ended."""
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

    async def run(self, pod: Json, address: str, ready: Ready) -> None:
        """See `Runtime`."""
        del pod, address
        await trio.sleep(self.ready_after_s)
        await ready(True)
        await trio.sleep_forever()

    def ended(self, uid: str) -> Ended:
        """See `Runtime`."""
        del uid
        return Ended(0)

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
    phase: str = "Running"
    state: Json = attrs.field(factory=dict)
    last_state: Json = attrs.field(factory=dict)
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
        #: Images that cannot be pulled: what runs goes on, and nothing of them is started.
        self.missing_images: set[str] = set()

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
                await self._pull(pod, running)
                running.state = {"running": {"startedAt": _now()}}
                await self._say(pod, running, False)
                await self._runtime.run(pod, running.address, partial(self._say, pod, running))
                self._note_exit(pod)
                self._note_end(pod, running)
                is_last = pod["spec"].get("restartPolicy") == "Never"
                if is_last:
                    code = running.state["terminated"]["exitCode"]
                    running.phase = "Failed" if code else "Succeeded"
                await self._say(pod, running, False)
                if is_last:
                    break
                await self._pause(pod, running)
                running.restarts += 1
        if "running" in running.state:
            self._note_end(pod, running)
            await self._say(pod, running, False)
        running.over.set()

    def _note_exit(self, pod: Json) -> None:
        metadata = pod["metadata"]
        if metadata["uid"] in self._killed:
            self._killed.remove(metadata["uid"])
            return
        status = self._runtime.ended(metadata["uid"]).status
        labels = metadata.get("labels") or {}
        noted = Exit(at=time.monotonic(), pod=metadata["name"], labels=labels, status=status)
        self.exits.append(noted)

    async def _pull(self, pod: Json, running: _Running) -> None:
        """Wait for the image, and say so."""
        image = pod["spec"]["containers"][0]["image"]
        while image in self.missing_images:
            await self._wait(pod, running, "ImagePullBackOff", f'Back-off pulling image "{image}"')
            await trio.sleep(_PULL_S)

    async def _pause(self, pod: Json, running: _Running) -> None:
        """Before it is started again; longer each time, and said from the second time on."""
        ends = running.restarts + 1
        pause_s = min(_PAUSE_FIRST_S * 2 ** (ends - 1), _PAUSE_MAX_S)
        if ends >= _LOOPING:
            metadata, container = pod["metadata"], pod["spec"]["containers"][0]["name"]
            which = f"pod={metadata['name']}_{metadata['namespace']}({metadata['uid']})"
            message = f"back-off {pause_s:g}s restarting failed container={container} {which}"
            await self._wait(pod, running, "CrashLoopBackOff", message)
        await trio.sleep(pause_s)
        if "terminated" in running.state:
            running.last_state = running.state

    async def _wait(self, pod: Json, running: _Running, reason: str, message: str) -> None:
        """Say that the container waits; how it ended is said beside it."""
        if "terminated" in running.state:
            running.last_state = running.state
        waiting = {"waiting": {"reason": reason, "message": message}}
        if running.state != waiting:
            running.state = waiting
            await self._say(pod, running, False)

    def _note_end(self, pod: Json, running: _Running) -> None:
        began_at = running.state["running"]["startedAt"]
        uid = pod["metadata"]["uid"]
        ended = _ended(self._runtime.ended(uid), began_at)
        ended["containerID"] = _container_id(uid, running.restarts)
        running.state = {"terminated": ended}

    async def _say(self, pod: Json, running: _Running, is_ready: bool) -> None:
        """Write the pod's status."""
        now = _now()
        word = "True" if is_ready else "False"
        container = {
            "name": pod["spec"]["containers"][0]["name"],
            "image": pod["spec"]["containers"][0]["image"],
            "imageID": "",
            "ready": is_ready,
            "restartCount": running.restarts,
            "containerID": _container_id(pod["metadata"]["uid"], running.restarts),
            "state": running.state,
            "lastState": running.last_state,
        }
        conditions = [
            {"type": kind, "status": status, "lastTransitionTime": now}
            for kind, status in (
                ("PodScheduled", "True"),
                ("Ready", word),
                ("ContainersReady", word),
            )
        ]
        status = {
            "phase": running.phase,
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


def _ended(ended: Ended, started_at: str) -> Json:
    """How a container's end is told; one by a signal has the status that a shell would see."""
    code = ended.status if ended.status >= 0 else 128 - ended.status
    told: Json = {"exitCode": code, "reason": "Error" if code else "Completed"}
    told |= {"startedAt": started_at, "finishedAt": _now()}
    return told | ({"message": ended.message} if ended.message else {})


def _container_id(uid: str, number: int) -> str:
    return f"containerd://{hashlib.sha256(f'{uid}/{number}'.encode()).hexdigest()}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
