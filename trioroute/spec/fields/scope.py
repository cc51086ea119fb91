"""Where the reader is in a file, and how a problem found there is reported."""

from collections.abc import Mapping
from pathlib import Path

import attrs

from trioroute.spec.fields.document import Entry, Node
from trioroute.spec.problems import Problem, Problems

__all__ = ["Scope", "describe"]


@attrs.frozen
class Scope:
    """A place in a file, handed down as the reader descends.

    Attributes:
        file: the file's name as the user gave it.
        problems: where everything found is collected.
        folder: what relative paths in the file are relative to.
        path: field names and `[index]` steps from the top.
        homes: for each nested field, where it belongs: makes "unknown field" helpful.
    """

    file: str
    problems: Problems
    folder: Path = Path()
    path: tuple[str, ...] = ()
    homes: Mapping[str, str] = attrs.field(factory=dict)

    def child(self, step: object) -> "Scope":
        """The scope of one field, key or list item below this one."""
        return attrs.evolve(self, path=(*self.path, str(step)))

    @property
    def field(self) -> str:
        """The path as users write it: `scale_settings.min_instances`."""
        return ".".join(self.path).replace(".[", "[")

    def error(self, at: Node | Entry, code: str, message: str, hint: str = "") -> None:
        """Report something that makes the file unusable."""
        self.problems.errors.append(self._problem(at, code, message, hint))

    def warn(self, at: Node | Entry, code: str, message: str, hint: str = "") -> None:
        """Report something that works but may not be what was meant."""
        self.problems.warnings.append(self._problem(at, code, message, hint))

    def _problem(self, at: Node | Entry, code: str, message: str, hint: str) -> Problem:
        return Problem(
            file=self.file,
            line=at.line,
            column=at.column,
            field=self.field,
            code=code,
            message=message,
            hint=hint,
        )


#: Long values are cut in messages: a pasted certificate must not fill the screen.
_SHOWN_CHARS_MAX = 60


def describe(node: Node) -> str:
    """What a value is, in the words of an error message."""
    value = node.value
    if value is None:
        return "nothing (null)"
    if node.entries is not None or isinstance(value, dict):
        return "a mapping"
    if node.items is not None or isinstance(value, list):
        return "a list"
    shown = node.text if node.text is not None else str(value)
    if len(shown) > _SHOWN_CHARS_MAX:
        shown = shown[:_SHOWN_CHARS_MAX] + "…"
    if isinstance(value, bool):
        return f"the truth value {shown}"
    if isinstance(value, int | float):
        return f"the number {shown}"
    if isinstance(value, str):
        return f'the text "{shown}"'
    return f"{shown} (YAML reads it as a {type(value).__name__})"
