"""What a server says that it has: health, version, groups, resources, in both forms.

As recorded: `/api` and `/apis` answer with everything at once to clients that accept the aggregated
form, with an ETag; each group version has its list of resources for the others.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chaos.sim.kubernetes.errors import method_not_allowed, no_such_path
from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.requests import Answer, Request
from chaos.sim.kubernetes.rights import REVIEWS
from chaos.sim.kubernetes_shown.openapi import openapi

__all__ = ["discover"]

Json = dict[str, Any]

_VERSION: Final[Mapping[str, str]] = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "0",
    "gitTreeState": "",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "fake",
}
_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
#: Custom resources are listed by another part of the real server, in another order.
_CUSTOM_VERBS: Final = (
    *("delete", "deletecollection", "get", "list", "patch"),
    *("create", "update", "watch"),
)
_PART_VERBS: Final = ("get", "patch", "update")
_OTHER_VERBS: Final[Mapping[str, tuple[str, ...]]] = {
    "log": ("get",),
    "binding": ("create",),
    "eviction": ("create",),
    "portforward": ("create", "get"),
}
#: Subresources that are objects of another kind.
_OTHER_KINDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "binding": ("", "", "Binding"),
    "portforward": ("", "", "PodPortForwardOptions"),
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
}
_AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_HEALTH: Final = ("healthz", "livez", "readyz")
_CHECKS: Final = ("ping", "etcd")


def discover(request: Request, parts: Sequence[str], kinds: Sequence[Kind]) -> Answer:
    """Answer a path that belongs to no resource. Raises ApiError.

    Args:
        parts: of the path.
    """
    if request.method != "GET":
        raise method_not_allowed()
    if parts[0] in _HEALTH:
        return _health(request, parts)
    if parts == ["version"]:
        return Answer(body=dict(_VERSION))
    if parts[0] == "openapi":
        return openapi(request, parts[1:], kinds)
    if parts == [""]:
        paths = ["/api", "/apis", *(f"/{name}" for name in _HEALTH), "/openapi/v3", "/version"]
        return Answer(body={"paths": paths})
    if parts[0] not in ("api", "apis"):
        raise no_such_path()
    if len(parts) == 1:
        return _roots(request, parts[0], kinds)
    group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[-1])
    served = [kind for kind in kinds if kind.group == group]
    if group == REVIEWS and not served:
        return Answer(body=_list("v1", group, []))
    if not served:
        raise no_such_path()
    if len(parts) == 2 and group:
        body = {"kind": "APIGroup", "apiVersion": "v1", **_group(group, served[0].version)}
        return Answer(body=body)
    chosen = [kind for kind in served if kind.version == version]
    if not chosen:
        raise no_such_path()
    resources = [one for kind in chosen for one in _resources(kind)]
    return Answer(body=_list(version, group, resources))


def _health(request: Request, parts: Sequence[str]) -> Answer:
    if len(parts) > 2 or (len(parts) == 2 and parts[1] not in _CHECKS):
        raise no_such_path()
    if "verbose" in request.query:
        lines = [f"[+]{name} ok" for name in _CHECKS]
        return Answer(body="\n".join([*lines, f"{parts[0]} check passed", ""]))
    return Answer(body="ok")


def _roots(request: Request, root: str, kinds: Sequence[Kind]) -> Answer:
    wanted = [kind for kind in kinds if (kind.group == "") == (root == "api")]
    if "as=APIGroupDiscoveryList" in request.headers.get("accept", ""):
        return _aggregated(request, wanted)
    if root == "api":
        address = {"clientCIDR": "0.0.0.0/0", "serverAddress": request.headers.get("host", "")}
        body: Json = {"kind": "APIVersions", "versions": ["v1"]}
        return Answer(body={**body, "serverAddressByClientCIDRs": [address]})
    served = dict.fromkeys((kind.group, kind.version) for kind in wanted)
    groups = [_group(group, version) for group, version in served]
    body = {"kind": "APIGroupList", "apiVersion": "v1"}
    return Answer(body={**body, "groups": [*groups, _group(REVIEWS, "v1")]})


def _aggregated(request: Request, kinds: Sequence[Kind]) -> Answer:
    groups: dict[tuple[str, str], list[Json]] = {}
    for kind in kinds:
        groups.setdefault((kind.group, kind.version), []).append(_discovered(kind))
    body = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group} if group else {},
                "versions": [{"version": version, "resources": found, "freshness": "Current"}],
            }
            for (group, version), found in groups.items()
        ],
    }
    mark = f'"{hashlib.sha512(json.dumps(body).encode()).hexdigest().upper()}"'
    headers = {"cache-control": "public", "etag": mark, "vary": "Accept"}
    if request.headers.get("if-none-match") == mark:
        return Answer(status=304, headers=headers)
    return Answer(body=body, headers={**headers, "content-type": _AGGREGATED})


def _group(group: str, version: str) -> Json:
    served = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [served], "preferredVersion": served}


def _list(version: str, group: str, resources: list[Json]) -> Json:
    body: Json = {"kind": "APIResourceList"}
    if group:  # the oldest group is older than the habit of saying it
        body["apiVersion"] = "v1"
    return {**body, "groupVersion": f"{group}/{version}".lstrip("/"), "resources": resources}


def _resources(kind: Kind) -> list[Json]:
    """A resource and its parts, as the list of one group version has them."""
    own: Json = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.is_namespaced,
        "kind": kind.kind,
        "verbs": _verbs(kind),
    }
    found = [{**own, **_nicknames(kind)}]
    for part in _parts(kind):
        group, version, name = _OTHER_KINDS.get(part, ("", "", kind.kind))
        other = {"group": group, "version": version} if group else {}
        entry = {"name": f"{kind.plural}/{part}", "singularName": ""}
        verbs = list(_OTHER_VERBS.get(part, _PART_VERBS))
        found.append(
            {**entry, "namespaced": kind.is_namespaced, **other, "kind": name, "verbs": verbs}
        )
    return found


def _discovered(kind: Kind) -> Json:
    """A resource and its parts, as the aggregated form has them."""
    # Built-in kinds of a group leave out which group they are in.
    place = (kind.group, kind.version) if kind.is_custom else ("", "")
    found: Json = {
        "resource": kind.plural,
        "responseKind": _kind(*place, kind.kind),
        "scope": "Namespaced" if kind.is_namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _verbs(kind),
        **_nicknames(kind),
    }
    parts = [
        {
            "subresource": part,
            "responseKind": _kind(*_OTHER_KINDS.get(part, (*place, kind.kind))),
            "verbs": list(_OTHER_VERBS.get(part, _PART_VERBS)),
        }
        for part in _parts(kind)
    ]
    return {**found, "subresources": parts} if parts else found


def _kind(group: str, version: str, kind: str) -> Json:
    return {"group": group, "version": version, "kind": kind}


def _parts(kind: Kind) -> list[str]:
    order = ("status", "scale") if kind.is_custom else ("scale", "status")
    return (
        sorted(kind.subresources, key=lambda part: (part in order, order.index(part)))
        if kind.subresources <= set(order)
        else sorted(kind.subresources)
    )


def _verbs(kind: Kind) -> list[str]:
    verbs = _CUSTOM_VERBS if kind.is_custom else _VERBS
    return [verb for verb in verbs if verb != "deletecollection" or kind.kind != "Namespace"]


def _nicknames(kind: Kind) -> Json:
    found: Json = {}
    if kind.short_names:
        found["shortNames"] = list(kind.short_names)
    if kind.categories:
        found["categories"] = list(kind.categories)
    return found
