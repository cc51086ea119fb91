"""Takes secrets out of what is to be shown to strangers: known values first, then known shapes.

Keys that the system holds are taken out by value, wherever they were printed. What only looks like
a secret (bearer tokens, JSON web tokens, private keys) goes as well. Values of environment
variables go since nobody can tell which of them are passwords.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

__all__ = ["REDACTED", "Redaction", "redact_content"]

REDACTED: Final = "(redacted)"
#: Shorter values are words such as `true` or `debug`, and taking them out makes logs unreadable.
_SECRET_CHARS_MIN: Final = 8
#: Each with what stays of it, so that readers see what was there.
_SHAPES: Final = (
    (
        re.compile(
            r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL
        ),
        "",
    ),
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]+\.[\w-]*"), ""),
    (re.compile(r"(?i)\b(bearer\s+|basic\s+)[\w.~+/=-]{6,}"), r"\1"),
    (
        re.compile(
            r"(?i)\b([\w-]*(?:api[-_]?key|password|passwd|secret|token)[\w-]*[\"']?\s*[:=]\s*[\"']?)"
            r"[^\s\"',;&]{4,}"
        ),
        r"\1",
    ),
)
_VARIABLES: Final = "environment_variables"


@attrs.frozen
class Redaction:
    """Takes these values out, and everything that has the shape of a secret."""

    values: tuple[str, ...] = attrs.field(repr=False)

    @classmethod
    def of(cls, values: Iterable[str]) -> "Redaction":
        """For values that are long enough to be secrets; the longest first, as one may hold one."""
        kept = {value for value in values if len(value) >= _SECRET_CHARS_MIN}
        return cls(tuple(sorted(kept, key=lambda value: (-len(value), value))))

    def clean(self, text: str) -> str:
        """The text without any of it."""
        for value in self.values:
            text = text.replace(value, REDACTED)
        for shape, kept in _SHAPES:
            text = shape.sub(kept + REDACTED, text)
        return text


def redact_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a user wrote, with the names of environment variables and without their values."""
    shown = dict(content)
    variables = shown.get(_VARIABLES)
    if isinstance(variables, Mapping):
        shown[_VARIABLES] = dict.fromkeys(variables, REDACTED)
    return shown
