"""Who asks, and whether a Role allows it; and a record of what was asked for."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from chaos.sim.kubernetes.errors import ApiError, bad_request, cause, no_such_resource
from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.store import Store

__all__ = [
    "ANONYMOUS",
    "REVIEWS",
    "Access",
    "User",
    "acting_as",
    "check_path",
    "check_resource",
    "review",
    "service_account",
]

#: Where one asks whether something would be allowed: for oneself, and for others.
REVIEWS: Final = "authorization.k8s.io"
_SELF_REVIEWS: Final = "selfsubjectaccessreviews"
_REVIEWS_OF_OTHERS: Final = "subjectaccessreviews"
_LOCAL_REVIEWS: Final = "localsubjectaccessreviews"

_RBAC: Final = "rbac.authorization.k8s.io"
_ROLES: Final = Kind(group=_RBAC, version="v1", plural="roles", kind="Role")
_BINDINGS: Final = Kind(group=_RBAC, version="v1", plural="rolebindings", kind="RoleBinding")

#: Open to everybody, and to everybody who says who he is.
_PUBLIC: Final = ("/version", "/healthz", "/livez", "/readyz")
_DISCOVERY: Final = ("/api", "/apis", "/openapi")


@attrs.frozen
class User:
    """Who a token belongs to; an administrator may do anything."""

    name: str
    is_admin: bool = False


ANONYMOUS: Final = User("system:anonymous")


def service_account(namespace: str, name: str) -> User:
    """The user that pods with this account are."""
    return User(f"system:serviceaccount:{namespace}:{name}")


@attrs.frozen
class Access:
    """One thing that was asked for, in the words of a Role's rule."""

    verb: str
    group: str
    resource: str
    namespace: str = attrs.field(eq=False, default="")
    name: str = attrs.field(eq=False, default="")


def check_path(user: User, path: str) -> None:
    """May the user get this path that belongs to no resource?

    Raises:
        ApiError: 403.
    """
    is_known = user != ANONYMOUS and path.startswith(_DISCOVERY)
    if not (user.is_admin or is_known or path.startswith(_PUBLIC)):
        message = f'forbidden: User "{user.name}" cannot get path "{path}"'
        raise ApiError(403, "Forbidden", message, details={})


def check_resource(user: User, access: Access, store: Store) -> None:
    """May the user do this?

    Raises:
        ApiError: 403.
    """
    if user.is_admin or any(_allows(rule, access) for rule, _ in _rules_of(user, access, store)):
        return
    raise _forbidden(user, access)


def _forbidden(user: User, access: Access) -> ApiError:
    group = access.group
    plural = access.resource.partition("/")[0]
    full = f"{plural}.{group}" if group else plural
    subject = f'{full} "{access.name}" is forbidden' if access.name else f"{full} is forbidden"
    where = (
        f' in the namespace "{access.namespace}"' if access.namespace else " at the cluster scope"
    )
    message = (
        f'{subject}: User "{user.name}" cannot {access.verb} resource "{access.resource}" '
        f'in API group "{group}"{where}'
    )
    details: dict[str, object] = {"kind": plural}
    if access.name:
        details["name"] = access.name
    if group:
        details["group"] = group
    return ApiError(403, "Forbidden", message, details=details)


def acting_as(user: User, headers: Mapping[str, str]) -> User:
    """The user that a request is answered as: an administrator may act as others.

    Raises:
        ApiError: 400 for groups without a user.
    """
    wanted = headers.get("impersonate-user", "")
    if not wanted and any(name.startswith("impersonate-") for name in headers):
        raise bad_request("requested groups without impersonating a user name")
    if not wanted or user.is_admin:
        return User(wanted) if wanted else user
    return User(f"{user.name}, who may not impersonate")  # nobody, and so without any right


def review(user: User, path: list[str], body: Mapping[str, Any], store: Store) -> dict[str, object]:
    """Says who may do what, and stores nothing.

    Args:
        path: below the group and its version.

    Raises:
        ApiError: it is no such question, or others' rights are none of the user's business.
    """
    if path[-1:] in ([_REVIEWS_OF_OTHERS], [_LOCAL_REVIEWS]):
        check_resource(user, Access("create", REVIEWS, path[-1]), store)
        user = User(body["spec"]["user"])
    elif path != [_SELF_REVIEWS]:
        raise no_such_resource()
    spec = body.get("spec") or {}
    if ("resourceAttributes" in spec) == ("nonResourceAttributes" in spec):
        message = "Invalid value: null: exactly one of both attributes must be specified"
        wrong = [cause("spec.resourceAttributes", "FieldValueInvalid", message)]
        raise ApiError(422, "Invalid", message, details={"group": REVIEWS, "causes": wrong})
    status = _judged(user, spec.get("resourceAttributes"), store)
    return {**body, "metadata": body.get("metadata", {}), "status": status}


def _judged(user: User, asked: Mapping[str, Any] | None, store: Store) -> dict[str, object]:
    if user.is_admin:
        return {"allowed": True}
    if asked is None:
        return {"allowed": False}
    resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
    access = Access(
        asked["verb"],
        asked.get("group", ""),
        resource,
        asked.get("namespace", ""),
        asked.get("name", ""),
    )
    for rule, binding in _rules_of(user, access, store):
        if _allows(rule, access):
            namespace = access.namespace
            account = "/".join(reversed(user.name.split(":")[2:]))
            by = f'RoleBinding "{binding["metadata"]["name"]}/{namespace}"'
            of = f'Role "{binding["roleRef"]["name"]}" to ServiceAccount "{account}"'
            return {"allowed": True, "reason": f"RBAC: allowed by {by} of {of}"}
    return {"allowed": False}


def _rules_of(
    user: User, access: Access, store: Store
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The rules that count for a user there, each with the binding that it comes by."""
    if not access.namespace:
        return []
    roles = {role["metadata"]["name"]: role for role in store.list(_ROLES, access.namespace)}
    return [
        (rule, binding)
        for binding in store.list(_BINDINGS, access.namespace)
        if any(_is_subject(user, one) for one in binding.get("subjects", []))
        for rule in roles.get(binding["roleRef"]["name"], {}).get("rules", [])
    ]


def _is_subject(user: User, subject: Mapping[str, Any]) -> bool:
    if subject["kind"] == "ServiceAccount":
        return user == service_account(subject["namespace"], subject["name"])
    return bool(subject["kind"] == "User" and subject["name"] == user.name)


def _allows(rule: Mapping[str, Any], access: Access) -> bool:
    def covers(field: str, word: str) -> bool:
        return any(one in (word, "*") for one in rule.get(field, ()))

    names = rule.get("resourceNames")
    return (
        covers("verbs", access.verb)
        and covers("apiGroups", access.group)
        and covers("resources", access.resource)
        and (not names or access.name in names)
    )
