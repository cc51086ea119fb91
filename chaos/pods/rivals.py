"""Others on the same cluster: somebody else who scales, and a pod that gets a replica's address."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from chaos.felt import FELT_MAX_S, wait_felt
from chaos.pods.stranger import SAYS
from chaos.pods.system import ENDPOINT, PodSystem, is_ready
from chaos.pods.ways import Hit, Way, delete_pod, picked_pod
from chaos.sim.kubernetes.kinds import BUILT_IN
from chaos.sim.kubernetes.objects import Write
from chaos.vocabulary import Fault

__all__ = ["RIVAL_WAYS", "Rival", "count_wished"]

Json = dict[str, Any]

#: Who scales too, as managed fields name it.
_SCALER: Final = "horizontal-pod-autoscaler"
_WORKLOAD: Final = f"{ENDPOINT}-blue"
_LOOK_S: Final = 0.1

#: Somebody else's pod, where one of our replicas was.
_STRANGER: Final = "stranger"
_PORT: Final = 5001

_KIND: Final = next(kind for kind in BUILT_IN if kind.kind == "Deployment")


class Rival:
    """An autoscaler of somebody else's: wants another number of replicas than we do, and says so.

    Attributes:
        writes: how often it had to.
    """

    def __init__(self, system: PodSystem, wants: int) -> None:
        plane = system.site.plane
        assert plane is not None, "only on a fake cluster can somebody else write"
        self._objects = plane.api.objects
        self._system = system
        self._wants = wants
        self.writes = 0

    async def run(self) -> None:
        """Look again and again, as autoscalers do, until cancelled."""
        while True:
            if await count_wished(self._system) != self._wants:
                write = Write(manager=_SCALER, subresource="scale")
                namespace = self._system.site.namespace
                self._objects.scale(_KIND, namespace, _WORKLOAD, replicas=self._wants, write=write)
                self.writes += 1
            await trio.sleep(_LOOK_S)


async def count_wished(system: PodSystem) -> int:
    """How many replicas stand in the Deployment; none while there is none."""
    found = await system.site.kube.find("Deployment", system.site.namespace, _WORKLOAD)
    return 0 if found is None else int(found["spec"]["replicas"])


@asynccontextmanager
async def _scale_too(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    """One more or one fewer than we want; then it is taken away, and a person sets the number back.

    Raises:
        trio.TooSlowError: nobody said that two write, or they fought.
    """
    count = await count_wished(system)
    rival = Rival(system, count + (1 if fault.strength < 0.5 else -1))
    hit = Hit(target=f"{_WORKLOAD}, {count} replicas")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rival.run)
        yield hit
        with trio.move_on_after(FELT_MAX_S):
            while _SCALER not in await _said_of(system):
                await trio.sleep(_LOOK_S)
            hit.felt = f"a rival wrote {rival.writes} times, and its conditions name it"
        nursery.cancel_scope.cancel()
    # A person, who may: the autoscaler has gone, and its number with it.
    patch = {"spec": {"replicas": count}}
    await system.site.kube.merge("Deployment", system.site.namespace, _WORKLOAD, patch=patch)
    if not hit.felt:
        raise trio.TooSlowError(f"{_WORKLOAD} does not say that {_SCALER} scales it too")
    if rival.writes > 1:
        raise trio.TooSlowError(f"{_SCALER} was overruled {rival.writes - 1} times: a fight")


async def _said_of(system: PodSystem) -> str:
    """What the OnlineDeployment says of itself."""
    namespace = system.site.namespace
    found = await system.site.kube.find("OnlineDeployment", namespace, _WORKLOAD) or {}
    conditions = (found.get("status") or {}).get("conditions") or ()
    return " ".join(one["message"] for one in conditions)


@asynccontextmanager
async def _give_address(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    """A replica's pod goes without grace, and at once its address is a pod's of somebody else.

    Or that of the pod that comes in its place: the same address and another pod.
    """
    kube, namespace = system.site.kube, system.site.namespace
    assert system.site.kubelet is not None, "only where pods are processes of ours"
    addresses = system.site.kubelet.addresses
    pod = picked_pod(await system.replicas(), fault)
    address = pod["status"]["podIP"]
    if fault.strength >= 0.5:
        addresses.next.append(address)
        await delete_pod(system, pod, 0)
        yield (hit := Hit(target=f"{pod['metadata']['name']}, whose successor is at {address}"))
        hit.felt = await _wait_successor(system, pod)
        return
    addresses.give(namespace, _STRANGER, address)
    await delete_pod(system, pod, 0)
    await kube.apply(_stranger(system.site.image), namespace)
    hit = Hit(target=f"{pod['metadata']['name']}, whose address {address} is a stranger's")
    try:
        answered = 0

        async def call() -> None:
            nonlocal answered
            while True:
                is_answer = await _is_stranger(address)
                answered += is_answer
                await trio.sleep(_LOOK_S)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            yield hit
            hit.felt = await wait_felt(lambda: answered, f"answers of it at {address}")
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await kube.delete("Pod", namespace, _STRANGER, grace_s=0)


async def _wait_successor(system: PodSystem, pod: Json) -> str:
    """Until another pod is ready at its address: in words, empty when none is."""
    address, uid = pod["status"]["podIP"], pod["metadata"]["uid"]
    with trio.move_on_after(FELT_MAX_S):
        while True:
            for one in await system.replicas():
                is_there = one["status"].get("podIP") == address and is_ready(one)
                if is_there and one["metadata"]["uid"] != uid:
                    return f"{one['metadata']['name']} serves at {address}"
            await trio.sleep(_LOOK_S)
    return ""


def _stranger(image: str) -> Json:
    """A pod of no deployment of ours, with none of our labels."""
    command = ["python", "-P", "-m", "chaos.pods.stranger", f"0.0.0.0:{_PORT}"]
    container = {"name": _STRANGER, "image": image, "command": command}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _STRANGER, "labels": {"app": _STRANGER}},
        # A name of its own makes its address one that can be given to it.
        "spec": {"containers": [container], "hostname": _STRANGER, "subdomain": "elsewhere"},
    }


async def _is_stranger(address: str) -> bool:
    """Whether somebody else answers there."""
    with contextlib.suppress(OSError, trio.BrokenResourceError):
        async with await trio.open_tcp_stream(address, _PORT) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nhost: pod\r\n\r\n")
            return (await stream.receive_some(200)).endswith(SAYS)
    return False


#: Whatever takes a cluster that is ours alone.
RIVAL_WAYS: Final[dict[str, Way]] = {
    "second-scaler": _scale_too,
    "reuse-address": _give_address,
}
