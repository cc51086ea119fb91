"""What the controller manager does for Services: EndpointSlices say where their pods are.

One slice for each set of ports that the pods have, whatever their number: what the original splits
at a hundred endpoints is one here.
"""

import collections
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chaos.sim.kubernetes.objects import Objects
from chaos.sim.kubernetes_controllers.pods import (
    KINDS,
    WRITE,
    end,
    has_ended,
    is_ready,
    of_owner,
    owned_by,
)

__all__ = ["EndpointSlices"]

Json = dict[str, Any]

_POD: Final = KINDS["Pod"]
_SERVICE: Final = KINDS["Service"]
_SLICE: Final = KINDS["EndpointSlice"]
_TRIGGER: Final = "endpoints.kubernetes.io/last-change-trigger-time"
_ZONE: Final = "topology.kubernetes.io/zone"
#: The pods behind a label, in one namespace.
_ByLabel = Mapping[tuple[str, str, str], Sequence[Json]]


class EndpointSlices:
    """The EndpointSlice controller of one fake cluster."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        #: Of each Service, when its pods last became ready or unready, as was seen.
        self._seen: dict[str, dict[str, str]] = {}

    def step(self) -> None:
        """One look at everything."""
        by_label: dict[tuple[str, str, str], list[Json]] = collections.defaultdict(list)
        for pod in self._objects.store.list(_POD):
            for name, value in pod["metadata"].get("labels", {}).items():
                by_label[pod["metadata"]["namespace"], name, value].append(pod)
        slices = self._objects.store.list(_SLICE)
        for service in self._objects.store.list(_SERVICE):
            if service["spec"].get("selector"):
                self._keep(service, by_label, of_owner(slices, service["metadata"]["uid"]))

    def _keep(self, service: Json, by_label: _ByLabel, slices: list[Json]) -> None:
        wanted: dict[str, tuple[list[Json], list[Json]]] = {}
        selected = _selected(service, by_label)
        note = self._trigger(service, selected)
        for pod in selected:
            if has_ended(pod) or not pod["status"].get("podIP"):
                continue
            ports = _ports(service, pod)
            wanted.setdefault(repr(ports), (ports, []))[1].append(_endpoint(service, pod))
        contents: list[Json] = [
            {"endpoints": endpoints, "ports": ports} for ports, endpoints in wanted.values()
        ] or [{"endpoints": None, "ports": None}]
        left = list(slices)
        for content in contents:
            same = [one for one in left if one["ports"] in (content["ports"], None)]
            live = next(iter(same), left[0] if len(contents) == 1 and left else None)
            if live is None:
                self._make(service, content)
                continue
            left.remove(live)
            self._write(live, content, note)
        for one in left:
            end(self._objects, _SLICE, one)

    def _trigger(self, service: Json, pods: Sequence[Json]) -> Json:
        """The annotation that says since when a change has waited, if a pod's readiness is it."""
        times = {pod["metadata"]["uid"]: _turned_at(pod) for pod in pods}
        before = self._seen.get(service["metadata"]["uid"], {})
        self._seen[service["metadata"]["uid"]] = times
        is_new = any(time and before.get(uid) != time for uid, time in times.items())
        return {_TRIGGER: self._objects.timestamp()} if is_new else {}

    def _make(self, service: Json, content: Json) -> None:
        metadata = service["metadata"]
        labels = {
            **metadata.get("labels", {}),
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "kubernetes.io/service-name": metadata["name"],
        }
        if service["spec"].get("clusterIP") == "None":
            labels["service.kubernetes.io/headless"] = ""
        head = {
            "generateName": f"{metadata['name']}-",
            "labels": labels,
            "annotations": {_TRIGGER: self._objects.timestamp()},
            "ownerReferences": [owned_by({**service, "apiVersion": "v1", "kind": "Service"})],
        }
        body = {"metadata": head, "addressType": "IPv4", **content}
        self._objects.create(_SLICE, metadata["namespace"], body, WRITE)

    def _write(self, live: Json, content: Json, note: Json) -> None:
        if all(live[name] == value for name, value in content.items()):
            return
        metadata = live["metadata"]

        def change(old: Json) -> Json:
            head = {**old["metadata"], "annotations": {**note}}
            return {**old, "metadata": head, **content}

        self._objects.patch(
            _SLICE, metadata["namespace"], metadata["name"], change=change, write=WRITE
        )


def _selected(service: Json, by_label: _ByLabel) -> list[Json]:
    """The pods that a Service is for, whatever their state."""
    selector = service["spec"]["selector"]
    (name, value), *_ = selector.items()
    found = by_label.get((service["metadata"]["namespace"], name, value), ())
    return [pod for pod in found if selector.items() <= pod["metadata"]["labels"].items()]


def _turned_at(pod: Json) -> str:
    conditions = pod["status"].get("conditions") or []
    times = (one.get("lastTransitionTime", "") for one in conditions if one["type"] == "Ready")
    return str(next(times, ""))


def _ports(service: Json, pod: Json) -> list[Json]:
    containers = pod["spec"].get("containers", [])
    named = {
        port["name"]: port["containerPort"]
        for container in containers
        for port in container.get("ports", [])
        if port.get("name")
    }
    found = []
    for port in service["spec"].get("ports", []):
        number = named.get(port["targetPort"], port["targetPort"])
        if isinstance(number, int):
            head = {"name": port.get("name", ""), "protocol": port["protocol"], "port": number}
            extra = {"appProtocol": port["appProtocol"]} if "appProtocol" in port else {}
            found.append({**head, **extra})
    return found


def _endpoint(service: Json, pod: Json) -> Json:
    metadata, spec = pod["metadata"], pod["spec"]
    is_ending, serves = "deletionTimestamp" in metadata, is_ready(pod)
    shows_all = service["spec"].get("publishNotReadyAddresses", False)
    endpoint = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": shows_all or (serves and not is_ending),
            "serving": serves,
            "terminating": is_ending,
        },
    }
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = spec["hostname"]
    target = {name: metadata[name] for name in ("namespace", "name", "uid")}
    place = {"nodeName": spec.get("nodeName"), "zone": metadata["labels"].get(_ZONE)}
    return {
        **endpoint,
        "targetRef": {"kind": "Pod", **target},
        **{name: value for name, value in place.items() if value},
    }
