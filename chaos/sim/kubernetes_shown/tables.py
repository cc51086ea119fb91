"""Tables as `kubectl get` prints them: which columns a kind has, and what stands in them."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs

from chaos.sim.kubernetes.kinds import Kind

__all__ = ["Table", "values_at"]

Json = dict[str, Any]

_NAME_TEXT: Final = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. "
    "Name is primarily intended for creation idempotence and configuration definition. Cannot be "
    "updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_STEP: Final = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\\])+)|\[\?\(@\.(?P<key>\w+)=="(?P<value>[^"]*)"\)\]"""
    r"""|\['(?P<quoted>[^']+)'\]"""
)
_NONE: Final = "<none>"
_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400


@attrs.frozen
class _Column:
    """One column of a built-in kind; `cell` is given the object and its age."""

    name: str
    cell: Callable[[Json, str], Any]
    type: str = "string"
    priority: int = 0


def values_at(obj: Any, path: str) -> list[Any]:
    """What a JSON path of a definition's column names: `.spec.a`, `.status.list[?(@.k=="v")].x`."""
    found = [obj]
    for step in _STEP.finditer(path):
        found = list(_walked(found, step))
    return found


def _walked(values: Sequence[Any], step: re.Match[str]) -> Iterator[Any]:
    name = (step["name"] or step["quoted"] or "").replace("\\.", ".")
    for value in values:
        if name and isinstance(value, dict) and name in value:
            yield value[name]
        elif step["key"] and isinstance(value, list):
            yield from (one for one in value if one.get(step["key"]) == step["value"])


@attrs.define
class Table:
    """One answer's, or one watch's.

    Attributes:
        now: seconds since 1970, for ages.
        include: what of each object stands beside its row: Metadata, Object or None.
        has_columns: whether what the columns are is said.
    """

    kind: Kind
    now: float
    include: str = "Metadata"
    has_columns: bool = True

    def of(self, objects: Json | Sequence[Json], metadata: Mapping[str, Any]) -> Json:
        """The table of one object, or of a list's objects.

        Args:
            metadata: the list's, or the object's.
        """
        kept = ("resourceVersion", "continue", "remainingItemCount")
        rows = [objects] if isinstance(objects, dict) else objects
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {name: metadata[name] for name in kept if metadata.get(name)},
            "columnDefinitions": self._columns() if self.has_columns else None,
            "rows": [{"cells": self._cells(row), "object": self._beside(row)} for row in rows],
        }

    def _columns(self) -> list[Json]:
        return [
            _definition("Name", "string", _NAME_TEXT, form="name"),
            *map(_definition_of, self.kind.columns),
            *(_definition(one.name, one.type, "", one.priority) for one in self._built_in()),
        ]

    def _cells(self, obj: Json) -> list[Any]:
        age = self._age(obj["metadata"].get("creationTimestamp"))
        own = [self._custom_cell(obj, column) for column in self.kind.columns]
        built_in = [column.cell(obj, age) for column in self._built_in()]
        return [obj["metadata"]["name"], *own, *built_in]

    def _custom_cell(self, obj: Json, column: Json) -> Any:
        found = values_at(obj, column["jsonPath"])
        if not found:
            return None
        (value, *_) = found
        if column["type"] == "date":
            return self._age(value)
        if column["type"] != "string":
            return value
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))

    def _built_in(self) -> Sequence[_Column]:
        if self.kind.is_custom:
            return () if self.kind.columns else (_AGE,)
        return _COLUMNS.get(self.kind.kind, (_CREATED,))

    def _age(self, at: str | None) -> str:
        if at is None:
            return "<unknown>"
        return _duration(self.now - datetime.fromisoformat(at).timestamp())

    def _beside(self, obj: Json) -> Json | None:
        if self.include == "None":
            return None
        if self.include == "Object":
            return {"kind": self.kind.kind, "apiVersion": self.kind.api_version, **obj}
        partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        return {**partial, "metadata": obj["metadata"]}


def _definition_of(column: Json) -> Json:
    """Of a definition's own column."""
    text = f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
    described = column.get("description") or text
    priority, form = column.get("priority", 0), column.get("format", "")
    return _definition(column["name"], column["type"], described, priority, form=form)


def _definition(
    name: str, kind: str, description: str, priority: int = 0, *, form: str = ""
) -> Json:
    said = {"name": name, "type": kind, "format": form, "description": description}
    return {**said, "priority": priority}


