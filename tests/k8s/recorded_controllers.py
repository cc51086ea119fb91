"""Recordings in which controllers write: what they named, what happened beside the requests.

Controllers act some milliseconds after what they see, so what a request meets meanwhile is as it
was. How many steps they take is theirs: of what a watch saw, an object's state is compared whenever
it has come to rest.
"""

import itertools
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import trio

from chaos.sim.kubernetes.api import Api
from chaos.sim.kubernetes.kinds import BUILT_IN
from chaos.sim.kubernetes.names import Names
from chaos.sim.kubernetes.objects import Write
from chaos.sim.kubernetes.patches import strategic_patch
from chaos.sim.kubernetes_controllers.controllers import Controllers
from chaos.sim.kubernetes_controllers.garbage import Garbage

__all__ = ["ACTIONS", "CONTROLLED", "RecordedNames", "at_rest", "control"]

Json = Any
Action = Callable[[Api, Json], Awaitable[None]]

#: In these the controllers' writes are compared, too.
CONTROLLED: Final = frozenset(
    {
        *("delete-propagation", "deployment-status", "endpointslices"),
        *("list-filled", "rolling-update"),
        *("pods-refused", "scale-down-order", "statefulset-order", "watch-namespace-delete"),
    }
)

_POD: Final = next(kind for kind in BUILT_IN if kind.kind == "Pod")
_LAG_S: Final = 0.02
#: Between two requests of a recording that are not meant to hurry.
_REST_S: Final = 0.3
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_NAME: Final = re.compile(rf'"([a-z0-9]+-)([{_LETTERS}]{{8,10}})(?:-([{_LETTERS}]{{5}}))?\\?"')

_SHORT_NAME: Final = re.compile(rf'"name": "([a-z]+-)([{_LETTERS}]{{5}})"')


class RecordedNames(Names):
    """What the recorded server made up, in the order in which it appeared."""

    def __init__(self, scenario: Json) -> None:
        moments = [*_moments(scenario)]
        texts = [text for _, text in sorted(moments)]
        found = [match for text in texts for match in _NAME.findall(text)]
        self._hashes = iter(dict.fromkeys(mark for _, mark, _ in found))
        self._suffixes = dict.fromkeys(
            [
                *((f"{base}{mark}-", suffix) for base, mark, suffix in found if suffix),
                *(each for text in texts for each in _SHORT_NAME.findall(text)),
            ]
        )
        self._known: dict[str, str] = {}

    def suffix(self, base: str) -> str:
        """See `Names`; those that the recording never shows are made up."""
        found = next((each for each in self._suffixes if each[0] == base), None)
        if found is None:
            return super().suffix(base)
        del self._suffixes[found]
        return str(found[1])

    def hash_of(self, template: dict[str, Any]) -> str:
        """See `Names`."""
        text = json.dumps(template, sort_keys=True)
        if text not in self._known:
            self._known[text] = next(self._hashes, None) or super().hash_of(template)
        return self._known[text]


def _moments(scenario: Json) -> Iterator[tuple[float, str]]:
    for step in scenario["steps"]:
        for event in step.get("watch", {}).get("events", ()):
            yield event["t"], json.dumps(event["event"])
        yield step["t"], json.dumps(step.get("response", {}))


async def control(api: Api) -> None:
    """Have the controllers look, a little after whatever happened, until cancelled."""
    controllers = Controllers(api.objects, api.kinds)
    while True:
        await trio.sleep(_LAG_S)
        controllers.step()


def at_rest(events: Sequence[tuple[float, Json]]) -> list[Json]:
    """Of an object's changes in a row only the last; all beginnings and ends."""
    by_name: dict[str, list[tuple[float, Json]]] = {}
    for time, event in events:
        by_name.setdefault(event["object"]["metadata"].get("name", ""), []).append((time, event))
    kept: list[tuple[str, int, Json]] = []
    for name, its in by_name.items():
        follow = [*its[1:], (float("inf"), {"type": "ADDED"})]
        for number, ((time, event), (then, after)) in enumerate(zip(its, follow, strict=True)):
            is_last = then - time > _REST_S or after["type"] != "MODIFIED"
            if event["type"] != "MODIFIED" or (is_last and after["type"] != "DELETED"):
                kept.append((name, number, event))
    return [event for _, _, event in sorted(kept, key=lambda each: each[:2])]


