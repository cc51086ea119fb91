"""What the controller manager does for StatefulSets: pods by name and number, each with its claim.

Pods come in order or all at once as `podManagementPolicy` says; a change replaces them from the
highest number down, one at a time, each when the one before is ready; claims outlive their pods.
"""

from collections.abc import Sequence
from typing import Any, Final

from chaos.sim.kubernetes.objects import Objects, key_of
from chaos.sim.kubernetes_controllers.pods import (
    KINDS,
    STATUS,
    WRITE,
    end,
    is_ready,
    of_owner,
    owned_by,
    stays,
)

__all__ = ["StatefulSets"]

Json = dict[str, Any]

_POD: Final = KINDS["Pod"]
_CLAIM: Final = KINDS["PersistentVolumeClaim"]
_STATEFUL_SET: Final = KINDS["StatefulSet"]
_REVISIONS: Final = KINDS["ControllerRevision"]
_REVISION: Final = "controller-revision-hash"


class StatefulSets:
    """The StatefulSet controller of one fake cluster."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def step(self) -> None:
        """One look at everything."""
        for stateful in self._objects.store.list(_STATEFUL_SET):
            if "deletionTimestamp" not in stateful["metadata"]:
                self._keep(stateful)

    def _keep(self, stateful: Json) -> None:
        wanted = stateful["spec"]["replicas"]
        revision = self._keep_revision(stateful)
        pods = self._pods(stateful)
        is_parallel = stateful["spec"]["podManagementPolicy"] == "Parallel"
        for number in range(wanted):
            if number not in pods:
                self._make(stateful, number, revision)
            if not is_parallel and not _is_whole(pods.get(number)):
                break
        surplus = sorted((number for number in pods if number >= wanted), reverse=True)
        for number in surplus if is_parallel else surplus[:1]:
            end(self._objects, _POD, pods[number])
        if is_parallel or all(_is_whole(pods.get(number)) for number in range(wanted)):
            self._roll(stateful, pods, revision)
        self._write_status(stateful, revision)

    def _roll(self, stateful: Json, pods: dict[int, Json], revision: str) -> None:
        """Replace the highest pod of before the change; the others wait until it is ready."""
        partition = stateful["spec"]["updateStrategy"].get("rollingUpdate", {}).get("partition", 0)
        for number in sorted(pods, reverse=True):
            is_old = pods[number]["metadata"]["labels"].get(_REVISION) != revision
            if is_old and number >= partition:
                end(self._objects, _POD, pods[number])
            if is_old or not _is_whole(pods[number]):
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
        template = spec["template"]
        pod_spec = {
            **template["spec"],
            "hostname": name,
            "subdomain": spec["serviceName"],
        }
        if volumes := [*template["spec"].get("volumes", []), *self._claims(stateful, name)]:
            pod_spec["volumes"] = volumes
        made_by = {"name": name, "generateName": f"{metadata['name']}-", "labels": labels}
        pod_metadata = {**template["metadata"], **made_by}
        body = {
            "metadata": {**pod_metadata, "ownerReferences": [owned_by(stateful)]},
            "spec": pod_spec,
        }
        self._objects.create(_POD, metadata["namespace"], body, WRITE)

    def _claims(self, stateful: Json, pod: str) -> list[Json]:
        """The pod's volumes from the templates; claims are made once and kept."""
        namespace = stateful["metadata"]["namespace"]
        volumes = []
        for template in stateful["spec"].get("volumeClaimTemplates", []):
            name = f"{template['metadata']['name']}-{pod}"
            if self._objects.store.get(key_of(_CLAIM, namespace, name)) is None:
                body = {"metadata": {**template["metadata"], "name": name}}
                self._objects.create(_CLAIM, namespace, {**body, "spec": template["spec"]}, WRITE)
            claim = {"claimName": name}
            volumes.append({"name": template["metadata"]["name"], "persistentVolumeClaim": claim})
        return volumes

    def _keep_revision(self, stateful: Json) -> str:
        """The name of the present template's; a template that comes back is the newest again."""
        metadata, spec = stateful["metadata"], stateful["spec"]
        namespace = metadata["namespace"]
        listed = self._objects.store.list(_REVISIONS, namespace)
        kept = sorted(of_owner(listed, metadata["uid"]), key=lambda one: int(one["revision"]))
        name = f"{metadata['name']}-{self._objects.names.hash_of(spec['template'])}"
        number = (kept[-1]["revision"] if kept else 0) + 1
        if any(one["metadata"]["name"] == name for one in kept):
            if kept[-1]["metadata"]["name"] != name:
                self._objects.patch(
                    _REVISIONS,
                    namespace,
                    name,
                    change=lambda old: {**old, "revision": number},
                    write=WRITE,
                )
            return name
        labels = {**spec["template"]["metadata"].get("labels", {}), _REVISION: name}
        head = {"name": name, "labels": labels, "ownerReferences": [owned_by(stateful)]}
        data = {"spec": {"template": {**spec["template"], "$patch": "replace"}}}
        body = {"metadata": head, "data": data, "revision": number}
        self._objects.create(_REVISIONS, namespace, body, WRITE)
        self._forget(stateful, kept)
        return name

    def _forget(self, stateful: Json, kept: Sequence[Json]) -> None:
        used = {stateful["status"].get(name) for name in ("currentRevision", "updateRevision")}
        old = [one for one in kept if one["metadata"]["name"] not in used]
        for one in old[: max(len(old) - stateful["spec"]["revisionHistoryLimit"], 0)]:
            end(self._objects, _REVISIONS, one)

    def _write_status(self, stateful: Json, revision: str) -> None:
        pods = list(self._pods(stateful).values())
        # What was rolled before stays the current one until the last pod has the new one.
        before = stateful["status"].get("currentRevision", revision)
        is_rolled = _count(pods, revision) >= stateful["spec"]["replicas"]
        current = revision if is_rolled else before
        counts = {
            "readyReplicas": sum(map(is_ready, pods)),
            "currentReplicas": _count(pods, current),
            "updatedReplicas": _count(pods, revision),
        }
        status = {
            "observedGeneration": stateful["metadata"]["generation"],
            "replicas": len(pods),
            **{name: number for name, number in counts.items() if number},
            "currentRevision": current,
            "updateRevision": revision,
            "collisionCount": 0,
            "availableReplicas": counts["readyReplicas"],
        }
        if stateful["status"] != status:
            metadata = stateful["metadata"]
            self._objects.patch(
                _STATEFUL_SET,
                metadata["namespace"],
                metadata["name"],
                change=lambda old: {**old, "status": status},
                write=STATUS,
            )


def _count(pods: Sequence[Json], revision: str) -> int:
    """Of a revision, and meant to stay."""
    return sum(stays(pod) and pod["metadata"]["labels"].get(_REVISION) == revision for pod in pods)


def _is_whole(pod: Json | None) -> bool:
    """Ready and meant to stay."""
    return pod is not None and stays(pod) and is_ready(pod)
