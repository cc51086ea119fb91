"""What front-ends wrote and say: nothing secret, and nothing in Python's words."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

__all__ = ["secrets_in", "secrets_in_logs", "tracebacks_in_logs"]

_TRACEBACK: Final = "Traceback (most recent call last)"


def secrets_in_logs(folder: Path, secrets: Iterable[str]) -> list[str]:
    """In which logs any of these words stands."""
    return secrets_in({path.name: path.read_bytes() for path in folder.glob("*.log")}, secrets)


def secrets_in(texts: Mapping[str, bytes], secrets: Iterable[str]) -> list[str]:
    """The names of those texts in which any of these words stands, in order."""
    words = [secret.encode() for secret in secrets]
    return [name for name, text in sorted(texts.items()) if any(word in text for word in words)]


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
