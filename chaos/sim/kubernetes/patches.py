"""Three of the four kinds of patch; the fourth, server-side apply, is in `apply`."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chaos.sim.kubernetes.errors import ApiError, bad_request

__all__ = ["json_patch", "merge_key", "merge_patch", "strategic_patch"]

_MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "ownerReferences": "uid",
}


def merge_key(name: str, items: Sequence[Any]) -> str | None:
    """By which field the items of a list of that name are told apart; None: it is one value.

    A container's ports and a Service's have the same name and keys of their own.
    """
    if name == "ports" and any("port" in item for item in items):
        return "port"
    return _MERGE_KEYS.get(name)


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_patch(target: Any, patch: Any) -> Any:
    """A merge patch that merges lists by key, with `$patch` directives.

    Raises:
        ApiError: 500 for an item without its list's key, as the real server answers.
    """
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        elif isinstance(value, list) and (by := merge_key(key, value)):
            result[key] = _merge_lists(result.get(key) or [], value, by)
        else:
            result[key] = strategic_patch(result.get(key), value)
    _follow_directives(result, patch)
    return result


def _follow_directives(result: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """What a patch says about its own lists and keys, as `kubectl apply` does."""
    for key, value in patch.items():
        directive, _, name = key.partition("/")
        if directive == "$setElementOrder" and name in result:
            result[name] = _ordered(result[name], value, merge_key(name, result[name]))
        elif directive == "$deleteFromPrimitiveList" and name in result:
            result[name] = [one for one in result[name] if one not in value]
        elif directive == "$retainKeys":
            for other in result.keys() - set(value):
                del result[other]


def _ordered(items: Sequence[Any], order: Sequence[Any], key: str | None) -> list[Any]:
    """Those that the order names as it has them, the others after them."""
    names = [one[key] if isinstance(one, dict) else one for one in order]

    def place(item: Any) -> int:
        name = item.get(key) if isinstance(item, dict) else item
        return names.index(name) if name in names else len(names)

    return sorted(items, key=place)


def _merge_lists(target: Sequence[Any], patch: Sequence[Any], key: str) -> list[Any]:
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    result = list(target)
    added = []
    for item in patch:
        if key not in item:
            text = " ".join(f"{name}:{value}" for name, value in item.items())
            raise ApiError(500, "", f"map: map[{text}] does not contain declared merge key: {key}")
        at = next((i for i, one in enumerate(result) if one.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            result = [one for one in result if one.get(key) != item[key]]
        elif at is None:
            added.append(item)
        else:
            result[at] = strategic_patch(result[at], item)
    return [*added, *result]


def json_patch(target: Any, patch: Any) -> Any:
    """RFC 6902, without `copy` and `move`, which nothing here sends.

    Raises:
        ApiError: 422 when a `test` fails or a path does not exist, 400 for what is no patch.
    """
    if not isinstance(patch, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value")
    result = copy.deepcopy(target)
    for step in patch:
        result = _step(result, step)
    return result


def _step(document: Any, step: Mapping[str, Any]) -> Any:
    path = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    parent = document
    try:
        for part in path[:-1]:
            parent = parent[int(part)] if isinstance(parent, list) else parent[part]
        _change(parent, path[-1], step)
    except (KeyError, IndexError, ValueError, TypeError):
        message = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", message, details={}) from None
    return document


def _change(parent: Any, last: str, step: Mapping[str, Any]) -> None:
    is_list = isinstance(parent, list)
    where: Any = last if not is_list else len(parent) if last == "-" else int(last)
    match step["op"]:
        case "add" if is_list:
            parent.insert(where, step["value"])
        case "add":
            parent[where] = step["value"]
        case "remove":
            del parent[where]
        case "replace":
            parent[where]  # must exist
            parent[where] = step["value"]
        case "test":
            if parent[where] != step["value"]:
                raise ValueError(step["path"])
        case operation:
            raise ValueError(operation)