def _duration(seconds: float) -> str:
    """As the server writes ages: the larger the coarser."""
    whole = max(int(seconds), 0)
    if whole < 2 * _MINUTE_S:
        return f"{whole}s"
    minutes, hours, days = whole // _MINUTE_S, whole // _HOUR_S, whole // _DAY_S
    if minutes < 10:
        return _pair(minutes, "m", whole % _MINUTE_S, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    return _pair(days, "d", hours % 24, "h") if days < 8 else f"{days}d"


def _pair(large: int, its_unit: str, small: int, unit: str) -> str:
    return f"{large}{its_unit}{small}{unit}" if small else f"{large}{its_unit}"


def _pod_ready(pod: Json, _: str) -> str:
    said = pod.get("status", {}).get("containerStatuses") or []
    return f"{sum(bool(one.get('ready')) for one in said)}/{len(pod['spec']['containers'])}"


def _pod_status(pod: Json, _: str) -> str:
    status = pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    for one in status.get("containerStatuses") or []:
        for state in ("waiting", "terminated"):
            reason = one.get("state", {}).get(state, {}).get("reason")
            if reason:
                return str(reason)
    return str(status.get("reason") or status.get("phase") or "Unknown")


def _restarts(pod: Json, _: str) -> str:
    said = pod.get("status", {}).get("containerStatuses") or []
    return str(sum(one.get("restartCount", 0) for one in said))


def _ready_of(name: str) -> Callable[[Json, str], str]:
    def cell(obj: Json, _: str) -> str:
        return f"{obj.get('status', {}).get(name, 0)}/{obj['spec'].get('replicas', 0)}"

    return cell


def _status(name: str) -> Callable[[Json, str], Any]:
    return lambda obj, _: obj.get("status", {}).get(name, 0)


def _containers(field: str) -> Callable[[Json, str], str]:
    def cell(obj: Json, _: str) -> str:
        return ",".join(one[field] for one in obj["spec"]["template"]["spec"]["containers"])

    return cell


def _selector(obj: Json, _: str) -> str:
    wanted = obj["spec"].get("selector") or {}
    labels = wanted.get("matchLabels", wanted)
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or _NONE


def _ports(service: Json, _: str) -> str:
    ports = service["spec"].get("ports") or []
    return ",".join(f"{one['port']}/{one.get('protocol', 'TCP')}" for one in ports) or _NONE


def _external(service: Json, _: str) -> str:
    is_balanced = service["spec"].get("type") == "LoadBalancer"
    return "<pending>" if is_balanced else _NONE


def _spec(name: str) -> Callable[[Json, str], Any]:
    return lambda obj, _: obj["spec"].get(name) or _NONE


def _top(name: str) -> Callable[[Json, str], Any]:
    return lambda obj, _: obj.get(name) or ""


def _entries(obj: Json, _: str) -> int:
    return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})


def _whom(event: Json, _: str) -> str:
    whom = event.get("involvedObject") or {}
    return f"{str(whom.get('kind', '')).lower()}/{whom.get('name', '')}"


def _budget(name: str) -> Callable[[Json, str], Any]:
    return lambda obj, _: str(obj["spec"].get(name, "N/A"))


_AGE: Final = _Column("Age", lambda _, age: age)
_CREATED: Final = _Column(
    "Created At", lambda obj, _: obj["metadata"].get("creationTimestamp"), "date"
)
_CONTAINERS: Final = (
    _Column("Containers", _containers("name"), priority=1),
    _Column("Images", _containers("image"), priority=1),
)

#: Columns after the name, in the order of the real server's.
_COLUMNS: Final[Mapping[str, tuple[_Column, ...]]] = {
    "Pod": (
        _Column("Ready", _pod_ready),
        _Column("Status", _pod_status),
        _Column("Restarts", _restarts),
        _AGE,
        _Column("IP", lambda pod, _: pod.get("status", {}).get("podIP") or _NONE, priority=1),
        _Column("Node", _spec("nodeName"), priority=1),
        _Column("Nominated Node", lambda *_: _NONE, priority=1),
        _Column("Readiness Gates", lambda *_: _NONE, priority=1),
    ),
    "Deployment": (
        _Column("Ready", _ready_of("readyReplicas")),
        _Column("Up-to-date", _status("updatedReplicas")),
        _Column("Available", _status("availableReplicas")),
        _AGE,
        *_CONTAINERS,
        _Column("Selector", _selector, priority=1),
    ),
    "StatefulSet": (_Column("Ready", _ready_of("readyReplicas")), _AGE, *_CONTAINERS),
    "Service": (
        _Column("Type", _spec("type")),
        _Column("Cluster-IP", _spec("clusterIP")),
        _Column("External-IP", _external),
        _Column("Port(s)", _ports),
        _AGE,
        _Column("Selector", _selector, priority=1),
    ),
    "Namespace": (_Column("Status", lambda obj, _: obj["status"]["phase"]), _AGE),
    "ConfigMap": (_Column("Data", _entries, "integer"), _AGE),
    "Secret": (_Column("Type", _top("type")), _Column("Data", _entries, "integer"), _AGE),
    "ServiceAccount": (_AGE,),
    "PersistentVolumeClaim": (_Column("Status", lambda *_: "Bound"), _AGE),
    "NetworkPolicy": (_Column("Pod-Selector", _selector), _AGE),
    "RoleBinding": (
        _Column("Role", lambda obj, _: f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"),
        _AGE,
    ),
    "PodDisruptionBudget": (
        _Column("Min Available", _budget("minAvailable")),
        _Column("Max Unavailable", _budget("maxUnavailable")),
        _AGE,
    ),
    "Event": (
        _Column("Last Seen", lambda _, age: age),
        _Column("Type", _top("type")),
        _Column("Reason", _top("reason")),
        _Column("Object", _whom),
        _Column("Message", _top("message")),
    ),
}
