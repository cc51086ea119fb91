"""The guard: a process of its own that breaks something and mends it, whatever the drill does.

Usage: `python -m trioroute.drills.local.guard DATA LASTS_S`, the wound as one line of JSON on its
standard input. It answers `done` when the wound is inflicted, and mends it when its standard input
ends (the drill is over, or dead, however it died), when LASTS_S have passed (the drill hangs), or
when it is itself asked to end. Only SIGKILL of the guard leaves something behind: the record in
DATA, which `trioroute drill undo` reads.
"""

import os
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from trioroute.drills.local.wounds import Wound, remove_record, write_record

__all__ = ["main"]

#: How often a wound is looked after, seconds: new connections across a cut, room that came free.
_KEEP_EVERY_S: Final = 0.005


class _Ended(Exception):  # noqa: N818 - no error
    """Somebody asked the guard itself to end."""


def main(arguments: list[str]) -> int:
    """Inflict, wait, mend; returns the exit status."""
    # Ctrl-C goes to the drill, which then ends us: the order of things stays in one hand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    data, lasts_s = Path(arguments[0]), float(arguments[1])
    wound: Wound = msgspec.json.decode(sys.stdin.buffer.readline(), type=Wound)
    write_record(data, wound)
    try:
        wound.inflict()
        _say("done")
        _wait(wound, time.monotonic() + lasts_s)
    except _Ended:
        pass
    except OSError as error:
        _say(f"failed: {error}")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wound.heal()
        remove_record(data)
    _say("mended")
    return 0


def _wait(wound: Wound, deadline: float) -> None:
    keep = wound.keeper()
    while time.monotonic() < deadline:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], _KEEP_EVERY_S)
        if readable and not os.read(sys.stdin.fileno(), 64):
            return
        keep()


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:
        # Nobody listens any more; what matters is done all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _Ended


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
