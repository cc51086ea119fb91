"""How a check of `trioroute doctor` comes out."""

import enum

import attrs

__all__ = ["Check", "Verdict", "judge"]


class Verdict(enum.Enum):
    """How a check came out; the mark that stands in front of it."""

    GOOD = "√"
    WARNING = "‼"
    BAD = "×"
    SKIPPED = "-"


@attrs.frozen
class Check:
    """One thing looked at.

    Attributes:
        id: `group.name`, for `--only` and `--skip`.
        fix: what to do; empty when nothing is to be done.
    """

    id: str
    verdict: Verdict
    text: str
    fix: str = ""


def judge(name: str, is_good: bool, text: str, fix: str, *, bad: Verdict = Verdict.BAD) -> Check:
    """A check that is well, or else has a fix."""
    return Check(name, Verdict.GOOD, text) if is_good else Check(name, bad, text, fix)
