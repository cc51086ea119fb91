"""Who manages which field, and server-side apply: merging what one manager says into an object.

Fields are paths of FieldsV1 words: `("f:spec", "f:replicas")`, and for a list whose items have a
key `('k:{"name":"model"}',)`. Lists without a key and a few structures count as one field.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from chaos.sim.kubernetes.errors import ApiError
from chaos.sim.kubernetes.patches import merge_key

__all__ = ["Manager", "apply_fields", "record_update"]

Json = dict[str, Any]
Path = tuple[str, ...]
Owners = dict["Manager", frozenset[Path]]

#: Structures that only one manager can have, though they have parts.
_ATOMIC: Final = frozenset({"f:selector", "f:nodeSelector", "f:clientConfig", "f:podSelector"})
#: Parts of the metadata that nobody manages.
_UNMANAGED: Final = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    }
)


@attrs.frozen
class Manager:
    """One line of `managedFields`."""

    name: str
    operation: str
    subresource: str = ""


def apply_fields(live: Json | None, applied: Json, manager: Manager, *, force: bool) -> Json:
    """The object after the manager has said what it wants.

    Args:
        live: None when there is no object yet.
        applied: everything that this manager wants; what it leaves out now and alone had before
            goes away.
        force: whether to take fields from other managers.

    Raises:
        ApiError: 409 when another manager has one of the fields with another value.
    """
    owners = _owners(live)
    wanted = _leaves(applied)
    before = owners.pop(manager, frozenset())
    if live is not None and not force:
        _refuse_conflicts(owners, wanted, live, applied)
    result = _merge(live or {}, applied)
    if live is not None:
        others = frozenset[Path]().union(*owners.values()) if owners else frozenset[Path]()
        kept = {path[:length] for path in wanted | others for length in range(1, len(path) + 1)}
        # An item of a list goes whole: first its key, and it could not be found any more.
        for path in sorted(before - kept, key=len):
            _remove(result, path)
        changed = {path for path in wanted if not _has_value(live, path, _value(applied, path))}
        owners = {one: paths - changed for one, paths in owners.items()}
    owners[manager] = wanted
    return _with_owners(result, owners)


def record_update(before: Json | None, after: Json, manager: Manager) -> Json:
    """The object with the fields that a plain write changed given to its writer."""
    owners = _owners(before)
    leaves = _leaves(after)
    changed = frozenset(
        path
        for path in leaves
        if before is None or not _has_value(before, path, _value(after, path))
    )
    if not changed and before is not None:
        return _with_owners(after, {one: paths & leaves for one, paths in owners.items()})
    owners = {one: (paths - changed) & leaves for one, paths in owners.items()}
    owners[manager] = owners.get(manager, frozenset()) | changed
    return _with_owners(after, owners)


def _refuse_conflicts(owners: Owners, wanted: frozenset[Path], live: Json, applied: Json) -> None:
    causes = []
    for other, paths in owners.items():
        for path in sorted(paths & wanted):
            if not _has_value(live, path, _value(applied, path)):
                through = f' with subresource "{other.subresource}"' if other.subresource else ""
                version = f" using {live['apiVersion']}" if other.operation == "Update" else ""
                message = f'conflict with "{other.name}"{through}{version}'
                field = "".join(f".{part[2:]}" for part in path)
                causes.append(
                    {"reason": "FieldManagerConflict", "message": message, "field": field}
                )
    if causes:
        count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
        texts = "; ".join(f"{one['message']}: {one['field']}" for one in causes)
        message = f"Apply failed with {count}: {texts}"
        raise ApiError(409, "Conflict", message, details={"causes": causes})


def _leaves(obj: Json) -> frozenset[Path]:
    tops = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    metadata = {
        key: value for key, value in tops.get("metadata", {}).items() if key not in _UNMANAGED
    }
    tops.pop("metadata", None)
    if metadata:
        tops["metadata"] = metadata
    return frozenset(_walk(tops, ()))


def _walk(value: Any, path: Path) -> Iterator[Path]:
    if not value and not path:
        return  # an object that says nothing but its name
    is_atomic = bool(path) and path[-1] in _ATOMIC
    if isinstance(value, dict) and value and not is_atomic:
        for key, child in value.items():
            yield from _walk(child, (*path, f"f:{key}"))
        return
    key = merge_key(path[-1][2:], value) if path and isinstance(value, list) else None
    if value and key and all(key in item for item in value):
        for item in value:
            inside = (*path, _item(item, key))
            yield inside
            yield from _walk(item, inside)
        return
    yield path


def _item(item: Mapping[str, Any], key: str) -> str:
    keys = {key: item[key]}
    if key in ("containerPort", "port"):
        keys["protocol"] = item.get("protocol", "TCP")
    return "k:" + json.dumps(keys, separators=(",", ":"))


_ABSENT: Final = object()


def _step(value: Any, part: str) -> Any:
    if part.startswith("f:"):
        return value.get(part[2:], _ABSENT) if isinstance(value, dict) else _ABSENT
    keys = json.loads(part[2:])
    items = value if isinstance(value, list) else []
    for item in items:
        if all(item.get(key, "TCP") == wanted for key, wanted in keys.items()):
            return item
    return _ABSENT


def _value(obj: Json, path: Path) -> Any:
    value: Any = obj
    for part in path:
        value = _step(value, part)
        if value is _ABSENT:
            return _ABSENT
    return value


def _has_value(obj: Json, path: Path, value: Any) -> bool:
    if path[-1].startswith("k:"):
        return _value(obj, path) is not _ABSENT
    return bool(_value(obj, path) == value)


def _merge(live: Any, applied: Any, name: str = "") -> Any:
    if isinstance(applied, dict) and isinstance(live, dict) and f"f:{name}" not in _ATOMIC:
        result = dict(live)
        for key, value in applied.items():
            result[key] = _merge(live.get(key), value, key)
        return result
    key = merge_key(name, applied) if isinstance(applied, list) else None
    if isinstance(live, list) and key:
        result_list = list(live)
        for item in applied:
            at = next((i for i, one in enumerate(live) if one.get(key) == item.get(key)), None)
            if at is None:
                result_list.append(copy.deepcopy(item))
            else:
                result_list[at] = _merge(live[at], item)
        return result_list
    return copy.deepcopy(applied)


def _remove(obj: Json, path: Path) -> None:
    """Cut one field out of a result, whose containers on the way are copied: states are shared."""
    parent: Any = obj
    for part in path[:-1]:
        child = _step(parent, part)
        if child is _ABSENT:
            return
        fresh = copy.copy(child)
        if isinstance(parent, dict):
            parent[part[2:]] = fresh
        else:
            parent[parent.index(child)] = fresh
        parent = fresh
    if path[-1].startswith("f:"):
        parent.pop(path[-1][2:], None)
    else:
        item = _step(parent, path[-1])
        if item is not _ABSENT:
            parent.remove(item)


def _owners(obj: Json | None) -> Owners:
    entries = (obj or {}).get("metadata", {}).get("managedFields", [])
    return {
        Manager(one["manager"], one["operation"], one.get("subresource", "")): frozenset(
            _from_fields(one["fieldsV1"], ())
        )
        for one in entries
    }


def _with_owners(obj: Json, owners: Owners) -> Json:
    entries = []
    for manager, paths in owners.items():
        if not paths:
            continue
        entry: Json = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": obj["apiVersion"],
            "fieldsType": "FieldsV1",
            "fieldsV1": _to_fields(paths),
        }
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if entries:
        metadata["managedFields"] = entries
    return {**obj, "metadata": metadata}


def _to_fields(paths: frozenset[Path]) -> Json:
    tree: Json = {}
    for path in sorted(paths):
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        if path[-1].startswith("k:"):
            node["."] = {}
    return tree


def _from_fields(tree: Mapping[str, Any], path: Path) -> Iterator[Path]:
    if not tree:
        yield path
    for part, below in tree.items():
        if part == ".":
            yield path
        else:
            yield from _from_fields(below, (*path, part))
