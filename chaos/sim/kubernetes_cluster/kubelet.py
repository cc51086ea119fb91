"""A toy kubelet: binds pods, gives them addresses, says when they are ready, ends them in order.

What runs in a pod is a `Runtime`. `Idle` runs nothing and is ready when told; `Processes` runs the
container's command on this machine, each pod on a loopback address of its own, and probes it over
HTTP as its readiness probe says.
"""

import itertools
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import attrs
import trio

from chaos.sim.kubernetes.errors import ApiError
from chaos.sim.kubernetes.kinds import BUILT_IN
from chaos.sim.kubernetes.objects import Objects, Write

__all__ = ["Idle", "Kubelet", "Processes", "Runtime"]

Json = dict[str, Any]

_POD: Final = next(kind for kind in BUILT_IN if kind.kind == "Pod")
_BIND: Final = Write(manager="kube-scheduler", subresource="binding")
_STATUS: Final = Write(manager="kubelet", subresource="status")
#: Between two looks whether a process answers, seconds.
_PROBE_S: Final = 0.05


class Runtime(Protocol):
    """Runs the container of one pod."""

    async def run(self, pod: Json, address: str, ready: Callable[[bool], None]) -> None:
        """Until cancelled, or until the container ends by itself."""
        ...


class Idle:
    """Containers that do nothing: ready after a time, or when a test says so."""

    def __init__(self, ready_after_s: float = 0.0) -> None:
        self.ready_after_s = ready_after_s

    async def run(self, pod: Json, address: str, ready: Callable[[bool], None]) -> None:
        """See `Runtime.run`."""
        del pod, address
        await trio.sleep(self.ready_after_s)
        ready(True)
        await trio.sleep_forever()


class Processes:
    """Containers as processes of this machine; the command gets `{address}` filled in.

    Variables of the container are set, those of its ConfigMaps too. A readiness probe over HTTP is
    honoured; its path and port are the container's.
    """

    def __init__(self, objects: Objects, probe: Callable[[str, int, str], Awaitable[bool]]) -> None:
        """Args:
        probe: whether an address, port and path answer with a success.
        """
        self._objects = objects
        self._probe = probe

    async def run(self, pod: Json, address: str, ready: Callable[[bool], None]) -> None:
        """See `Runtime.run`. The process is told to end when this is cancelled."""
        container = pod["spec"]["containers"][0]
        command = [word.replace("{address}", address) for word in container["command"]]
        process = await trio.lowlevel.open_process(command, env=self._variables(pod, container))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._probe_forever, container, address, ready)
                await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                process.terminate()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5.0):
                await process.wait()
            if process.returncode is None:
                process.kill()

    async def _probe_forever(
        self, container: Json, address: str, ready: Callable[[bool], None]
    ) -> None:
        request = container["readinessProbe"]["httpGet"]
        port = container["ports"][0]["containerPort"]
        while not await self._probe(address, port, request["path"]):
            await trio.sleep(_PROBE_S)
        ready(True)

    def _variables(self, pod: Json, container: Json) -> dict[str, str]:
        variables = dict(os.environ)
        config_maps = next(kind for kind in BUILT_IN if kind.kind == "ConfigMap")
        for source in container.get("envFrom", []):
            name = source["configMapRef"]["name"]
            found = self._objects.read(config_maps, pod["metadata"]["namespace"], name)
            variables |= found.get("data", {})
        return variables


@attrs.define(eq=False)
class _Running:
    scope: trio.CancelScope
    address: str
    is_ending: bool = False


class Kubelet:
    """All nodes of a fake cluster."""

    def __init__(self, objects: Objects, runtime: Runtime, *, prefix: str = "10.1") -> None:
        """Args:
        prefix: the first two numbers of pods' addresses; 127.1 for processes.
        """
        self._objects = objects
        self._runtime = runtime
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._running: dict[str, _Running] = {}
        self._changed = trio.Event()
        #: Addresses to give out first, so that a test can let one come back.
        self.next_addresses: list[str] = []

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; containers end with it."""
        self._objects.store.listeners.append(self._poke)
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    self._changed = trio.Event()
                    for pod in self._objects.store.list(_POD):
                        self._look(nursery, pod)
                    await self._changed.wait()
        finally:
            self._objects.store.listeners.remove(self._poke)

    def _poke(self) -> None:
        self._changed.set()

    def _look(self, nursery: trio.Nursery, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        running = self._running.get(uid)
        if running is None and "deletionTimestamp" not in pod["metadata"]:
            address = self.next_addresses.pop(0) if self.next_addresses else self._address()
            running = self._running[uid] = _Running(trio.CancelScope(), address)
            nursery.start_soon(self._run_pod, pod, running)
        is_told = "deletionTimestamp" in pod["metadata"]
        if running is not None and is_told and not running.is_ending:
            running.is_ending = True
            nursery.start_soon(self._end_pod, pod, running)

    def _address(self) -> str:
        high, low = divmod(next(self._numbers), 250)
        return f"{self._prefix}.{high}.{low + 1}"

    async def _run_pod(self, pod: Json, running: _Running) -> None:
        metadata = pod["metadata"]
        if not pod["spec"].get("nodeName"):
            self._change(metadata, _BIND, _with_node)
        self._set_ready(metadata, running.address, is_ready=False)
        with running.scope:
            await self._runtime.run(
                pod,
                running.address,
                lambda is_ready: self._set_ready(metadata, running.address, is_ready=is_ready),
            )

    def _set_ready(self, metadata: Json, address: str, *, is_ready: bool) -> None:
        now = self._objects.timestamp()
        condition = {
            "type": "Ready",
            "status": "True" if is_ready else "False",
            "lastTransitionTime": now,
        }
        container = {
            "name": "model",
            "ready": is_ready,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }
        status = {
            "phase": "Running",
            "podIP": address,
            "conditions": [condition],
            "containerStatuses": [container],
        }
        self._change(metadata, _STATUS, lambda old: {**old, "status": status})

    async def _end_pod(self, pod: Json, running: _Running) -> None:
        """preStop while it still serves, then the end, then the pod is gone."""
        hooks = pod["spec"]["containers"][0].get("lifecycle") or {}
        pause_s = hooks.get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace_s = pod["metadata"]["deletionGracePeriodSeconds"]
        await trio.sleep(min(pause_s, grace_s))
        running.scope.cancel()
        metadata = pod["metadata"]
        try:
            self._objects.delete(
                _POD,
                metadata["namespace"],
                metadata["name"],
                options={"gracePeriodSeconds": 0},
                is_dry=False,
            )
        except ApiError as error:
            if error.code != 404:
                raise
        del self._running[metadata["uid"]]

    def _change(self, metadata: Json, write: Write, change: Callable[[Json], Json]) -> None:
        try:
            self._objects.patch(
                _POD, metadata["namespace"], metadata["name"], change=change, write=write
            )
        except ApiError as error:
            if error.code != 404:
                raise


def _with_node(pod: Json) -> Json:
    return {**pod, "spec": {**pod["spec"], "nodeName": "node-a"}}
