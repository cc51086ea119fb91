"""What a deployment is on Kubernetes, and what a pod is to the router. Pure.

A registered deployment says what runs (its `ContainerSource`) and how it is routed to (port,
probes, limits); it makes a Deployment, a Service and a ConfigMap. A pod becomes a replica only as
this module says: labels chosen by us, Ready, an address that pods can have, and an identity that
no later pod repeats.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final

from trioroute.core.found import FoundReplica, FoundState
from trioroute.core.model import Deployment, Probe
from trioroute.discovery.kube.workload import Workload
from trioroute.spec.cluster.container import CODE_FOLDER, MODEL_FOLDER, secret_of
from trioroute.spec.cluster.resources import API_VERSION, DEPLOYMENT_KIND

__all__ = [
    "APPLIED",
    "DELETION_COST",
    "EPOCH",
    "FIELD_MANAGER",
    "MADE_FROM",
    "PODS",
    "POD_NETWORKS",
    "PORT_NAME",
    "adoption_of",
    "config_map_of",
    "deployment_of",
    "found_replica",
    "other_scaler",
    "person_who_scaled",
    "pod_name_of",
    "problem_of",
    "service_of",
]

Json = dict[str, Any]
Network = IPv4Network | IPv6Network

#: Whose fields these are, in server-side apply.
FIELD_MANAGER: Final = "trioroute"

#: How the field managers of people's tool begin (also `kubectl-edit`, `kubectl-client-side-apply`).
_PERSONS: Final = "kubectl"

_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
ENDPOINT: Final = "trioroute.dev/endpoint"
DEPLOYMENT: Final = "trioroute.dev/deployment"
#: Mark of the source that a pod runs: tells a pod of before a change from one of after it.
MADE_FROM: Final = "trioroute.dev/made-from"
#: The newest coordinator that has written this Deployment: an earlier one is refused.
EPOCH: Final = "trioroute.dev/epoch"
#: Hash of what was applied last: nothing is sent again while it is the same.
APPLIED: Final = "trioroute.dev/applied"
#: Kubernetes' own: of pods that are equally ready, the cheapest goes first.
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"

#: Which pods and Deployments are watched.
PODS: Final = f"{_MANAGED_BY}={FIELD_MANAGER}"

PORT_NAME: Final = "scoring"
_CONTAINER: Final = "model"

#: Where pods may be, unless the operator says otherwise: the private ranges.
POD_NETWORKS: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)

#: After a pod is told to end, requests may still be sent to it for this long: the event has to
#: reach the coordinator, and its grants the workers, seconds.
_PROPAGATION_S: Final = 2
#: For the model server's own end, seconds.
_TERMINATION_S: Final = 10


def config_map_of(workload: Workload, deployment: Deployment) -> Json:
    """The variables of the model server: what people look for when a replica misbehaves."""
    return {
        **_head("v1", "ConfigMap", workload, deployment),
        "data": dict(sorted(_variables(workload).items())),
    }


def service_of(workload: Workload, deployment: Deployment) -> Json:
    """A name for the replicas, for people and scrapers; the router itself dials pods."""
    port = {"name": PORT_NAME, "port": 80, "targetPort": PORT_NAME}
    return {
        **_head("v1", "Service", workload, deployment),
        "spec": {"clusterIP": "None", "selector": _selector(deployment), "ports": [port]},
    }


def deployment_of(
    workload: Workload,
    deployment: Deployment,
    *,
    made_from: str,
    epoch: int,
    replicas: int,
) -> Json:
    """The Deployment as it is applied.

    Args:
        made_from: mark of the registry's source, which the pods carry.
        replicas: the number that is there, so that applying changes nothing; for a new Deployment
            the number wished. Scaling goes through the scale subresource.
    """
    body = _head("apps/v1", "Deployment", workload, deployment)
    grace_s = math.ceil(deployment.request_max_s) + _PROPAGATION_S
    labels = {**_labels(deployment), MADE_FROM: made_from}
    spec: Json = {
        "selector": {"matchLabels": _selector(deployment)},
        # A new replica first: the number that can serve never falls during a change.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        },
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": grace_s + _TERMINATION_S,
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [_container(workload, deployment, grace_s=grace_s)],
                "volumes": _volumes(workload),
            },
        },
    }
    if workload.node_selector:
        spec["template"]["spec"]["nodeSelector"] = dict(workload.node_selector)
    if workload.tolerations:
        spec["template"]["spec"]["tolerations"] = [dict(one) for one in workload.tolerations]
    if not spec["template"]["spec"]["volumes"]:
        del spec["template"]["spec"]["volumes"]
    body["spec"] = spec
    body["metadata"]["annotations"] = {APPLIED: _hash(body), EPOCH: str(epoch)}
    spec["replicas"] = replicas
    return body


def adoption_of(name: str, deployment: Deployment, *, made_from: str, epoch: int) -> Json:
    """What is applied to a Deployment of somebody else's: our labels, on it and on its pods.

    Nothing else of it becomes ours, and it is not ours to delete. Its pods are replaced once, by
    its own strategy, to get the labels.
    """
    labels = {**_labels(deployment), MADE_FROM: made_from}
    body: Json = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": _labels(deployment)},
        "spec": {"template": {"metadata": {"labels": labels}}},
    }
    body["metadata"]["annotations"] = {APPLIED: _hash(body), EPOCH: str(epoch)}
    return body


def _container(workload: Workload, deployment: Deployment, *, grace_s: int) -> Json:
    container: Json = {
        "name": _CONTAINER,
        "image": workload.source.image,
        "ports": [{"name": PORT_NAME, "containerPort": deployment.scoring_port}],
        "envFrom": [{"configMapRef": {"name": workload.name}}],
        "resources": workload.resources,
        "readinessProbe": _probe(deployment.readiness, deployment.readiness_path, deployment),
        "livenessProbe": _probe(deployment.liveness, deployment.liveness_path, deployment),
        # Requests that run may end: the server is told to stop only when the last one must have.
        "lifecycle": {"preStop": {"sleep": {"seconds": grace_s}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    secrets = {
        name: secret
        for name, value in sorted(workload.source.environment.items())
        if (secret := secret_of(value)) is not None
    }
    if secrets:
        # Read by the kubelet when the container starts: neither the log nor we ever have it.
        container["env"] = [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
            for name, (secret, key) in secrets.items()
        ]
    if workload.source.command:
        port = str(deployment.scoring_port)
        words = [word.replace("{port}", port) for word in workload.source.command]
        container["command"] = words
    mounts = []
    if workload.source.code:
        mounts.append({"name": "code", "mountPath": CODE_FOLDER, "readOnly": True})
    if workload.source.model_claim:
        mount = {"name": "model", "mountPath": MODEL_FOLDER, "readOnly": True}
        mounts.append(
            mount | ({"subPath": workload.source.model_path} if workload.source.model_path else {})
        )
    if mounts:
        container["volumeMounts"] = mounts
    return container


def _volumes(workload: Workload) -> list[Json]:
    volumes: list[Json] = []
    if workload.source.code:
        volumes.append({"name": "code", "configMap": {"name": workload.source.code}})
    if workload.source.model_claim:
        claim = {"claimName": workload.source.model_claim, "readOnly": True}
        volumes.append({"name": "model", "persistentVolumeClaim": claim})
    return volumes


def _variables(workload: Workload) -> dict[str, str]:
    variables = {}
    if workload.source.code:
        variables["AML_APP_ROOT"] = CODE_FOLDER
        variables["AZUREML_ENTRY_SCRIPT"] = workload.source.script
    if workload.source.model_claim:
        variables["AZUREML_MODEL_DIR"] = MODEL_FOLDER
    plain = {n: v for n, v in workload.source.environment.items() if secret_of(v) is None}
    return {**variables, **plain}


def _probe(probe: Probe, path: str, deployment: Deployment) -> Json:
    # The kubelet shows no certificate: a server that demands one has to answer probes without.
    scheme = {"scheme": "HTTPS"} if deployment.replica_tls else {}
    return {
        "httpGet": {"path": path, "port": PORT_NAME, **scheme},
        "initialDelaySeconds": math.ceil(probe.initial_delay_s),
        "periodSeconds": max(math.ceil(probe.period_s), 1),
        "timeoutSeconds": max(math.ceil(probe.timeout_s), 1),
        "failureThreshold": probe.failure_threshold,
    }


def _head(api_version: str, kind: str, workload: Workload, deployment: Deployment) -> Json:
    owner = {
        "apiVersion": API_VERSION,
        "kind": DEPLOYMENT_KIND,
        "name": workload.name,
        "uid": workload.source.uid,
        "controller": True,
    }
    metadata = {
        "name": workload.name,
        "labels": _labels(deployment),
        "ownerReferences": [owner],
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _labels(deployment: Deployment) -> dict[str, str]:
    return {_MANAGED_BY: FIELD_MANAGER, **_selector(deployment)}


def _selector(deployment: Deployment) -> dict[str, str]:
    return {ENDPOINT: deployment.endpoint, DEPLOYMENT: deployment.name}


def _hash(body: Json) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def found_replica(pod: Json, networks: Sequence[Network] = POD_NETWORKS) -> FoundReplica | None:
    """What a pod is to the coordinator, or None for one without our labels.

    Its id holds the uid and the number of restarts: an address that comes back belongs to another
    replica, and a restarted model server cannot be busy with the old one's requests.
    """
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    if ENDPOINT not in labels or DEPLOYMENT not in labels:
        return None
    container = _container_status(status)
    restarts = int(container.get("restartCount", 0))
    address = status.get("podIP") or ""
    state, reason = _state(pod, address, networks)
    running = (container.get("state") or {}).get("running") or {}
    return FoundReplica(
        id=f"{metadata['name']}.{metadata['uid']}.{restarts}",
        deployment=f"{labels[ENDPOINT]}/{labels[DEPLOYMENT]}",
        host=address if state in ("running", "stopped") else "",
        port=_port(pod),
        state=state,
        restarts=restarts,
        reason=reason,
        last_lines=_last_lines(container),
        started_at=_seconds(running.get("startedAt")),
        made_from=labels.get(MADE_FROM, ""),
    )


def pod_name_of(replica: str) -> str:
    """The pod that a replica's id names; a pod's own name may have dots in it."""
    return replica.rsplit(".", 2)[0]


def _state(pod: Json, address: str, networks: Sequence[Network]) -> tuple[FoundState, str]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    if "deletionTimestamp" in metadata:
        return "stopped", "the pod is being deleted"
    phase = status.get("phase", "Pending")
    if phase in ("Failed", "Succeeded"):
        return "backing-off", status.get("message") or status.get("reason") or f"the pod is {phase}"
    waiting = (_container_status(status).get("state") or {}).get("waiting") or {}
    if waiting.get("reason") == "CrashLoopBackOff":
        return "backing-off", waiting.get("message") or "the model server keeps ending"
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    ready = conditions.get("Ready") or {}
    if ready.get("status") != "True":
        return "starting", _why_not_ready(waiting, conditions)
    if not _is_allowed(address, networks):
        return "starting", f"its address {address or '(none)'} is outside the pod networks"
    return "running", ""


def _why_not_ready(waiting: Json, conditions: Mapping[str, Json]) -> str:
    if waiting:
        return ": ".join(filter(None, (waiting.get("reason"), waiting.get("message"))))
    for name in ("PodScheduled", "Ready"):
        condition = conditions.get(name) or {}
        if condition.get("status") == "False" and condition.get("message"):
            return str(condition["message"])
    return "not ready yet"


def _is_allowed(text: str, networks: Sequence[Network]) -> bool:
    """Is this where a pod may be? (`faults-and-security.md` section 8, replica addresses.)

    Loopback, link-local and the like would be this machine or the cloud's metadata service: they
    count only where a network of nothing else is listed.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    is_special = (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )
    inside = [one for one in networks if one.version == address.version and address in one]
    if is_special:
        inside = [one for one in inside if one.is_loopback or one.is_link_local]
    return bool(inside)