async def _make_ready_in_turn(api: Api, step: Json) -> None:
    """Bound and Ready, one each second."""
    for number, pod in enumerate(api.store.list(_POD)):
        await trio.sleep_until(trio.current_time() + (1.0 - step["t"] if not number else 1.0))
        _bind(api, pod)
        _report(api, pod, 60 + number)


async def _end_terminating(api: Api, step: Json) -> None:
    del step
    for pod in api.store.list(_POD):
        if "deletionTimestamp" in pod["metadata"]:
            _end(api, pod)


async def _lose_the_dearest(api: Api, step: Json) -> None:
    del step
    for pod in api.store.list(_POD):
        if pod["metadata"].get("annotations", {}).get(_COST) == "100":
            last = int(pod["status"]["podIP"].rpartition(".")[2])
            _report(api, pod, last, is_ready=False)


async def _keep_all_ready(api: Api, step: Json) -> None:
    """A kubelet that looks when the recorded one did; what it cannot start it leaves alone."""
    began_at = trio.current_time() - step["t"]
    addresses = itertools.count(101)
    for at, starts in ((0.7, True), (2.31, True), (3.05, False), (3.6, True), (4.36, False)):
        await trio.sleep_until(began_at + at)
        for pod in api.store.list(_POD):
            if "deletionTimestamp" in pod["metadata"]:
                _end(api, pod)
            elif starts and not pod["spec"].get("nodeName"):
                _bind(api, pod)
                _report(api, pod, next(addresses))


async def _end_definitions(api: Api, step: Json) -> None:
    """What becomes of a definition that is deleted, a little after the request."""
    del step
    await trio.sleep(_LAG_S)
    Garbage(api.objects, api.kinds).step()


async def _make_again(api: Api, step: Json) -> None:
    """The namespace, whose creation was not recorded."""
    del step
    kinds = {kind.kind: kind for kind in BUILT_IN}
    api.objects.create(kinds["Namespace"], "", {"metadata": {"name": "watch-nsdel"}}, Write())


#: Scenario → its actions that are carried out here, by the number of the step, beside the requests.
ACTIONS: Final[Mapping[str, Mapping[int, Action]]] = {
    "scale-down-order": {
        1: _make_ready_in_turn,
        12: _lose_the_dearest,
        **dict.fromkeys((8, 11, 15, 20), _end_terminating),
    },
    "cr-watch": {18: _end_definitions},
    "rolling-update": {1: _keep_all_ready},
    "watch-namespace-delete": {9: _make_again},
}
_COST: Final = "controller.kubernetes.io/pod-deletion-cost"


def _bind(api: Api, pod: Json) -> None:
    now = api.objects.timestamp()
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}

    def change(old: Json) -> Json:
        status = strategic_patch(old["status"], {"conditions": [scheduled]})
        return {**old, "spec": {**old["spec"], "nodeName": "node-a"}, "status": status}

    _write(api, pod, change, "binding")


def _report(api: Api, pod: Json, last: int, *, is_ready: bool = True) -> None:
    """As the recorder's kubelet reported."""
    now, is_true = api.objects.timestamp(), str(is_ready)
    kinds = ("Ready", "ContainersReady", "Initialized", "PodReadyToStartContainers")
    conditions = [
        {"type": kind, "status": is_true if "Ready" in kind[-5:] else "True"} for kind in kinds
    ]
    why = {"reason": "ContainersNotReady", "message": "containers with unready status: [model]"}
    for one in conditions:
        one["lastTransitionTime"] = now
        if one["status"] == "False":
            one |= why
    container = {"name": "model", "image": "registry.example/model:1", "imageID": ""}
    state = {"ready": is_ready, "restartCount": 0, "started": is_ready}
    address = f"192.0.2.{last}"
    status = {
        "phase": "Running",
        "conditions": conditions,
        "hostIP": "192.0.2.1",
        "startTime": now,
        "containerStatuses": [{**container, **state, "state": {"running": {"startedAt": now}}}],
        "podIP": address,
        "podIPs": [{"ip": address}],
    }
    _write(api, pod, lambda old: strategic_patch(old, {"status": status}), "status")


def _write(api: Api, pod: Json, change: Callable[[Json], Json], subresource: str) -> None:
    metadata = pod["metadata"]
    write = Write(manager="kubelet", subresource=subresource)
    where = (metadata["namespace"], metadata["name"])
    api.objects.patch(_POD, *where, change=change, write=write)


def _end(api: Api, pod: Json) -> None:
    where = (pod["metadata"]["namespace"], pod["metadata"]["name"])
    api.objects.delete(_POD, *where, options={"gracePeriodSeconds": 0}, is_dry=False)
