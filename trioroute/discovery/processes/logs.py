"""The end of what a process printed, and the one line of it that says why it died."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["cap_log", "read_last_lines", "tell_why"]

#: Enough for a traceback of a scoring script under Flask and Gunicorn, few enough for a screen.
_LINES_MAX: Final = 40

#: Read from the file's end at most; longer lines are cut from the left.
_TAIL_BYTES_MAX: Final = 32 * 1024

#: A log is cut to its tail above this: the inference server prints lines for every request.
_LOG_BYTES_MAX: Final = 8 * 1024 * 1024

#: The last line of a traceback: a dotted name that looks like an exception's, maybe a message.
#: A logger's prefix may stand before it.
_EXCEPTION: Final = re.compile(
    r"(?:^|\s)((?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)(?::\s.*)?)$"
)

#: The inference server's own exceptions wrap the script's and say less.
_WRAPPER: Final = "azureml_inference_server_http."

#: What our own leash prints when the command cannot be run at all.
_CANNOT_RUN: Final = "cannot run "


def read_last_lines(log: Path) -> tuple[str, ...]:
    """The last lines that are not blank; nothing when there is no such file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES_MAX))
            text = file.read(_TAIL_BYTES_MAX).decode(errors="replace")
    except OSError:
        return ()
    lines = [line.rstrip() for line in text.splitlines()]
    return tuple(line for line in lines if line)[-_LINES_MAX:]


def tell_why(lines: Sequence[str]) -> str:
    """The one line that most likely says why a process died, or an empty string.

    A server that fails because of a script goes on talking about itself, so an exception's line
    further up says more than the last one.
    """
    for line in reversed(lines):
        found = _EXCEPTION.search(line)
        if found and not found.group(1).startswith(_WRAPPER):
            return found.group(1).strip()
        if line.startswith(_CANNOT_RUN):
            return line
    return lines[-1].strip() if lines else ""


def cap_log(log: Path) -> None:
    """Cut a log that has grown too long down to its tail, while its process goes on writing.

    Works because the process writes in append mode. Lines written between reading the tail and
    cutting are lost: a log on a laptop is not an audit trail.
    """
    try:
        if log.stat().st_size <= _LOG_BYTES_MAX:
            return
        tail = "\n".join(read_last_lines(log))
        os.truncate(log, 0)
        with log.open("a") as file:
            file.write(f"(earlier lines were dropped: the log was too long)\n{tail}\n")
    except OSError:
        # The log was removed, or the disk is full; the next round tries again.
        return
