"""Label and field selectors: what they mean and how a wrong one is refused."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from chaos.sim.kubernetes.errors import bad_request
from chaos.sim.kubernetes.kinds import Kind, selectable

__all__ = ["Selector", "field_selector", "label_selector"]

Selector = Callable[[Mapping[str, Any]], bool]

_WORD: Final = re.compile(r"\s*(==|!=|[=!,()<>]|[^\s=!,()<>]+)")
_NAME: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_NAME_CHARS_MAX: Final = 63
_END: Final = ""
_SYMBOLS: Final = frozenset({"==", "!=", "=", "!", ",", "(", ")", "<", ">", _END})


def label_selector(text: str) -> Selector:
    """Parse `a=b,c in (d,e),!f`.

    Raises:
        ApiError: 400 with the parser's words.
    """
    parser = _Parser(text)
    tests = parser.requirements()
    return lambda obj: all(test(obj.get("metadata", {}).get("labels") or {}) for test in tests)


LabelTest = Callable[[Mapping[str, str]], bool]


class _Parser:
    def __init__(self, text: str) -> None:
        self._words: list[str] = [*_WORD.findall(text), _END]

    def requirements(self) -> list[LabelTest]:
        """All of them, joined by commas."""
        if self._next() == _END:
            return []
        tests = [self._requirement()]
        while self._next() != _END:
            word = self._take()
            if word != ",":
                raise bad_request(f"found '{word}', expected: ',' or 'end of string'")
            if self._next() in _SYMBOLS - {"!"}:
                raise bad_request(f"found '{self._next()}', expected: identifier after ','")
            tests.append(self._requirement())
        return tests

    def _next(self) -> str:
        return self._words[0]

    def _take(self) -> str:
        return self._words.pop(0) if len(self._words) > 1 else _END

    def _requirement(self) -> LabelTest:
        word = self._take()
        if word == "!":
            key = self._key(self._take())
            return lambda labels: key not in labels
        if word in _SYMBOLS:
            raise bad_request(f"found '{word}', expected: !, identifier, or 'end of string'")
        key = self._key(word)
        return self._operation(key)

    def _operation(self, key: str) -> LabelTest:
        operator = self._next()
        if operator in (",", _END):
            return lambda labels: key in labels
        self._take()
        if operator in ("=", "=="):
            value = self._value(key)
            return lambda labels: labels.get(key) == value
        if operator == "!=":
            value = self._value(key)
            return lambda labels: labels.get(key) != value
        if operator in ("<", ">"):
            limit = self._value(key)
            return lambda labels: _compares(labels.get(key), operator, limit)
        if operator in ("in", "notin"):
            values = self._values()
            if operator == "in":
                return lambda labels: key in labels and labels[key] in values
            return lambda labels: labels.get(key) not in values
        raise bad_request(
            f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, >, <"
        )

    def _value(self, key: str) -> str:
        if self._next() in (",", _END):
            return ""
        value = self._take()
        if not _is_name(value):
            raise bad_request(
                f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}"'
            )
        return value

    def _values(self) -> frozenset[str]:
        if self._take() != "(":
            raise bad_request("unable to parse requirement: found '', expected: '('")
        values = []
        while self._next() != ")":
            word = self._take()
            if word == _END:
                raise bad_request("unable to parse requirement: found '', expected: ',' or ')'")
            if word != ",":
                values.append(word)
        self._take()
        return frozenset(values or [""])

    @staticmethod
    def _key(key: str) -> str:
        prefix, slash, name = key.rpartition("/")
        if not _is_name(name) or (slash and not prefix):
            raise bad_request(f'unable to parse requirement: <nil>: Invalid value: "{key}"')
        return key


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and len(text) <= _NAME_CHARS_MAX


def _compares(value: str | None, operator: str, limit: str) -> bool:
    try:
        difference = int(value or "") - int(limit)
    except ValueError:
        return False
    return difference < 0 if operator == "<" else difference > 0


def field_selector(text: str, kind: Kind) -> Selector:
    """Parse `metadata.name=a,status.phase!=Failed`.

    Raises:
        ApiError: 400: not a selector, or a field that this kind does not offer.
    """
    tests = []
    for part in filter(None, text.split(",")):
        for operator in ("!=", "==", "="):
            field, found, value = part.partition(operator)
            if found:
                break
        else:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        _check_field(field, kind)
        tests.append((field, operator == "!=", value))
    return lambda obj: all(
        (selectable(kind, obj, field) == value) is not is_negated
        for field, is_negated, value in tests
    )


def _check_field(field: str, kind: Kind) -> None:
    if field in kind.fields or field == "metadata.name":
        return
    if field == "metadata.namespace" and kind.is_namespaced:
        return
    if kind.fields:
        raise bad_request(f"field label not supported: {field}")
    raise bad_request(
        f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )
