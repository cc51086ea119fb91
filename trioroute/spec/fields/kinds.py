"""The kinds of value a field can hold: how each is read, refused and shown in JSON Schema.

The verdicts are those of Azure's client (marshmallow under azure-ai-ml 1.35.2), with the limits
of D5 where that client lets nonsense pass. A kind reports what is wrong and returns `INVALID`; it
never raises, so that one reading finds every mistake.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import attrs

from trioroute.spec.fields.document import Node
from trioroute.spec.fields.scope import Scope, describe
from trioroute.spec.problems import nearest

__all__ = [
    "FLAG",
    "FREE_MAP",
    "INVALID",
    "TEXT",
    "VERSION",
    "Choice",
    "Forms",
    "Kind",
    "ListOf",
    "MapOf",
    "Number",
    "Quantity",
    "Text",
    "Whole",
    "any_of",
    "snake",
]


class Invalid:
    """The type of `INVALID`."""

    def __repr__(self) -> str:
        return "INVALID"


#: What reading returns for a value that was refused; the refusal is already reported.
INVALID: Final = Invalid()


class Kind(Protocol):
    """How to read one value."""

    def read(self, node: Node, scope: Scope) -> Any:
        """The value, or `INVALID` after reporting why."""
        ...

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of what is accepted."""
        ...


def _refuse(node: Node, scope: Scope, expected: str, hint: str = "") -> Invalid:
    code = "TR0103" if node.value is None else "TR0104"
    scope.error(node, code, f"expected {expected}, found {describe(node)}", hint)
    return INVALID


@attrs.frozen
class Text:
    """Text; what YAML turned into something else has to be quoted."""

    expected: str = "text"
    pattern: str = ""

    def read(self, node: Node, scope: Scope) -> Any:
        value = node.value
        if isinstance(value, bytes):
            try:
                return value.decode()
            except UnicodeDecodeError:
                return _refuse(node, scope, self.expected)
        if not isinstance(value, str):
            is_scalar = node.text is not None and value is not None
            return _refuse(node, scope, self.expected, f'quote it: "{node.text}"' * is_scalar)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"} | ({"pattern": self.pattern} if self.pattern else {})


#: Azure's service keeps whole numbers in 32 bits; its client lets any size pass.
_INT32_MAX: Final = 2**31 - 1


@attrs.frozen
class Whole:
    """A whole number; text holding one and numbers with a fraction count too, as for the client."""

    minimum: int | None = None
    maximum: int | None = None
    advice: str = ""

    def read(self, node: Node, scope: Scope) -> Any:
        number = self._parse(node)
        if number is None:
            return _refuse(node, scope, "a whole number")
        _warn_if_surprising(node, number, scope)
        if not self._is_in_range(number):
            shown = describe(node)
            scope.error(node, "TR0108", f"{shown} is out of range: {self._range()}", self.advice)
            return INVALID
        return number

    def _parse(self, node: Node) -> int | None:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float | str | bytes):
            return None
        try:
            return int(value)
        except (ValueError, OverflowError):
            return None

    def _is_in_range(self, number: int) -> bool:
        lowest = -_INT32_MAX if self.minimum is None else self.minimum
        highest = _INT32_MAX if self.maximum is None else self.maximum
        return lowest <= number <= highest

    def _range(self) -> str:
        if self.maximum is not None:
            return f"it has to be between {self.minimum} and {self.maximum}"
        if self.minimum is not None:
            return f"it has to be {self.minimum} or more"
        return f"it has to be between {-_INT32_MAX} and {_INT32_MAX}"

    def schema(self) -> dict[str, Any]:
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        return {"type": "integer"} | {key: n for key, n in limits.items() if n is not None}


def _warn_if_surprising(node: Node, number: int, scope: Scope) -> None:
    """YAML 1.1 has number forms that hardly anybody means; the client takes them silently."""
    text = node.text or ""
    if isinstance(node.value, float) and node.value != number:
        scope.warn(node, "TR0114", f"{text} is cut to {number}")
    elif isinstance(node.value, int) and not node.quoted and ":" in text:
        scope.warn(node, "TR0114", f"YAML reads {text} as base 60: {number}")
    elif isinstance(node.value, int) and re.fullmatch(r"[-+]?0[0-7_]+", text):
        scope.warn(node, "TR0114", f"YAML reads {text} as an octal number: {number}")


@attrs.frozen
class Number:
    """A number, whole or not, within bounds."""

    minimum: float
    maximum: float

    def read(self, node: Node, scope: Scope) -> Any:
        number = self._parse(node)
        if number is None:
            return _refuse(node, scope, "a number")
        if not self.minimum <= number <= self.maximum:
            limits = f"it has to be between {self.minimum} and {self.maximum}"
            scope.error(node, "TR0108", f"{number} is out of range: {limits}")
            return INVALID
        return number

    def _parse(self, node: Node) -> float | None:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float | str | bytes):
            return None
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.minimum, "maximum": self.maximum}


#: The spellings that Azure's client takes for yes and no (marshmallow's `Boolean`).
_YES: Final = frozenset({"t", "true", "on", "y", "yes", "1"})
_NO: Final = frozenset({"f", "false", "off", "n", "no", "0"})
_MIXED: Final = re.compile(r"[A-Z]?[a-z0-9]*|[A-Z]+")


