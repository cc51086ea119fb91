"""What the controller manager does for StatefulSets: pods by name and number, each with its claim.

Pods come in order or all at once as `podManagementPolicy` says; a change replaces them from the
highest number down, one at a time, each when the one before is ready; claims outlive their pods.
"""

import hashlib
import json
from typing import Any, Final

from chaos.sim.kubernetes.errors import ApiError
from chaos.sim.kubernetes.kinds import BUILT_IN
from chaos.sim.kubernetes.objects import Objects, Write, key_of

__all__ = ["StatefulSets"]

Json = dict[str, Any]

_KINDS: Final = {kind.kind: kind for kind in BUILT_IN}
_POD: Final = _KINDS["Pod"]
_CLAIM: Final = _KINDS["PersistentVolumeClaim"]
_STATEFUL_SET: Final = _KINDS["StatefulSet"]
_REVISION: Final = "controller-revision-hash"
_WRITE: Final = Write(manager="kube-controller-manager")
_STATUS: Final = Write(manager="kube-controller-manager", subresource="status")


class StatefulSets:
    """The StatefulSet controller of one fake cluster."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def step(self) -> None:
        """One look at everything."""
        for stateful in self._objects.store.list(_STATEFUL_SET):
            self._keep(stateful)

    def _keep(self, stateful: Json) -> None:
        wanted, revision = stateful["spec"]["replicas"], _hash(stateful["spec"]["template"])
        pods = self._pods(stateful)
        is_parallel = stateful["spec"]["podManagementPolicy"] == "Parallel"
        for number in range(wanted):
            if number not in pods:
                self._make(stateful, number, revision)
            if not is_parallel and not _is_whole(pods.get(number)):
                break
        surplus = sorted((number for number in pods if number >= wanted), reverse=True)
        for number in surplus if is_parallel else surplus[:1]:
            self._end(pods[number])
        if all(_is_whole(pods.get(number)) for number in range(wanted)):
            self._roll(stateful, pods, revision)
        self._write_status(stateful, revision)

    def _roll(self, stateful: Json, pods: dict[int, Json], revision: str) -> None:
        """Replace the highest pod of before the change; the others wait until it is ready."""
        partition = stateful["spec"]["updateStrategy"].get("rollingUpdate", {}).get("partition", 0)
        for number in sorted(pods, reverse=True):
            is_old = pods[number]["metadata"]["labels"].get(_REVISION) != revision
            if is_old and number >= partition:
                self._end(pods[number])
                return

    def _pods(self, stateful: Json) -> dict[int, Json]:
        """Whatever has the name of one of its pods, terminating ones too: a name is free late."""
        metadata = stateful["metadata"]
        prefix = f"{metadata['name']}-"
        pods = {}
        for pod in self._objects.store.list(_POD, metadata["namespace"]):
            owners = [one["uid"] for one in pod["metadata"].get("ownerReferences", [])]
            if metadata["uid"] in owners:
                pods[int(pod["metadata"]["name"].removeprefix(prefix))] = pod
        return pods

    def _make(self, stateful: Json, number: int, revision: str) -> None:
        metadata, spec = stateful["metadata"], stateful["spec"]
        name = f"{metadata['name']}-{number}"
        labels = {
            **spec["template"]["metadata"]["labels"],
            _REVISION: revision,
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(number),
        }
        owner = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        template = spec["template"]
        pod_spec = {
            **template["spec"],
            "hostname": name,
            "subdomain": spec["serviceName"],
            "volumes": [*template["spec"].get("volumes", []), *self._claims(stateful, name)],
        }
        pod_metadata = {**template["metadata"], "name": name, "labels": labels}
        body = {"metadata": {**pod_metadata, "ownerReferences": [owner]}, "spec": pod_spec}
        self._objects.create(_POD, metadata["namespace"], body, _WRITE)

    def _claims(self, stateful: Json, pod: str) -> list[Json]:
        """The pod's volumes from the templates; claims are made once and kept."""
        namespace = stateful["metadata"]["namespace"]
        volumes = []
        for template in stateful["spec"].get("volumeClaimTemplates", []):
            name = f"{template['metadata']['name']}-{pod}"
            if self._objects.store.get(key_of(_CLAIM, namespace, name)) is None:
                body = {"metadata": {**template["metadata"], "name": name}}
                self._objects.create(_CLAIM, namespace, {**body, "spec": template["spec"]}, _WRITE)
            claim = {"claimName": name}
            volumes.append({"name": template["metadata"]["name"], "persistentVolumeClaim": claim})
        return volumes

    def _end(self, pod: Json) -> None:
        metadata = pod["metadata"]
        if "deletionTimestamp" in metadata:
            return
        try:
            self._objects.delete(
                _POD, metadata["namespace"], metadata["name"], options={}, is_dry=False
            )
        except ApiError as error:
            if error.code != 404:  # else it has gone meanwhile
                raise

    def _write_status(self, stateful: Json, revision: str) -> None:
        pods = list(self._pods(stateful).values())
        updated = [pod for pod in pods if pod["metadata"]["labels"].get(_REVISION) == revision]
        ready = sum(map(_is_whole, pods))
        # What was rolled before stays the current one until the last pod has the new one.
        before = stateful["status"].get("currentRevision", revision)
        current = revision if len(updated) >= stateful["spec"]["replicas"] else before
        status = {
            "replicas": len(pods),
            "currentRevision": current,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "updatedReplicas": len(updated),
            "updateRevision": revision,
            "observedGeneration": stateful["metadata"]["generation"],
        }
        if stateful["status"] != status:
            metadata = stateful["metadata"]
            self._objects.patch(
                _STATEFUL_SET,
                metadata["namespace"],
                metadata["name"],
                change=lambda old: {**old, "status": status},
                write=_STATUS,
            )


def _hash(template: Json) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def _is_whole(pod: Json | None) -> bool:
    """Ready and meant to stay."""
    if pod is None or "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod["status"].get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
