"""The pods of one installation in a Kubernetes cluster as a world to drill.

Names of front-ends are names of pods; a replica's id begins with its pod's name and uid. What is
killed is deleted, and its StatefulSet or Deployment makes another. Whatever lasts is done by a
guard (`guarding`), and what that leaves behind is found again by its label (`parting`).
"""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import attrs
import msgspec
import trio

from trioroute.drills.catalogue import Deed
from trioroute.drills.guarding.post import Post
from trioroute.drills.kube.calls import Api, Json, delete, find, listed, path_of
from trioroute.drills.kube.parting import (
    NETWORKING,
    Order,
    Parting,
    left_behind,
    remove_left,
    shown_time,
)
from trioroute.drills.kube.policies import (
    CUT_LABEL,
    allows,
    cut_policy,
    peers_port,
    selecting,
)
from trioroute.drills.kube.rights import ALWAYS, missing, rights_for
from trioroute.drills.kube.words import LOOK_S
from trioroute.drills.world import Target, WorldError

__all__ = ["KubeWorld", "Place"]

#: The API server is not asked more often than this whether a pod is another one now, seconds.
_ASK_S: Final = 0.25
#: From when a wound should have gone to when somebody else may take it for left behind, seconds.
_SPARE_S: Final = 60.0
_MODELS: Final = "MODELS_NAMESPACE"

_NO_MEANS: Final = {
    Deed.FREEZE: "the Kubernetes API has no means to stop a container's processes, and signals "
    "from inside a pod do not stop its first one: try `drill partition`, in which a coordinator is "
    "as silent to the others, or on the pod's own machine `kill -STOP` and `kill -CONT`",
    Deed.FILL: "through the Kubernetes API nobody can tell whether a volume's room is its own or "
    "the machine's, which would be filled too: rehearse it with `trioroute up` on one machine "
    "(chaos/RUNBOOKS.md, disk-full)",
}


@attrs.frozen(kw_only=True)
class Place:
    """How one installation is reached.

    Attributes:
        kubeconfig, context: of the settings, for the guard.
        host: of the API server, for people.
        guard: command of the guard; how long it waits is added as its last word.
        held: client ports of the connections that go to a pod now; None where nobody can tell.
    """

    api: Api
    admin_urls: Mapping[str, str]
    host: str
    kubeconfig: str
    context: str
    guard: Sequence[str]
    held: Callable[[str], frozenset[int] | None]


