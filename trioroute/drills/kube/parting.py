"""A front-end's pod that is parted from its peers by a NetworkPolicy: inflicted, healed, found.

Everything that it makes carries a label and the time by which it should have gone, so that whoever
comes later finds it and can tell whether somebody still looks after it.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Final

import attrs
import msgspec

from trioroute.discovery.kube.calls import KubeError
from trioroute.drills.kube.calls import CONFLICT, Api, Json, delete, listed, merge, path_of
from trioroute.drills.kube.policies import CUT_LABEL, DRILL_LABEL, UNTIL
from trioroute.drills.world import WorldError

__all__ = ["NETWORKING", "Order", "Parting", "left_behind", "remove_left", "shown_time"]

#: Group and version of NetworkPolicies.
NETWORKING: Final = "networking.k8s.io/v1"


class Order(msgspec.Struct, frozen=True):
    """What is to be done, as it is handed to the guard.

    Attributes:
        pod, uid: whom to part; another pod of that name is left alone.
        policy: the NetworkPolicy to make.
        kubeconfig, context, namespace: of the cluster, as the drill's settings have them.
    """

    pod: str
    uid: str
    policy: Json
    kubeconfig: str
    context: str
    namespace: str


@attrs.frozen
class Parting:
    """See `guarding.standing.Wound`."""

    api: Api
    order: Order

    def inflict(self) -> None:
        """Make the policy, then the label that it goes by.

        Raises:
            WorldError: one of them could not be made.
        """
        policies = path_of(self.api.namespace, "networkpolicies", group=NETWORKING)
        try:
            self.api.send("POST", policies, self.order.policy)
        except KubeError as error:
            hint = "; run `trioroute drill undo`" if error.status == CONFLICT else ""
            raise WorldError(f"cannot make a NetworkPolicy: {error}{hint}") from None
        labels = {CUT_LABEL: self.order.policy["spec"]["podSelector"]["matchLabels"][CUT_LABEL]}
        if not self._label(labels):
            raise WorldError(f"pod {self.order.pod} has gone meanwhile")

    def keeper(self) -> Callable[[], None] | None:
        """It stays by itself."""
        return None

    def heal(self) -> None:
        """Take both back; what has gone is fine.

        Raises:
            WorldError: something is left.
        """
        self._label({CUT_LABEL: None})
        _delete_policy(self.api, self.order.policy["metadata"]["name"])

    def _label(self, labels: Json) -> bool:
        path = path_of(self.api.namespace, "pods", self.order.pod)
        return merge(self.api, path, {"metadata": {"uid": self.order.uid, "labels": labels}})


def left_behind(api: Api) -> Iterator[tuple[str, bool]]:
    """What drills have made here that is still there: in words, and whether its time is over.

    Raises:
        WorldError: nobody may look.
    """
    now = shown_time(dt.datetime.now(dt.UTC))
    for policy in _policies(api):
        until = (policy["metadata"].get("annotations") or {}).get(UNTIL, "")
        yield f"NetworkPolicy {policy['metadata']['name']} until {until}", until < now
    names = {policy["metadata"]["name"] for policy in _policies(api)}
    for pod in _pods(api):
        if f"trioroute-drill-{pod['metadata']['labels'][CUT_LABEL]}" not in names:
            yield f"label {CUT_LABEL} of pod {pod['metadata']['name']}", True


def remove_left(api: Api) -> list[str]:
    """Mend all of it, whosesoever it is; returns what it was.

    Raises:
        WorldError: something is still left.
    """
    done = []
    for pod in _pods(api):
        name = pod["metadata"]["name"]
        patch = {"metadata": {"labels": {CUT_LABEL: None}}}
        if merge(api, path_of(api.namespace, "pods", name), patch):
            done.append(f"label {CUT_LABEL} of pod {name}")
    for policy in _policies(api):
        name = policy["metadata"]["name"]
        _delete_policy(api, name)
        done.append(f"NetworkPolicy {name}")
    return done


def shown_time(moment: dt.datetime) -> str:
    """As Kubernetes writes times; they sort as they are."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _policies(api: Api) -> list[Json]:
    path = path_of(api.namespace, "networkpolicies", group=NETWORKING)
    return listed(api, path, labelSelector=DRILL_LABEL)


def _pods(api: Api) -> list[Json]:
    return listed(api, path_of(api.namespace, "pods"), labelSelector=CUT_LABEL)


def _delete_policy(api: Api, name: str) -> None:
    delete(api, path_of(api.namespace, "networkpolicies", name, group=NETWORKING))
