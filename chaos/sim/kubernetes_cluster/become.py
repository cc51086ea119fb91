"""Turns a leashed process into a container's command; the leash stays on."""

import os
from collections.abc import Sequence

__all__ = ["become"]


def become(words: Sequence[str]) -> None:
    """Run this command instead of the present program. Never returns."""
    os.execvp(words[0], list(words))  # noqa: S606 - the words of a pod of our own
