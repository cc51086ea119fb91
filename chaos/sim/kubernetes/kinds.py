"""The kinds that the fake serves, and what the server fills in where an object says nothing."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

__all__ = ["BUILT_IN", "Kind", "kind_of_definition", "selectable"]

Json = dict[str, Any]


@attrs.frozen(kw_only=True)
class Kind:
    """One resource.

    Attributes:
        generation: the top-level parts whose change raises `metadata.generation`; empty for kinds
            without one. "annotations" stands for those in the metadata.
        fields: what a field selector may name besides name and namespace.
        is_custom: whether a definition made it: no strategic patches, other field order.
        schema: of a custom resource, for its validation.
        columns: of a custom resource, beside its name, where it is printed as a table.
        scale: of a custom resource, where its numbers of replicas stand.
        short_names, categories: what people may say instead of its name.
    """

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True
    subresources: frozenset[str] = frozenset()
    generation: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    is_custom: bool = False
    schema: Json | None = None
    columns: tuple[Json, ...] = ()
    scale: Mapping[str, str] = attrs.field(factory=dict)
    singular: str = attrs.field(default=attrs.Factory(lambda self: self.kind.lower(), True))
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """As objects say it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """As messages say it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def fill_in(self, obj: Json) -> Json:
        """The object with this kind's defaults and without what it does not know, in place."""
        if self.is_custom:
            return obj
        if self.kind in _DEFAULTS:
            _DEFAULTS[self.kind](obj)
        for name in set(obj) - _TOPS.get(self.kind, set(obj)):
            del obj[name]
        for part in (obj, obj["metadata"]):
            for name in ("data", "labels", "annotations", "finalizers", "ownerReferences"):
                if name in part and not part[name]:
                    del part[name]
        return obj


def selectable(kind: Kind, obj: Mapping[str, Any], field: str) -> str:
    """What a field selector compares."""
    value: Any = obj
    for name in field.split("."):
        value = value.get(name, "") if isinstance(value, Mapping) else ""
    del kind
    return str(value)


def kind_of_definition(definition: Mapping[str, Any]) -> Kind:
    """The kind that a CustomResourceDefinition describes, in its storage version."""
    spec = definition["spec"]
    version = next(one for one in spec["versions"] if one["storage"])
    return Kind(
        group=spec["group"],
        version=version["name"],
        plural=spec["names"]["plural"],
        kind=spec["names"]["kind"],
        is_namespaced=spec["scope"] == "Namespaced",
        subresources=frozenset(version.get("subresources", {})),
        generation=frozenset({"spec"}),
        is_custom=True,
        schema=version.get("schema", {}).get("openAPIV3Schema"),
        fields=frozenset(one["jsonPath"].strip(".") for one in version.get("selectableFields", ())),
        columns=tuple(version.get("additionalPrinterColumns", ())),
        scale=version.get("subresources", {}).get("scale", {}),
        singular=spec["names"].get("singular") or spec["names"]["kind"].lower(),
        short_names=tuple(spec["names"].get("shortNames", ())),
        categories=tuple(spec["names"].get("categories", ())),
    )