@attrs.frozen
class Flag:
    """Yes or no."""

    def read(self, node: Node, scope: Scope) -> Any:
        value = node.value
        if isinstance(value, bool | int | float) and value in (0, 1):
            return bool(value)
        if isinstance(value, str) and _MIXED.fullmatch(value):
            if value.lower() in _YES:
                return True
            if value.lower() in _NO:
                return False
        return _refuse(node, scope, "true or false")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


def snake(text: str) -> str:
    """`AMLToken` to `aml_token`, by the rule of Azure's client (`camel_to_snake`)."""
    text = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", text)
    return re.sub("([a-z0-9])([A-Z])", r"\1_\2", text).lower()


@attrs.frozen
class Choice:
    """One word of a set, in any of the spellings that `fold` maps to it."""

    words: tuple[str, ...]
    fold: Callable[[str], str] = snake
    advice: str = ""

    def read(self, node: Node, scope: Scope) -> Any:
        value = node.value
        if isinstance(value, str) and self.fold(value) in self.words:
            return self.fold(value)
        if value is None:
            return _refuse(node, scope, self._expected())
        scope.error(
            node, "TR0105", f"expected {self._expected()}, found {describe(node)}", self._hint(node)
        )
        return INVALID

    def _expected(self) -> str:
        return "one of " + ", ".join(self.words) if len(self.words) > 1 else self.words[0]

    def _hint(self, node: Node) -> str:
        if isinstance(node.value, bool) and str(node.value).lower() in self.words:
            return f'quote it: "{str(node.value).lower()}"'
        word = nearest(str(node.value), self.words)
        return f"did you mean {word}?" if word else self.advice

    def schema(self) -> dict[str, Any]:
        # Editors offer the plain words; other spellings (`Key`, `AMLToken`) get no red line.
        spellings = "|".join(_any_case(word) for word in self.words)
        return {"anyOf": [{"enum": list(self.words)}, {"pattern": f"^({spellings})$"}]}


def _any_case(word: str) -> str:
    """JavaScript's regular expressions cannot be told to ignore case inside a schema."""
    letters = (f"[{char}{char.upper()}]" if char.isalpha() else f"{char}?" for char in word)
    return "".join(letters)


@attrs.frozen
class FreeMap:
    """A mapping whose values are kept as they are (tags, properties, variables)."""

    def read(self, node: Node, scope: Scope) -> Any:
        if not isinstance(node.value, dict):
            return _refuse(node, scope, "a mapping of names to values")
        return dict(node.value)

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}


@attrs.frozen
class MapOf:
    """A mapping of text to values of one kind."""

    kind: Kind
    expected: str

    def read(self, node: Node, scope: Scope) -> Any:
        if node.entries is None:
            return _refuse(node, scope, f"a mapping of {self.expected}")
        result: dict[str, Any] = {}
        is_valid = True
        for key, entry in node.entries.items():
            below = scope.child(key)
            if not isinstance(key, str):
                below.error(entry, "TR0104", f"expected text as the key, found {key!r}")
            value = self.kind.read(entry.node, below)
            is_valid = is_valid and isinstance(key, str) and value is not INVALID
            result[str(key)] = value
        return result if is_valid else INVALID

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.kind.schema()}


@attrs.frozen
class ListOf:
    """A list of values of one kind."""

    kind: Kind
    expected: str
    count_max: int | None = None

    def read(self, node: Node, scope: Scope) -> Any:
        if node.items is None:
            return _refuse(node, scope, f"a list of {self.expected}")
        values = [self.kind.read(item, scope.child(f"[{i}]")) for i, item in enumerate(node.items)]
        if self.count_max is not None and len(values) > self.count_max:
            message = f"only {self.count_max} can be given, found {len(values)}"
            scope.error(node, "TR0108", message)
            return INVALID
        return INVALID if any(value is INVALID for value in values) else tuple(values)

    def schema(self) -> dict[str, Any]:
        limit = {} if self.count_max is None else {"maxItems": self.count_max}
        return {"type": "array", "items": self.kind.schema()} | limit


@attrs.frozen
class Forms:
    """Text of one kind, or a mapping of another (`model`, `environment`, `data`)."""

    text: Kind
    mapping: Kind
    expected: str

    def read(self, node: Node, scope: Scope) -> Any:
        if isinstance(node.value, str):
            return self.text.read(node, scope)
        if node.entries is not None:
            return self.mapping.read(node, scope)
        return _refuse(node, scope, self.expected)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.text.schema(), self.mapping.schema()]}


@attrs.frozen
class Version:
    """An asset's version; numbers become text."""

    def read(self, node: Node, scope: Scope) -> Any:
        if isinstance(node.value, str):
            return node.value
        if isinstance(node.value, int | float):
            return str(node.value)
        return _refuse(node, scope, "a version")

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number"]}


@attrs.frozen
class Quantity:
    """A Kubernetes quantity as text; a bare number is taken as its text with a warning (D3)."""

    def read(self, node: Node, scope: Scope) -> Any:
        is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        if is_number and node.text is not None:
            hint = f'quote it: "{node.text}"'
            scope.warn(node, "TR0112", "Azure's client takes only quoted quantities", hint)
            return node.text
        return TEXT.read(node, scope)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number"]}


TEXT: Final = Text()
FLAG: Final = Flag()
FREE_MAP: Final = FreeMap()
VERSION: Final = Version()


def any_of(words: Sequence[str]) -> Choice:
    """A choice whose words are compared without regard to case only."""
    return Choice(tuple(words), fold=str.lower)
