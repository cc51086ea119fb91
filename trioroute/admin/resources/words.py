"""The nearest right word for a wrong one in a body: a field's name, or one of a few values."""

import re
import typing
from collections.abc import Collection
from typing import Final

import msgspec

from trioroute.spec.problems import nearest

__all__ = ["no_choice", "no_field", "with_nearest"]

_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.+)`")
_CHOICE: Final = re.compile(r"Invalid enum value '(.*)' - at `\$\.(\w+)`")


def no_field(names: Collection[str], known: Collection[str]) -> str:
    """What to say of fields that there are not."""
    return f"unknown: {', '.join(name + _meant(name, known) for name in sorted(names))}"


def no_choice(field: str, value: str, choices: Collection[str]) -> str:
    """What to say of a value that is none of a few words."""
    found = f"not {value!r}{_meant(value, choices)}" if value else "and is missing"
    return f"`{field}` is one of {', '.join(choices)}, {found}"


def with_nearest(error: str, kind: type[msgspec.Struct]) -> str:
    """What msgspec says of a body of this kind, with the word that was probably meant."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    if unknown := _UNKNOWN.fullmatch(error):
        return no_field([unknown[1]], list(fields))
    choice = _CHOICE.fullmatch(error)
    if choice and choice[2] in fields:
        return no_choice(choice[2], choice[1], typing.get_args(fields[choice[2]].type))
    return error


def _meant(word: str, known: Collection[str]) -> str:
    near = nearest(word, known)
    return f" (did you mean {near}?)" if near else ""