def _setdefaults(target: Json, values: Json) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _fill_deployment(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _setdefaults(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        _setdefaults(rolling, {"maxUnavailable": "25%", "maxSurge": "25%"})
    _fill_template(spec)
    obj.setdefault("status", {})


def _fill_stateful_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _setdefaults(
        spec,
        {
            "replicas": 1,
            "podManagementPolicy": "OrderedReady",
            "revisionHistoryLimit": 10,
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Retain",
                "whenScaled": "Retain",
            },
        },
    )
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    _fill_template(spec)
    obj.setdefault("status", {"replicas": 0, "availableReplicas": 0})


def _fill_replica_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _fill_template(spec)
    obj.setdefault("status", {"replicas": 0})


def _fill_job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _setdefaults(spec, {"parallelism": 1, "completions": 1, "backoffLimit": 6, "suspend": False})
    _fill_template(spec)
    obj.setdefault("status", {})


def _fill_template(spec: Json) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _fill_pod_spec(template.setdefault("spec", {}))


def _fill_pod_spec(spec: Json) -> None:
    _setdefaults(
        spec,
        {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
            "schedulerName": "default-scheduler",
        },
    )
    for container in spec.get("containers", []):
        tag = container.get("image", "").rpartition("/")[2].partition(":")[2]
        _setdefaults(
            container,
            {
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent" if tag not in ("", "latest") else "Always",
            },
        )
        for port in container.get("ports", []):
            port.setdefault("protocol", "TCP")
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            if probe in container:
                _fill_probe(container[probe])


def _fill_probe(probe: Json) -> None:
    _setdefaults(
        probe,
        {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    )
    if "httpGet" in probe:
        probe["httpGet"].setdefault("scheme", "HTTP")


_ZONE: Final = "topology.kubernetes.io/zone"
_NOT_READY: Final = "node.kubernetes.io/not-ready"
_UNREACHABLE: Final = "node.kubernetes.io/unreachable"


def _fill_pod(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill_pod_spec(spec)
    tolerations = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in (_NOT_READY, _UNREACHABLE)
    ]
    _setdefaults(
        spec,
        {
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "tolerations": tolerations,
            "priority": 0,
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
        },
    )
    status = obj.setdefault("status", {"phase": "Pending", "qosClass": _qos_class(spec)})
    for condition in status.get("conditions", []):
        condition.setdefault("lastProbeTime", None)
    for container in status.get("containerStatuses", []):
        container.setdefault("lastState", {})
    if spec.get("nodeName"):
        # Since 1.35 a pod is told where its node is; every node here is in one zone.
        obj["metadata"].setdefault("labels", {}).setdefault(_ZONE, "zone-1")


def _qos_class(spec: Json) -> str:
    resources = [container["resources"] for container in spec.get("containers", [])]
    if not any(resources):
        return "BestEffort"
    is_guaranteed = all(
        one.get("limits") and one["limits"] == one.get("requests") for one in resources
    )
    return "Guaranteed" if is_guaranteed else "Burstable"


def _fill_service(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    for port in spec.get("ports", []):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
    _setdefaults(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
    if spec["type"] != "ExternalName":
        family = {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
        _setdefaults(spec, {"internalTrafficPolicy": "Cluster", **family})
    if "clusterIP" in spec:
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
    obj.setdefault("status", {"loadBalancer": {}})


def _fill_secret(obj: Json) -> None:
    obj.setdefault("type", "Opaque")
    texts = obj.pop("stringData", None) or {}
    if texts:
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        obj["data"] = {**(obj.get("data") or {}), **data}


def _fill_namespace(obj: Json) -> None:
    name = obj["metadata"].get("name", "")
    obj["metadata"].setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", name)
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {"phase": "Active"})


_DEFAULTS: Final[Mapping[str, Callable[[Json], None]]] = {
    "Namespace": _fill_namespace,
    "Secret": _fill_secret,
    "Deployment": _fill_deployment,
    "StatefulSet": _fill_stateful_set,
    "ReplicaSet": _fill_replica_set,
    "Job": _fill_job,
    "Pod": _fill_pod,
    "Service": _fill_service,
    "ResourceQuota": lambda obj: _setdefaults(obj, {"status": {}}),
    "Lease": lambda obj: _setdefaults(obj, {"spec": {}}),
}

#: Top-level fields of kinds without a spec; others are dropped.
_TOPS: Final[Mapping[str, set[str]]] = {
    "ConfigMap": {"kind", "apiVersion", "metadata", "data", "binaryData", "immutable"},
}

_SCALED: Final = frozenset({"status", "scale"})
_STATUS: Final = frozenset({"status"})
_SPEC: Final = frozenset({"spec"})
_EVENT_FIELDS: Final = frozenset(
    {
        *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "fieldPath")),
        *("involvedObject.apiVersion", "involvedObject.resourceVersion"),
        *("reason", "reportingComponent", "source", "type"),
    }
)
_POD_FIELDS: Final = frozenset(
    {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    }
)

#: What people say instead of the plural, and what `kubectl get all` shows.
_SHORT: Final[Mapping[str, str]] = {
    "configmaps": "cm",
    "customresourcedefinitions": "crd",
    "deployments": "deploy",
    "events": "ev",
    "horizontalpodautoscalers": "hpa",
    "namespaces": "ns",
    "networkpolicies": "netpol",
    "nodes": "no",
    "persistentvolumeclaims": "pvc",
    "poddisruptionbudgets": "pdb",
    "pods": "po",
    "replicasets": "rs",
    "resourcequotas": "quota",
    "serviceaccounts": "sa",
    "services": "svc",
    "statefulsets": "sts",
    "storageclasses": "sc",
}
_ALL: Final = ("pods", "services", "deployments", "statefulsets", "replicasets")


def _named(kind: Kind) -> Kind:
    short = (_SHORT[kind.plural],) if kind.plural in _SHORT else ()
    categories = ("all",) if kind.plural in _ALL else ()
    return attrs.evolve(kind, short_names=short, categories=categories)


_KINDS: Final = (
    Kind(
        group="",
        version="v1",
        plural="namespaces",
        kind="Namespace",
        is_namespaced=False,
        subresources=_STATUS,
    ),
    Kind(group="", version="v1", plural="nodes", kind="Node", is_namespaced=False),
    Kind(
        group="",
        version="v1",
        plural="pods",
        kind="Pod",
        subresources=_STATUS | {"log", "binding", "portforward"},
        generation=_SPEC,
        fields=_POD_FIELDS,
    ),
    Kind(group="", version="v1", plural="services", kind="Service", subresources=_STATUS),
    Kind(group="", version="v1", plural="configmaps", kind="ConfigMap"),
    Kind(group="", version="v1", plural="secrets", kind="Secret"),
    Kind(group="", version="v1", plural="events", kind="Event", fields=_EVENT_FIELDS),
    Kind(
        group="",
        version="v1",
        plural="resourcequotas",
        kind="ResourceQuota",
        subresources=_STATUS,
    ),
    Kind(group="", version="v1", plural="serviceaccounts", kind="ServiceAccount"),
    Kind(group="", version="v1", plural="persistentvolumeclaims", kind="PersistentVolumeClaim"),
    Kind(
        group="apps",
        version="v1",
        plural="deployments",
        kind="Deployment",
        subresources=_SCALED,
        generation=_SPEC | {"annotations"},
    ),
    Kind(
        group="apps",
        version="v1",
        plural="statefulsets",
        kind="StatefulSet",
        subresources=_SCALED,
        generation=_SPEC,
    ),
    Kind(
        group="apps",
        version="v1",
        plural="replicasets",
        kind="ReplicaSet",
        subresources=_SCALED,
        generation=_SPEC,
    ),
    Kind(group="apps", version="v1", plural="controllerrevisions", kind="ControllerRevision"),
    Kind(
        group="batch",
        version="v1",
        plural="jobs",
        kind="Job",
        subresources=_STATUS,
        generation=_SPEC,
    ),
    Kind(
        group="autoscaling",
        version="v2",
        plural="horizontalpodautoscalers",
        kind="HorizontalPodAutoscaler",
        generation=_SPEC,
    ),
    Kind(
        group="storage.k8s.io",
        version="v1",
        plural="storageclasses",
        kind="StorageClass",
        is_namespaced=False,
    ),
    Kind(
        group="discovery.k8s.io",
        version="v1",
        plural="endpointslices",
        kind="EndpointSlice",
        generation=frozenset({"endpoints", "ports"}),
    ),
    Kind(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease"),
    Kind(group="rbac.authorization.k8s.io", version="v1", plural="roles", kind="Role"),
    Kind(
        group="rbac.authorization.k8s.io", version="v1", plural="rolebindings", kind="RoleBinding"
    ),
    Kind(
        group="policy",
        version="v1",
        plural="poddisruptionbudgets",
        kind="PodDisruptionBudget",
        subresources=_STATUS,
        generation=_SPEC,
    ),
    Kind(
        group="networking.k8s.io",
        version="v1",
        plural="networkpolicies",
        kind="NetworkPolicy",
        generation=_SPEC,
    ),
    Kind(
        group="apiextensions.k8s.io",
        version="v1",
        plural="customresourcedefinitions",
        kind="CustomResourceDefinition",
        is_namespaced=False,
        subresources=_STATUS,
        generation=_SPEC,
    ),
)

#: What every server has, as far as a router or its operator meets it.
BUILT_IN: Final = tuple(map(_named, _KINDS))
