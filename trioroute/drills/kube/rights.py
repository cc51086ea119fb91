"""Which rights a drill takes, and whether the operator has them: asked beforehand."""

from typing import Final

import attrs

from trioroute.discovery.kube.calls import KubeError
from trioroute.drills.catalogue import Deed
from trioroute.drills.kube.calls import Api
from trioroute.drills.kube.lock import LEASES
from trioroute.drills.kube.parting import NETWORKING
from trioroute.drills.world import WorldError

__all__ = ["ALWAYS", "Right", "missing", "rights_for"]

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@attrs.frozen
class Right:
    """One of a Role's."""

    verb: str
    resource: str
    group: str = ""

    @property
    def words(self) -> str:
        """As `kubectl auth can-i` takes it."""
        plural, slash, subresource = self.resource.partition("/")
        full = f"{plural}.{self.group}" if self.group else plural
        return f"{self.verb} {full}{slash}{subresource}"


_GROUP: Final = NETWORKING.partition("/")[0]
_LEASE_GROUP: Final = LEASES.partition("/")[0]
_PODS: Final = (Right("get", "pods"), Right("list", "pods"))
#: Where the front-ends are, for any drill: it looks at pods and keeps others from drilling.
ALWAYS: Final = (
    *_PODS,
    *(Right(verb, "pods/portforward") for verb in ("get", "create")),
    *(Right(verb, "leases", _LEASE_GROUP) for verb in ("get", "create", "delete")),
    Right("list", "networkpolicies", _GROUP),
)
_FOR: Final = {
    Deed.KILL: (Right("delete", "pods"),),
    Deed.END: (Right("delete", "pods"),),
    Deed.CUT: (
        Right("patch", "pods"),
        *(Right(verb, "networkpolicies", _GROUP) for verb in ("create", "delete")),
    ),
}


def rights_for(deed: Deed) -> tuple[Right, ...]:
    """What a deed takes where its target is."""
    return (*_PODS, *_FOR.get(deed, ()))


def missing(api: Api, namespace: str, rights: tuple[Right, ...]) -> list[Right]:
    """Those that the asker does not have there.

    Raises:
        WorldError: the cluster does not say.
    """
    return [right for right in rights if not _may(api, namespace, right)]


def _may(api: Api, namespace: str, right: Right) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource, "name": ""}
    attributes |= {"namespace": namespace, "subresource": subresource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        return bool(api.send("POST", _REVIEWS, body)["status"]["allowed"])
    except KubeError as error:
        raise WorldError(f"cannot find out what you may do in {namespace}: {error}") from None
