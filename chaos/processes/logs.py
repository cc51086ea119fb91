"""What front-ends wrote: nothing secret, and nothing in Python's words."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["secrets_in_logs", "tracebacks_in_logs"]

_TRACEBACK: Final = "Traceback (most recent call last)"


def secrets_in_logs(folder: Path, secrets: Iterable[str]) -> list[str]:
    """In which logs any of these words stands."""
    words = [secret.encode() for secret in secrets]
    texts = {path.name: path.read_bytes() for path in sorted(folder.glob("*.log"))}
    return [name for name, text in texts.items() if any(word in text for word in words)]


def tracebacks_in_logs(folder: Path, *, front_ends: str = "fe-*") -> list[str]:
    """Every log of a front-end with a traceback, and the last line of each.

    Args:
        front_ends: what the names of their logs begin with, as a pattern.
    """
    found = []
    for path in sorted(folder.glob(f"{front_ends}.log")):
        _, *traces = path.read_text(errors="replace").split(_TRACEBACK)
        found += [f"{path.name}: {_last_line(trace)}" for trace in traces]
    return found


def _last_line(trace: str) -> str:
    """The line that names the exception: the first that is not indented, bars of groups aside."""
    lines = [line.lstrip(" |+-") for line in trace.splitlines()[1:] if not line.startswith("  ")]
    return next((line[:200] for line in lines if line), "")
