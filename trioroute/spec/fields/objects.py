"""Mappings with known fields: attrs classes whose attributes say how each field is read.

One declaration serves the reader, the JSON Schema and the type checker:

    @attrs.frozen(kw_only=True)
    class Route:
        port: int = setting(Whole(1, 65535), "port inside the container", required=True)
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from trioroute.spec.fields.document import Entry, Node
from trioroute.spec.fields.kinds import INVALID, Kind
from trioroute.spec.fields.scope import Scope, describe
from trioroute.spec.problems import nearest

__all__ = ["Object", "Setting", "homes_of", "setting", "settings_of"]

#: Editors write it into every file; it may stand in any mapping (D1).
_SCHEMA_KEY: Final = "$schema"


@attrs.frozen
class Setting:
    """What an attribute's metadata holds: how its field is read.

    Attributes:
        kind: reads the value.
        doc: one line for editors and the reference.
        default: what an absent field means, for editors; text, because it may be conditional.
    """

    kind: Kind
    doc: str
    required: bool
    default: str


def setting(kind: Kind, doc: str, *, required: bool = False, default: str = "") -> Any:
    """Declare a field of an attrs class; absent optional fields are None."""
    metadata = {"setting": Setting(kind, doc, required, default)}
    if required:
        return attrs.field(metadata=metadata)
    return attrs.field(default=None, metadata=metadata)


def settings_of(cls: type) -> dict[str, Setting]:
    """Field name to `Setting` of a class whose attributes were made by `setting`."""
    fields = attrs.fields(cls)
    return {field.name: field.metadata["setting"] for field in fields if field.metadata}


@attrs.frozen
class Object:
    """A mapping read into an attrs class.

    Attributes:
        cls: its attributes are the fields.
        dropped: fields that the client ignores: what the service returns and nobody sets.
        spellings: other names of a field, taken silently.
        slips: other names of a field, taken with a warning (D3).
        notes: hints for fields that are not there, or should be and are missing.
        check: looks at the relations between fields once all are read.
    """

    cls: type
    dropped: frozenset[str] = frozenset()
    spellings: Mapping[str, str] = attrs.field(factory=dict)
    slips: Mapping[str, str] = attrs.field(factory=dict)
    notes: Mapping[str, str] = attrs.field(factory=dict)
    check: Callable[[Any, Node, Scope], bool] | None = None

    def read(self, node: Node, scope: Scope) -> Any:
        if node.entries is None:
            code = "TR0103" if node.value is None else "TR0104"
            scope.error(
                node, code, f"expected a mapping of {self._some_fields()}, found {describe(node)}"
            )
            return INVALID
        settings = settings_of(self.cls)
        values = self._read_entries(node.entries, settings, scope)
        for name, value in settings.items():
            if value.required and name not in values:
                values[name] = INVALID
                message = f"required, but missing: {value.doc}"
                scope.child(name).error(node, "TR0102", message, self.notes.get(name, ""))
        if any(value is INVALID for value in values.values()):
            return INVALID
        result = self.cls(**values)
        is_consistent = self.check is None or self.check(result, node, scope)
        return result if is_consistent else INVALID

    def _some_fields(self) -> str:
        names = list(settings_of(self.cls))
        return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")

    def _read_entries(
        self, entries: Mapping[Any, Entry], settings: Mapping[str, Setting], scope: Scope
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, entry in entries.items():
            if key == _SCHEMA_KEY or (key in self.dropped and entry.node.value is not None):
                continue
            name = self._name_of(key, entries, entry, scope)
            below = scope.child(key)
            if name not in settings:
                hint = self._hint_for(str(key), settings, scope)
                below.error(entry, "TR0101", "there is no such field", hint)
                values[f"?{key}"] = INVALID
            else:
                values[name] = self._read_field(settings[name], entry, below)
        return values

    def _read_field(self, wanted: Setting, entry: Entry, scope: Scope) -> Any:
        if entry.node.value is None:
            hint = "give a value or delete the line"
            scope.error(entry, "TR0103", f"the field has no value; it is {wanted.doc}", hint)
            return INVALID
        return wanted.kind.read(entry.node, scope)

    def _name_of(self, key: Any, entries: Mapping[Any, Entry], entry: Entry, scope: Scope) -> str:
        if key not in self.slips:
            return self.spellings.get(key, str(key))
        meant = self.slips[key]
        if meant in entries:
            scope.child(key).error(entry, "TR0109", f"both {key} and {meant} are given")
        else:
            message = f"taken as {meant}; Azure's client refuses {key}"
            scope.child(key).warn(entry, "TR0112", message)
        return meant

    def _hint_for(self, key: str, settings: Mapping[str, Setting], scope: Scope) -> str:
        if key in self.notes:
            return self.notes[key]
        home = scope.homes.get(key)
        if home is not None and home != scope.field:
            return f"it belongs below {home}" if home else "it belongs at the top of the file"
        word = nearest(key, settings)
        return f"did you mean {word}?" if word else ""

    def schema(self) -> dict[str, Any]:
        settings = settings_of(self.cls)
        properties: dict[str, Any] = {_SCHEMA_KEY: {"type": "string"}}
        for name in sorted(self.dropped):
            properties[name] = {"description": "returned by Azure, ignored here"}
        for name, value in settings.items():
            default = f" Default: {value.default}." if value.default else ""
            properties[name] = value.kind.schema() | {"description": value.doc + default}
        for other, name in self.spellings.items():
            properties[other] = properties[name]
        required = [name for name, value in settings.items() if value.required]
        result: dict[str, Any] = {"type": "object", "properties": properties}
        result["additionalProperties"] = False
        return result | ({"required": required} if required else {})


def homes_of(cls: type, prefix: str = "") -> dict[str, str]:
    """For every field at any depth, the path of the mapping it belongs to.

    A name that occurs in several places (`path`, `name`) has no single home and is left out.
    """
    found: dict[str, set[str]] = {}
    _collect_homes(cls, prefix, found)
    return {name: next(iter(places)) for name, places in found.items() if len(places) == 1}


def _collect_homes(cls: type, prefix: str, found: dict[str, set[str]]) -> None:
    for name, value in settings_of(cls).items():
        found.setdefault(name, set()).add(prefix)
        kind = getattr(value.kind, "mapping", value.kind)
        if isinstance(kind, Object):
            _collect_homes(kind.cls, f"{prefix}.{name}".lstrip("."), found)
