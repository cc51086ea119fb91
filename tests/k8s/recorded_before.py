"""What recordings found in their cluster already and show: made before a scenario is replayed."""

from typing import Any, Final

__all__ = ["BEFORE"]

Json = Any

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


BEFORE: Final[dict[str, list[tuple[str, str, Json]]]] = {
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