@attrs.define
class KubeWorld:
    """One installation."""

    _place: Place
    _post: Post | None = None
    _asked: dict[str, tuple[float, str]] = attrs.field(factory=dict)

    @classmethod
    def open(cls, place: Place) -> "KubeWorld":
        """Look at what earlier drills have left, and remove it when its time is over.

        Raises:
            WorldError: something is left whose time is not over, or nobody may look.
        """
        left = list(left_behind(place.api))
        alive = [what for what, is_over in left if not is_over]
        if alive:
            raise WorldError(
                f"an earlier drill left something behind: run `trioroute drill undo` ({alive[0]})"
            )
        if left:
            remove_left(place.api)
        return cls(place)

    @property
    def name(self) -> str:
        """In words, for reports."""
        return f"namespace {self._place.api.namespace} of {self._place.host}"

    @property
    def admin_urls(self) -> Mapping[str, str]:
        """Front-end name to admin address."""
        return self._place.admin_urls

    @property
    def look_s(self) -> float:
        """A look goes through the API server, which others need too."""
        return LOOK_S

    @property
    def is_sure(self) -> bool:
        """Kubelets kill, and the network parts, in their own time."""
        return False

    def objection(self, deed: Deed, target: Target) -> str:
        """Why the deed cannot be done here, and what to do instead; empty when it can. Blocking.

        Raises:
            WorldError: the cluster does not say.
        """
        if deed in _NO_MEANS:
            return _NO_MEANS[deed]
        api = self._place.api
        namespace = self._namespace(target)
        for where, rights in ((api.namespace, ALWAYS), (namespace, rights_for(deed))):
            if lacking := missing(api, where, rights):
                shown = ", ".join(right.words for right in lacking)
                return f"you have no right in {where} to {shown}: ask who administers the cluster"
        pod = self._find(target)
        if pod is None:
            return f"there is no pod of {target.name} in namespace {namespace}"
        if not any(one.get("controller") for one in pod["metadata"].get("ownerReferences") or ()):
            return f"nobody would make pod {pod['metadata']['name']} again: it has no owner"
        return self._objection_to_cutting(pod) if deed is Deed.CUT else ""

    def held_ports(self, front_end: str, scoring_port: int) -> frozenset[int] | None:
        """Client ports of the connections that a front-end holds now."""
        del scoring_port
        return self._place.held(front_end)

    def identity(self, target: Target) -> str:
        """What tells this life of the target from the next one; empty while there is none."""
        asked_at, known = self._asked.get(target.name, (-_ASK_S, ""))
        if time.monotonic() < asked_at + _ASK_S:
            return known
        try:
            pod = self._find(target)
        except WorldError:
            return known  # the API server did not answer: nothing is known to have changed
        statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or [{}]
        restarts = int(statuses[0].get("restartCount", 0))
        found = "" if pod is None else f"{pod['metadata']['uid']}.{restarts}"
        self._asked[target.name] = (time.monotonic(), found)
        return found

    async def strike(self, deed: Deed, target: Target, *, lasts_s: float) -> None:
        """Do it; returns when it is done, as far as the API server can say.

        Raises:
            WorldError: it was not done.
        """
        pod = await trio.to_thread.run_sync(self._find, target)
        if pod is None:
            raise WorldError(f"there is no pod of {target.name}")
        if deed is Deed.CUT:
            await self._part(pod, lasts_s)
            return
        grace_s = 0 if deed is Deed.KILL else None
        metadata = pod["metadata"]
        path = path_of(self._namespace(target), "pods", metadata["name"])
        uid = metadata["uid"]
        remove = partial(delete, self._place.api, path, uid=uid, grace_s=grace_s)
        if not await trio.to_thread.run_sync(remove):
            raise WorldError(f"pod {metadata['name']} had gone already")

    async def mend(self) -> None:
        """Undo whatever lasting deed is still there.

        Raises:
            WorldError: something is left.
        """
        post, self._post = self._post, None
        if post is not None:
            await post.close()

    async def _part(self, pod: Json, lasts_s: float) -> None:
        api, place = self._place.api, self._place
        policies = await trio.to_thread.run_sync(self._policies)
        over_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=lasts_s + _SPARE_S)
        order = Order(
            pod=pod["metadata"]["name"],
            uid=pod["metadata"]["uid"],
            policy=cut_policy(pod, policies, until=shown_time(over_at)),
            kubeconfig=place.kubeconfig,
            context=place.context,
            namespace=api.namespace,
        )
        command = [*place.guard, str(lasts_s)]
        heal = Parting(api, order).heal
        self._post = await Post.open(command, msgspec.json.encode(order), heal=heal)

    def _objection_to_cutting(self, pod: Json) -> str:
        policies, port = self._policies(), peers_port(pod)
        if port is None:
            return f"pod {pod['metadata']['name']} has no port named peers"
        cut = {**(pod["metadata"].get("labels") or {}), CUT_LABEL: pod["metadata"]["name"]}
        how = f"make an exception for the label {CUT_LABEL}, as k8s/base/network-policy.yaml does"
        for policy in selecting(policies, cut):
            # Policies only add: whatever this one allows, no other takes back.
            return f"NetworkPolicy {policy['metadata']['name']} would go on being for it: {how}"
        for name in self.admin_urls:
            other = None if name == pod["metadata"]["name"] else self._find(Target(name))
            if other is not None and allows(policies, other, port, cut):
                return f"{name} would go on taking peers from it, whatever a policy says: {how}"
        return ""

    def _policies(self) -> list[Json]:
        path = path_of(self._place.api.namespace, "networkpolicies", group=NETWORKING)
        return listed(self._place.api, path)

    def _find(self, target: Target) -> Json | None:
        """The pod; a replica's only while it is that very one."""
        name, uid = target.name, ""
        if target.is_replica:
            name, uid, _ = target.name.rsplit(".", 2)
        pod = find(self._place.api, path_of(self._namespace(target), "pods", name))
        return None if uid and pod and pod["metadata"]["uid"] != uid else pod

    def _namespace(self, target: Target) -> str:
        """Replicas may be elsewhere: front-ends are told where, by a variable."""
        own = self._place.api.namespace
        if not target.is_replica:
            return own
        pods = [find(self._place.api, path_of(own, "pods", name)) for name in self.admin_urls]
        said = [
            str(variable["value"])
            for pod in pods
            for container in (pod["spec"]["containers"] if pod else ())
            for variable in container.get("env") or ()
            if variable["name"] == _MODELS and variable.get("value")
        ]
        return said[0] if said else own
