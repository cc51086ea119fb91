"""Changes to a file's content: `update --file`, `--set`, `--add` and `--remove`.

A new file replaces only the fields it names (decision 13). Taken literally, the merging of Azure's
SDK would clear the traffic and reset auth_mode whenever a file does not repeat them
(`azure-reference.md` section 9).
"""

import copy
import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from trioroute.errors import ConfigError

__all__ = ["add_value", "merge", "remove_value", "set_value"]

#: Replaced as a whole when named: their entries mean something only together.
_WHOLE: Final = frozenset(
    {"traffic", "mirror_traffic", "model", "environment", "code_configuration", "identity"}
)
_STEP: Final = re.compile(r'"([^"]*)"|\[(\d+)\]|([^.\["\]]+)')
_OWN_KEY: Final = "properties.trioroute."


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What an endpoint or deployment is after an update by a file.

    Settings are merged field by field; tags, properties and variables key by key, as in Azure.

    Raises:
        ConfigError: the names do not match.
    """
    if "name" in new and "name" in old and str(new["name"]).lower() != str(old["name"]).lower():
        raise ConfigError(f"the names do not match: {old['name']} is updated by {new['name']}")
    merged = dict(old)
    for field, value in new.items():
        merged[field] = _merge_field(field, merged.get(field), value)
    return merged


def _merge_field(field: str, old: Any, new: Any) -> Any:
    if field in _WHOLE or not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return copy.deepcopy(new)
    if field == "scale_settings" and old.get("type") != new.get("type", old.get("type")):
        # Bounds of one type are errors in the other.
        return copy.deepcopy(new)
    merged = dict(old)
    for name, value in new.items():
        # Of nested mappings only `resources` has more than one level to merge.
        merged[name] = _merge_field(name, merged.get(name), value)
    return merged


def set_value(content: Mapping[str, Any], assignment: str) -> dict[str, Any]:
    """`--set a.b=value`: the value is read as YAML, so `3` is a number and `"3"` is text.

    Raises:
        ConfigError: the path leads through something that is not a mapping or list.
    """
    path, value = _split(assignment, "--set")
    changed, last, parent = _descend(content, path, "--set")
    if isinstance(parent, list):
        parent[_index(last, parent, path)] = value
    else:
        parent[last] = value
    return changed


def add_value(content: Mapping[str, Any], assignment: str) -> dict[str, Any]:
    """`--add a.b=value`: append to a list, which is made if there is none.

    Raises:
        ConfigError: there is something else than a list at the path.
    """
    path, value = _split(assignment, "--add")
    changed, last, parent = _descend(content, path, "--add")
    target = parent.setdefault(last, []) if isinstance(parent, dict) else None
    if not isinstance(target, list):
        raise ConfigError(f"--add {path}: there is no list to add to; use --set")
    target.append(value)
    return changed


def remove_value(content: Mapping[str, Any], path: str) -> dict[str, Any]:
    """`--remove a.b` or `--remove list[0]`.

    Raises:
        ConfigError: there is nothing at the path.
    """
    changed, last, parent = _descend(content, path, "--remove")
    if isinstance(parent, list):
        del parent[_index(last, parent, path)]
    elif last in parent:
        del parent[last]
    else:
        raise ConfigError(f"--remove {path}: there is no {last}")
    return changed


def _split(assignment: str, option: str) -> tuple[str, Any]:
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        raise ConfigError(f"{option} expects path=value, found {assignment!r}")
    try:
        return path, yaml.safe_load(text) if text else ""
    except (yaml.YAMLError, ValueError):
        # What is no YAML is text, for example a colon in the middle of a sentence.
        return path, text


def _steps(path: str) -> list[str | int]:
    """`a.b[0]."c.d"` to its keys; our own properties have dots that need no quotes."""
    if path.startswith(_OWN_KEY):
        return ["properties", path.removeprefix("properties.")]
    steps: list[str | int] = []
    for quoted, index, plain in _STEP.findall(path):
        steps.append(int(index) if index else quoted or plain)
    if not steps:
        raise ConfigError(f"{path!r} is not a path such as request_settings.request_timeout_ms")
    return steps


def _descend(
    content: Mapping[str, Any], path: str, option: str
) -> tuple[dict[str, Any], Any, dict[Any, Any] | list[Any]]:
    """A copy of the content, the last step of the path, and what that step is taken in."""
    changed = copy.deepcopy(dict(content))
    *before, last = _steps(path)
    parent: Any = changed
    for step in before:
        if isinstance(parent, list):
            parent = parent[_index(step, parent, path)]
        elif isinstance(parent, dict):
            parent = parent.setdefault(step, {})
    if isinstance(parent, str):
        # Azure's words.
        message = f"Cannot use '{option}' on properties defined by reference strings: "
        raise ConfigError(f"{message}{option} {path}")
    if not isinstance(parent, dict | list):
        raise ConfigError(f"{option} {path}: there is nothing below {before[-1]}")
    return changed, last, parent


def _index(step: str | int, parent: list[Any], path: str) -> int:
    if not isinstance(step, int) or step >= len(parent):
        raise ConfigError(f"{path}: the list has {len(parent)} items, counted from [0]")
    return step
