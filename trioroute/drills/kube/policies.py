"""What NetworkPolicies let through, and the one that parts a front-end from its peers. Pure.

Policies only ever add: what one allows, no other can take back. So a pod is cut off by a label, for
which `k8s/base/network-policy.yaml` makes an exception twice: a pod with it is not that policy's
any more, and the others take no peers from it. The drill's own policy then allows the pod what it
was allowed before, but no peers. Nothing needs ranges of ports, which not every network knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from trioroute.drills.kube.calls import Json

__all__ = ["CUT_LABEL", "DRILL_LABEL", "UNTIL", "allows", "cut_policy", "peers_port", "selecting"]

#: On the pod that is cut off.
CUT_LABEL: Final = "trioroute.dev/drill-cut"
#: On whatever a drill makes.
DRILL_LABEL: Final = "trioroute.dev/drill"
#: Annotation: after this time nobody mends it any more who has not done so.
UNTIL: Final = "trioroute.dev/drill-until"

_PEERS: Final = "peers"
_INGRESS: Final = "Ingress"
_EGRESS: Final = "Egress"


def peers_port(pod: Json) -> int | None:
    """Where a front-end's pod takes peers."""
    return next((port for name, port in _ports(pod) if name == _PEERS), None)


def cut_policy(pod: Json, policies: Sequence[Json], *, until: str) -> Json:
    """The policy that allows a pod all that it is allowed now, except to take peers.

    Args:
        policies: all of its namespace.
        until: when it should have gone, as Kubernetes writes times.
    """
    name = pod["metadata"]["name"]
    chosen = selecting(policies, _labels(pod))
    ingress = [one for one in chosen if _INGRESS in _types(one)]
    egress = [one for one in chosen if _EGRESS in _types(one)]
    rules = [rule for one in ingress for rule in one["spec"].get("ingress") or ()]
    spec: Json = {
        "podSelector": {"matchLabels": {CUT_LABEL: name}},
        "policyTypes": [_INGRESS, *([_EGRESS] if egress else [])],
        "ingress": list(_without_peers(rules if ingress else [{}], pod)),
    }
    if egress:
        spec["egress"] = [rule for one in egress for rule in one["spec"].get("egress") or ()]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"trioroute-drill-{name}",
            "labels": {DRILL_LABEL: "partition"},
            "annotations": {UNTIL: until},
        },
        "spec": spec,
    }


def selecting(policies: Sequence[Json], labels: Mapping[str, str]) -> list[Json]:
    """The policies that are about pods with these labels."""
    return [one for one in policies if _matches(one["spec"].get("podSelector") or {}, labels)]


def allows(policies: Sequence[Json], taker: Json, port: int, dialler: Mapping[str, str]) -> bool:
    """Whether a pod may be dialled on a port by a pod of its namespace with these labels.

    What cannot be told from labels (addresses, other namespaces) counts as allowed.
    """
    chosen = [one for one in selecting(policies, _labels(taker)) if _INGRESS in _types(one)]
    if not chosen:
        return True
    names = {name for name, number in _ports(taker) if number == port} | {port}
    return any(
        _is_open(rule, names) and _is_from(rule, dialler)
        for one in chosen
        for rule in one["spec"].get("ingress") or ()
    )


def _without_peers(rules: Sequence[Json], pod: Json) -> Iterator[Json]:
    closed = {_PEERS, peers_port(pod)}
    others = [{"port": number} for name, number in _ports(pod) if name != _PEERS]
    for rule in rules:
        kept = [one for one in rule.get("ports") or others if one.get("port") not in closed]
        if kept:
            yield {**rule, "ports": kept}


def _is_open(rule: Json, names: set[Any]) -> bool:
    ports = rule.get("ports") or ()
    numbers = [name for name in names if isinstance(name, int)]
    return not ports or any(
        "port" not in one
        or one["port"] in names
        or ("endPort" in one and any(one["port"] <= n <= one["endPort"] for n in numbers))
        for one in ports
    )


def _is_from(rule: Json, labels: Mapping[str, str]) -> bool:
    return not rule.get("from") or any(
        "podSelector" not in one or _matches(one["podSelector"], labels) for one in rule["from"]
    )


def _matches(selector: Json, labels: Mapping[str, str]) -> bool:
    wanted = (selector.get("matchLabels") or {}).items()
    return all(labels.get(name) == value for name, value in wanted) and all(
        _fits(one, labels) for one in selector.get("matchExpressions") or ()
    )


def _fits(expression: Json, labels: Mapping[str, str]) -> bool:
    name, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "Exists":
            return name in labels
        case "DoesNotExist":
            return name not in labels
        case "In":
            return labels.get(name) in values
        case _:
            return labels.get(name) not in values


def _types(policy: Json) -> Sequence[str]:
    spec = policy["spec"]
    return spec.get("policyTypes") or [_INGRESS, *([_EGRESS] if "egress" in spec else [])]


def _labels(pod: Json) -> Mapping[str, str]:
    return pod["metadata"].get("labels") or {}


def _ports(pod: Json) -> Iterator[tuple[str, int]]:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            yield port.get("name", ""), int(port["containerPort"])
