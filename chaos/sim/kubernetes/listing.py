"""Lists: which version, which objects, one page at a time; and how their parameters are refused."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from chaos.sim.kubernetes.errors import ApiError, bad_request, cause, gone, invalid_options
from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.selectors import Selector, field_selector, label_selector
from chaos.sim.kubernetes.store import Store

__all__ = ["FUTURE_WAIT_S", "ListOptions", "check_future", "list_objects", "shown"]

Json = dict[str, Any]
Query = Mapping[str, str]

_MATCHES: Final = ("Exact", "NotOlderThan", "")
#: What the server waits for a version of the future before it gives up, seconds.
FUTURE_WAIT_S: Final = 3.0


@attrs.frozen(kw_only=True)
class ListOptions:
    """The parameters of a list or a watch, checked."""

    selects: Selector
    selects_everything: bool
    version: str
    match: str
    limit: int
    continue_token: str
    initial_events: bool | None

    @classmethod
    def parse(cls, query: Query, kind: Kind, *, is_watch: bool) -> "ListOptions":
        """Raises ApiError: 400 or 422."""
        by_label = label_selector(query.get("labelSelector", ""))
        by_field = field_selector(query.get("fieldSelector", ""), kind)
        flag = query.get("sendInitialEvents")
        options = cls(
            selects=lambda obj: by_label(obj) and by_field(obj),
            selects_everything=not (query.get("labelSelector") or query.get("fieldSelector")),
            version=query.get("resourceVersion", ""),
            match=query.get("resourceVersionMatch", ""),
            limit=max(_number(query.get("limit", "")), 0),
            continue_token=query.get("continue", ""),
            initial_events=None if flag is None else flag == "true",
        )
        causes = options.watch_causes() if is_watch else options.list_causes()
        if causes:
            raise invalid_options("ListOptions", causes)
        return options

    def watch_causes(self) -> list[Json]:
        """What is wrong with the parameters of a watch."""
        causes = []
        if self.initial_events is None and self.match:
            message = "Forbidden: resourceVersionMatch is forbidden for watch"
            causes.append(cause("resourceVersionMatch", "FieldValueForbidden", message))
        if self.initial_events is not None and self.match != "NotOlderThan":
            message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch"
            causes.append(cause("resourceVersionMatch", "FieldValueForbidden", message))
            if self.match:
                message = 'Unsupported value: "Exact": supported values: "NotOlderThan"'
                causes.append(cause("resourceVersionMatch", "FieldValueNotSupported", message))
        return causes

    def list_causes(self) -> list[Json]:
        """What is wrong with the parameters of a list."""
        causes = []
        field = "resourceVersionMatch"
        if self.match and not self.version:
            message = (
                "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
            causes.append(cause(field, "FieldValueForbidden", message))
        if self.match not in _MATCHES:
            message = (
                f'Unsupported value: "{self.match}": supported values: "Exact", "NotOlderThan"'
            )
            causes.append(cause(field, "FieldValueNotSupported", message))
        if self.match == "Exact" and self.version == "0":
            message = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            causes.append(cause(field, "FieldValueForbidden", message))
        if self.initial_events is not None:
            message = "Forbidden: sendInitialEvents is forbidden for list"
            causes.append(cause("sendInitialEvents", "FieldValueForbidden", message))
        return causes


def list_objects(kind: Kind, namespace: str | None, options: ListOptions, store: Store) -> Json:
    """The body of a list.

    Raises:
        ApiError: 410 for a version that is gone, 504 for one of the future, 400.
    """
    if options.continue_token:
        if options.version not in ("", "0"):
            message = "specifying resource version is not allowed when using continue"
            raise bad_request(message)
        at, after = _open_token(options.continue_token)
        if 0 < at < store.compacted:
            fresh = _make_token(-1, after)
            message = (
                "The provided continue parameter is too old to display a consistent list result."
            )
            raise gone(message, continue_token=fresh)
    else:
        at, after = _exact_version(options, store), ""
    version = at if at > 0 else store.version
    objects = store.list(kind, namespace, at=at if at > 0 else None)
    chosen = [obj for obj in objects if _place(obj) > after and options.selects(obj)]
    limit = 0 if options.version == "0" else options.limit
    page = chosen[:limit] if limit else chosen
    metadata: Json = {"resourceVersion": str(version)}
    if kind.is_custom:
        metadata["continue"] = ""
    if len(page) < len(chosen):
        metadata["continue"] = _make_token(version, _place(page[-1]))
        if options.selects_everything:
            metadata["remainingItemCount"] = len(chosen) - len(page)
    return {
        "kind": f"{kind.kind}List",
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": [shown(kind, obj, in_list=True) for obj in page],
    }


def shown(kind: Kind, obj: Json, *, in_list: bool = False) -> Json:
    """An object as an answer holds it: in lists of built-in kinds its kind is left out."""
    if in_list and not kind.is_custom:
        return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
    return obj


def check_future(version: str, store: Store) -> None:
    """Raises ApiError 504: nothing can be said about a version that does not exist yet."""
    if int(version) > store.version:
        message = f"Timeout: Too large resource version: {version}, current: {store.version}"
        causes = [
            {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"},
        ]
        details = {"causes": causes, "retryAfterSeconds": 1}
        raise ApiError(504, "Timeout", message, details=details)


def _exact_version(options: ListOptions, store: Store) -> int:
    """The version that is asked for exactly, 0 when the newest will do."""
    if not options.version:
        return 0
    if not options.version.isascii() or not options.version.isdigit():
        raise bad_request(
            f'invalid resource version: resourceVersion: Invalid value: "{options.version}"'
        )
    check_future(options.version, store)
    version = int(options.version)
    is_exact = options.match == "Exact" or (options.limit and not options.match and version)
    if not is_exact:
        return 0
    if version < store.compacted:
        raise gone("The resourceVersion for the provided list is too old.")
    return version


def _number(text: str) -> int:
    try:
        return int(text or 0)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _place(obj: Json) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


def _make_token(version: int, after: str) -> str:
    data = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": after})
    return base64.urlsafe_b64encode(data.encode()).decode().rstrip("=")


def _open_token(token: str) -> tuple[int, str]:
    try:
        data = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(data["rv"]), str(data["start"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise bad_request("invalid continue token: continue key is not valid") from None
