"""What a network plugin does for pods that are processes: enforces NetworkPolicies, as far as used.

Used is parting one pod from all others that take connections on the same port. Pods here have
loopback addresses of one machine, and the kernel's packet filter would need root and a table of its
own; so the sockets are made deaf instead (`trioroute.drills.local.severed`), which cuts connections
that are open already, as some plugins do and others do not. What is refused only in part is not
enforced: it is said once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import trio

from chaos.sim.kubernetes.selectors import label_selector
from chaos.sim.kubernetes_cluster.kube import Kube
from trioroute.demo.witness import find_family
from trioroute.drills.local.severed import Severed, can_sever, sever, unsever

__all__ = ["Network", "may_dial", "parted"]

Json = dict[str, Any]

#: How often policies and pods are looked at, and while something is cut, its sockets, seconds.
_LOOK_S: Final = 0.1
_KEEP_S: Final = 0.01


def may_dial(policies: Sequence[Json], dialler: Json, taker: Json, port: int) -> bool:
    """Whether policies let one pod of a namespace dial another on a port."""
    names = {one.get("name") for one in _ports(taker) if one["containerPort"] == port} | {port}
    return _passes(policies, "ingress", "from", far=dialler, near=taker, names=names) and _passes(
        policies, "egress", "to", far=taker, near=dialler, names=names
    )


def _passes(
    policies: Sequence[Json],
    way: str,
    others: str,
    *,
    far: Json,
    near: Json,
    names: set[Any],
) -> bool:
    """Whether the policies about the near pod let the far one through, in one direction."""
    about = [
        one["spec"]
        for one in policies
        if way.capitalize() in one["spec"].get("policyTypes", ["Ingress"])
        and _chooses(one["spec"]["podSelector"], near)
    ]
    rules = [rule for spec in about for rule in spec.get(way) or ()]
    return not about or any(
        any(_has(port, names) for port in rule.get("ports") or [{}])
        and any(_is_peer(peer, far) for peer in rule.get(others) or [{}])
        for rule in rules
    )


def _has(port: Json, names: set[Any]) -> bool:
    return "port" not in port or port["port"] in names


def _is_peer(peer: Json, pod: Json) -> bool:
    # All pods here are of one namespace; addresses are not told apart.
    return "podSelector" not in peer or _chooses(peer["podSelector"], pod)


def _chooses(selector: Json, pod: Json) -> bool:
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        values = ",".join(one.get("values") or ())
        parts.append(
            {
                "Exists": one["key"],
                "DoesNotExist": f"!{one['key']}",
                "In": f"{one['key']} in ({values})",
                "NotIn": f"{one['key']} notin ({values})",
            }[one["operator"]]
        )
    return bool(label_selector(",".join(parts))(pod))


def parted(pods: Sequence[Json], policies: Sequence[Json]) -> Iterator[tuple[str, int, bool]]:
    """Uid and port of each pod that is refused something by the others that have that port.

    The last word is whether it is refused everything, both ways.
    """
    for pod in pods:
        for port in sorted({one["containerPort"] for one in _ports(pod)}):
            others = [other for other in pods if other is not pod and _listens(other, port)]
            ways = [
                may_dial(policies, *pair, port)
                for other in others
                for pair in ((pod, other), (other, pod))
            ]
            if ways and not all(ways):
                yield pod["metadata"]["uid"], port, not any(ways)


def _ports(pod: Json) -> list[Json]:
    return [port for one in pod["spec"]["containers"] for port in one.get("ports") or ()]


def _listens(pod: Json, port: int) -> bool:
    return any(one["containerPort"] == port for one in _ports(pod))


@attrs.define
class Network:
    """The network of all pods of a namespace that run here.

    Args:
        pid: of a pod's container, by its uid.
        say: is told what is not enforced.
    """

    _kube: Kube
    _namespace: str
    _pid: Callable[[str], int | None]
    _say: Callable[[str], None] = print
    _cuts: dict[tuple[str, int], Severed] = attrs.field(factory=dict)
    _told: set[str] = attrs.field(factory=set)

    async def run(self) -> None:
        """Until cancelled; nothing is cut any more then."""
        try:
            while True:
                await self._look()
                await self._keep()
        finally:
            for severed in self._cuts.values():
                unsever(severed)

    async def _look(self) -> None:
        policies = await self._kube.list("NetworkPolicy", self._namespace)
        pods = await self._kube.list("Pod", self._namespace)
        running = {pod["metadata"]["uid"]: self._pid(pod["metadata"]["uid"]) for pod in pods}
        wanted: dict[tuple[str, int], Severed] = {}
        whole: Mapping[str, frozenset[int]] = {}
        for uid, port, is_all in parted(pods, policies):
            if not is_all or running[uid] is None:
                continue
            whole = whole or {
                one: find_family(pid) for one, pid in running.items() if pid is not None
            }
            rest = [whole[one] for one in whole if one != uid]
            wanted[uid, port] = Severed(
                one=whole[uid], others=frozenset().union(*rest), ports=frozenset({port})
            )
            self._complain(whole[uid])
        for key in self._cuts.keys() - wanted.keys():
            unsever(self._cuts[key])
        self._cuts = wanted

    async def _keep(self) -> None:
        """Until the next look: connections that are opened meanwhile are cut, too."""
        until = trio.current_time() + _LOOK_S
        while trio.current_time() < until:
            for severed in self._cuts.values():
                sever(severed)
            await trio.sleep(_KEEP_S if self._cuts else _LOOK_S)

    def _complain(self, pids: frozenset[int]) -> None:
        why = can_sever(min(pids))
        if why and why not in self._told:
            self._told.add(why)
            self._say(f"SKIPPED NetworkPolicy: {why}")
