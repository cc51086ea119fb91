"""What a drill asks of a cluster's API, with the operator's rights. Blocking: on threads only."""

from typing import Any, Final, Protocol

from trioroute.discovery.kube.calls import MERGE, KubeError
from trioroute.drills.world import WorldError

__all__ = ["CONFLICT", "NOT_FOUND", "Api", "Json", "delete", "find", "listed", "merge", "path_of"]

Json = dict[str, Any]

NOT_FOUND: Final = 404
CONFLICT: Final = 409
#: What a patch gets whose uid is another one's.
_INVALID: Final = 422


class Api(Protocol):
    """One cluster's API server, as one user reaches it."""

    @property
    def namespace(self) -> str:
        """Where the front-ends are."""
        ...

    def send(
        self, method: str, path: str, body: Json | None, *, content_type: str = ..., **query: str
    ) -> Json:
        """One exchange. Raises KubeError."""
        ...


def path_of(namespace: str, plural: str, name: str = "", *, group: str = "") -> str:
    """Where an object, or all of a kind, is.

    Args:
        group: with its version, as `apps/v1`; empty for the core one.
    """
    root = f"/apis/{group}" if group else "/api/v1"
    return f"{root}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def find(api: Api, path: str) -> Json | None:
    """An object, None where there is none. Raises WorldError."""
    try:
        return api.send("GET", path, None)
    except KubeError as error:
        if error.status == NOT_FOUND:
            return None
        raise _refusal("look at", path, error) from None


def listed(api: Api, path: str, **query: str) -> list[Json]:
    """All of a kind. Raises WorldError."""
    try:
        items: list[Json] = api.send("GET", path, None, **query).get("items") or []
    except KubeError as error:
        raise _refusal("list", path, error) from None
    return items


def merge(api: Api, path: str, patch: Json) -> bool:
    """A merge patch; whether there was such an object. Raises WorldError.

    Args:
        patch: with a uid in it, only of that very object.
    """
    try:
        api.send("PATCH", path, patch, content_type=MERGE)
    except KubeError as error:
        if error.status in (NOT_FOUND, CONFLICT, _INVALID):
            return False
        raise _refusal("change", path, error) from None
    return True


def delete(api: Api, path: str, *, uid: str = "", grace_s: int | None = None) -> bool:
    """Delete an object; whether there was one. Raises WorldError.

    Args:
        uid: only that very object; empty for whatever has the name.
        grace_s: of a pod; None for its own.
    """
    options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if uid:
        options["preconditions"] = {"uid": uid}
    if grace_s is not None:
        options["gracePeriodSeconds"] = grace_s
    try:
        api.send("DELETE", path, options)
    except KubeError as error:
        if error.status in (NOT_FOUND, CONFLICT):
            return False
        raise _refusal("delete", path, error) from None
    return True


def _refusal(what: str, path: str, error: KubeError) -> WorldError:
    return WorldError(f"cannot {what} {path}: {error}")
