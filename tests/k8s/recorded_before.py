"""What recordings found in their cluster already and show: made before a scenario is replayed."""

from typing import Any, Final

__all__ = ["BEFORE", "COMPACTED", "WITHOUT_DEFINITIONS", "WITHOUT_ROUTER"]

Json = Any

#: Before which step the store was compacted while nobody asked.
COMPACTED: Final = {"list-expired": 7}
#: Here they are made.
WITHOUT_DEFINITIONS: Final = frozenset({"crd-create"})
#: In these the router's service account does not exist when they begin.
WITHOUT_ROUTER: Final = frozenset({"unauthenticated", "rbac-forbidden", "list-empty"})

_BLUE: Final[Json] = {
    "metadata": {"name": "blue", "labels": {"app": "blue"}},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "blue"}},
        "template": {
            "metadata": {"labels": {"app": "blue"}},
            "spec": {"containers": [{"name": "model", "image": "registry.example/model:1"}]},
        },
    },
}
#: As far as the recording asks for it.
_REVIEWED: Final[list[Json]] = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "patch"]},
]


def _bound(namespace: str) -> Json:
    account = {"kind": "ServiceAccount", "name": "trioroute", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "trioroute"}
    return {"roleRef": role, "subjects": [account]}


def _online(name: str, **more: Json) -> Json:
    spec = {"endpoint_name": "iris", "model": "m:1", **more.pop("spec", {})}
    labels = {"trioroute.dev/endpoint": "iris"}
    metadata = {"name": name, "labels": labels, **more.pop("metadata", {})}
    return {"metadata": metadata, "spec": spec, **more}


_STARTING: Final[Json] = {
    "conditions": [
        {
            "lastTransitionTime": "2020-01-01T00:00:00Z",
            "message": "1 of 2 replicas are ready",
            "reason": "Starting",
            "status": "False",
            "type": "Ready",
        },
        {
            "lastTransitionTime": "2020-01-01T00:00:00Z",
            "reason": "Tried",
            "status": "True",
            "type": "Routed",
        },
    ],
    "observedGeneration": 2,
    "readyReplicas": 1,
    "replicas": 2,
    "selector": "trioroute.dev/deployment=green",
}

BEFORE: Final[dict[str, list[tuple[str, str, Json]]]] = {
    "cr-watch": [
        ("OnlineDeployment", "crd", _online("blue")),
        (
            "OnlineDeployment",
            "crd",
            _online("pruned", spec={"resources": {"any": {"thing": 1}}}),
        ),
        (
            "OnlineDeployment",
            "crd",
            _online(
                "green",
                metadata={"annotations": {"a": "b"}, "generation": 6},
                spec={"instance_count": 3},
                status=_STARTING,
            ),
        ),
    ],
    "watch-future-rv": [
        ("ConfigMap", "watch-start", {"metadata": {"name": name}}) for name in ("a", "b")
    ],
    "python-client-watch": [
        ("ConfigMap", "pyclient", {"metadata": {"name": name}}) for name in ("a", "b")
    ],
    "python-client-calls": [
        ("Deployment", "pyclient", {**_BLUE, "spec": {**_BLUE["spec"], "replicas": 2}})
    ],
    "access-reviews": [
        ("Role", "review", {"metadata": {"name": "trioroute"}, "rules": _REVIEWED}),
        ("RoleBinding", "review", {"metadata": {"name": "trioroute"}, **_bound("review")}),
    ],
    "impersonation": [
        ("Role", "review", {"metadata": {"name": "trioroute"}, "rules": _REVIEWED}),
        ("RoleBinding", "review", {"metadata": {"name": "trioroute"}, **_bound("review")}),
    ],
    "rbac-revoked": [
        (
            "Role",
            "rbac",
            {
                "metadata": {"name": "trioroute"},
                "rules": [
                    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
                ],
            },
        ),
    ],
    "rbac-forbidden": [
        ("Deployment", "rbac", _BLUE),
        ("ConfigMap", "rbac", {"metadata": {"name": "trioroute"}}),
        ("ConfigMap", "rbac", {"metadata": {"name": "other"}}),
    ],
}