def _port(pod: Json) -> int:
    """The one of that name; of an adopted pod that has no such name its first one."""
    ports = [
        port
        for container in pod["spec"].get("containers", [])
        for port in container.get("ports") or []
    ]
    ports.sort(key=lambda port: port.get("name") != PORT_NAME)
    return int(ports[0]["containerPort"]) if ports else 0


def _container_status(status: Json) -> Json:
    statuses: list[Json] = status.get("containerStatuses") or []
    # Adopted pods have names of their own; their first container counts.
    first = statuses[0] if statuses else {}
    return next((one for one in statuses if one.get("name") == _CONTAINER), first)


def _last_lines(container: Json) -> tuple[str, ...]:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    return tuple(str(ended.get("message") or "").splitlines()[-20:])


def _seconds(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def other_scaler(deployment: Json, *, is_adopted: bool) -> str:
    """What else keeps changing the number of replicas (an HPA); empty when nothing does.

    Args:
        is_adopted: others made it, and wrote a number when they did: only scaling counts then.
    """
    return next((one for one in _scalers(deployment, is_adopted) if not _is_person(one)), "")


def person_who_scaled(deployment: Json, *, is_adopted: bool) -> str:
    """By what tool somebody has set the number of replicas that stands there; empty when we did.

    kubectl writes once and when somebody says so: that is no scaler which ours would fight with.
    """
    return next((one for one in _scalers(deployment, is_adopted) if _is_person(one)), "")


def _scalers(deployment: Json, is_adopted: bool) -> Iterator[str]:
    """The field managers, other than ours, that have the number of replicas."""
    for entry in deployment["metadata"].get("managedFields") or []:
        if is_adopted and entry.get("subresource") != "scale":
            continue
        fields = entry.get("fieldsV1", {}).get("f:spec", {})
        if "f:replicas" in fields and entry["manager"] != FIELD_MANAGER:
            yield str(entry["manager"])


def _is_person(manager: str) -> bool:
    return manager.startswith(_PERSONS)


def problem_of(deployment: Json) -> str:
    """Why a Deployment has fewer pods than it wants, in its own words."""
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return str(condition.get("message") or condition.get("reason") or "")
    return ""
