"""What is wrong with a file, said so that the person who wrote it can put it right.

Every problem has a stable code (`CODES`), the place (file, line, column), the field, what was
expected and, where one can be given, a hint that names the fix. Problems are collected, never
raised one at a time: whoever fixes five mistakes should run the check twice, not six times.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from trioroute.errors import ConfigError

__all__ = ["CODES", "Problem", "Problems", "SpecError", "nearest"]

#: Code to meaning. Codes are public: they are never renumbered and never reused.
CODES: Final = {
    "TR0001": "the file cannot be read",
    "TR0002": "the file is not YAML",
    "TR0003": "the file is empty",
    "TR0004": "the file holds something other than one mapping",
    "TR0005": "the file is neither an endpoint nor a deployment",
    "TR0006": "nothing to load was found",
    "TR0007": "the same key is written twice",
    "TR0101": "unknown field",
    "TR0102": "a required field is missing",
    "TR0103": "the field has no value",
    "TR0104": "the value has the wrong type",
    "TR0105": "the value is not one of those allowed",
    "TR0106": "the name breaks the naming rule",
    "TR0107": "the reference to an asset cannot be read",
    "TR0108": "the number is out of range",
    "TR0109": "two fields contradict each other",
    "TR0110": "the traffic map does not add up",
    "TR0111": "the mirror traffic map is not possible",
    "TR0112": "accepted, where Azure's client would refuse it",
    "TR0113": "accepted, without effect in trioroute",
    "TR0114": "probably not what was meant",
    "TR0201": "unknown trioroute property",
    "TR0202": "the trioroute property has a value it cannot have",
    "TR0203": "the trioroute property is for development only",
    "TR0301": "two endpoints have one name",
    "TR0302": "two deployments of one endpoint have one name",
    "TR0303": "the deployment's endpoint is not among the files",
    "TR0304": "traffic names a deployment that does not exist",
    "TR0305": "no deployment of the endpoint receives traffic",
    "TR0401": "the conda file is missing or cannot be used",
    "TR0402": "a local file or folder is missing",
    "TR0403": "the registered asset is not known here",
    "TR0404": "nothing says how to run a replica",
    "TR0405": "the container image is not used on this machine",
    "TR0406": "the code folder cannot be copied",
}


@attrs.frozen(kw_only=True)
class Problem:
    """One thing wrong, or worth a warning.

    Attributes:
        file: as the user named it.
        line, column: counted from 1; 0 when the problem is about the whole file.
        field: path of the field, for example `scale_settings.min_instances`; may be empty.
        code: key of `CODES`.
        message: what was expected and what was found.
        hint: what to do about it; may be empty.
    """

    file: str
    line: int = 0
    column: int = 0
    field: str = ""
    code: str
    message: str
    hint: str = ""

    @property
    def place(self) -> str:
        """`file:line:column`, the form that terminals and editors turn into a link."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        hint = f"\n    try: {self.hint}" if self.hint else ""
        return f"{self.place}: {self.code} {field}{self.message}{hint}"


class SpecError(ConfigError):
    """The files cannot be used; carries every problem of every file.

    Args:
        problems: the errors, at least one.
        warnings: what was found besides.
    """

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)


@attrs.define
class Problems:
    """Collects errors and warnings while files are read."""

    errors: list[Problem] = attrs.field(factory=list)
    warnings: list[Problem] = attrs.field(factory=list)

    def raise_if_any(self) -> None:
        """Raises: SpecError: with everything collected, when at least one error was."""
        if self.errors:
            raise SpecError(self.errors, self.warnings)


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` was probably meant to be, or None when nothing is close."""
    names = {name.lower(): name for name in candidates}
    # 0.6 is difflib's own cutoff for "close"; below it the suggestions are noise.
    matches = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return names[matches[0]] if matches else None
