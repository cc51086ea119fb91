"""`make bench kube`: a thousand pods in fifty deployments, and how soon a pod takes requests.

Two figures that do not depend on each other: what the coordinator's informers cost and how old its
picture is (a process of its own, fed by the fake API server over loopback), and the time from a
pod's Ready to the first request that it works on (the whole system, with real front-ends).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import trio

from chaos.pods.system import is_ready
from chaos.sim.kubernetes.kinds import BUILT_IN
from chaos.sim.kubernetes.objects import Write
from chaos.sim.kubernetes_cluster.plane import ControlPlane
from tests.e2e.cluster.stage import open_stage

__all__: list[str] = []

Json = dict[str, Any]

_POD: Final = next(kind for kind in BUILT_IN if kind.kind == "Pod")
_NAMESPACE: Final = next(kind for kind in BUILT_IN if kind.kind == "Namespace")
_STATUS: Final = Write(manager="kubelet", subresource="status")
_EVENTS: Final = 100
_PAUSE_S: Final = 0.02
_SERVICE_S: Final = 0.2


async def measure_watching(pods: int, deployments: int) -> None:
    """Memory of the picture, and the age of what it shows."""
    plane = ControlPlane()
    objects = plane.api.objects
    objects.create(_NAMESPACE, "", {"metadata": {"name": "models"}}, Write())
    for number in range(pods):
        objects.create(_POD, "models", _pod(number, number % deployments), Write())
        _set_ready(plane, number, is_ready=number >= _EVENTS)
    async with trio.open_nursery() as nursery:
        await nursery.start(plane.start_server)
        words = [sys.executable, "-m", "tests.bench.kube_side", plane.url, "models"]
        process = await trio.lowlevel.open_process(words, stdout=subprocess.PIPE)
        assert process.stdout is not None
        lines = _Lines(process.stdout)
        before, synced = await lines.next(), await lines.next()
        made_at = {}
        for number in range(_EVENTS):
            await trio.sleep(_PAUSE_S)
            made_at[f"pod-{number}"] = time.monotonic()
            _set_ready(plane, number, is_ready=True)
        ages: list[float] = []
        while len(ages) < _EVENTS:
            line = await lines.next()
            ages.append((line["at"] - made_at[line["pod"]]) * 1000)
        process.kill()
        await process.wait()
        nursery.cancel_scope.cancel()
    grown = synced["rss"] - before["rss"]
    print(
        f"{synced['pods']} pods of {deployments} deployments: listed in {synced['took_s']:.2f} s, "
        f"{grown / 2**20:.1f} MiB more ({grown / pods / 1024:.1f} KiB a pod)"
    )
    print(f"ready → shown to the coordinator, {_EVENTS} events: {_spread(ages)}")


class _Lines:
    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._data = b""

    async def next(self) -> Json:
        """The next line. Raises RuntimeError when there is none."""
        while b"\n" not in self._data:
            more = await self._stream.receive_some()
            if not more:
                raise RuntimeError("the watching process ended")
            self._data += more
        line, _, self._data = self._data.partition(b"\n")
        said: Json = json.loads(line)
        return said


def _pod(number: int, deployment: int) -> Json:
    labels = {
        "app.kubernetes.io/managed-by": "trioroute",
        "trioroute.dev/endpoint": f"model-{deployment}",
        "trioroute.dev/deployment": "blue",
        "trioroute.dev/made-from": "0123456789abcdef",
    }
    container = {
        "name": "model",
        "image": "registry.example/model:1",
        "ports": [{"name": "scoring", "containerPort": 5001}],
        "envFrom": [{"configMapRef": {"name": f"model-{deployment}-blue"}}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "scoring"}},
    }
    return {
        "metadata": {"name": f"pod-{number}", "labels": labels},
        "spec": {"containers": [container]},
    }


def _set_ready(plane: ControlPlane, number: int, *, is_ready: bool) -> None:
    now = plane.api.objects.timestamp()
    state = {"type": "Ready", "status": str(is_ready), "lastTransitionTime": now}
    container = {"name": "model", "ready": is_ready, "restartCount": 0}
    status = {
        "phase": "Running",
        "podIP": f"10.1.{number // 250}.{number % 250 + 1}",
        "conditions": [state],
        "containerStatuses": [{**container, "state": {"running": {"startedAt": now}}}],
    }
    plane.api.objects.patch(
        _POD,
        "models",
        f"pod-{number}",
        change=lambda old: {**old, "status": status},
        write=_STATUS,
    )


async def measure_routing(rounds: int) -> None:
    """From the pod's Ready to its first request, under load that every replica is needed for."""
    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="trioroute-bench-") as folder:
        async with open_stage(Path(folder), instances=1, service_s=_SERVICE_S) as stage:
            system, plane = stage.system, stage.system.site.plane
            assert plane is not None
            ready_at: dict[str, float] = {}

            def note() -> None:
                for pod in plane.api.store.list(_POD, system.site.namespace):
                    if is_ready(pod):
                        ready_at.setdefault(pod["status"]["podIP"], time.monotonic())

            plane.api.store.listeners.append(note)
            # More than all of them can do: every new one is needed at once.
            async with stage.offered(rate=rounds * 2.5 / _SERVICE_S):
                for count in range(2, rounds + 2):
                    await system.apply(stage.deployment("blue", instance_count=count))
                    await system.wait_replicas("blue", count, count)
                    await trio.sleep(0.5)
            began: dict[str, float] = {}
            for execution in sorted(system.executions(), key=lambda one: one.begun_at):
                began.setdefault(execution.replica.partition(":")[0], execution.begun_at)
            times = sorted((at - ready_at[ip]) * 1000 for ip, at in began.items())[1:]
    print(f"pod ready → its first request, {len(times)} pods: {_spread(times)}; goal 200 ms")


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    return f"median {statistics.median(ordered):.0f} ms, p99 {p99:.0f} ms, max {ordered[-1]:.0f} ms"


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--deployments", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    trio.run(measure_watching, options.pods, options.deployments)
    trio.run(measure_routing, options.rounds)


if __name__ == "__main__":
    main()
