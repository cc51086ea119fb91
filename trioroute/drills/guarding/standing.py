"""What a guard does: break, wait, mend, whatever becomes of the drill that started it.

It answers `done` when the wound is there, and mends it when its standard input ends (the drill is
over, or dead, however it died), when its time has passed (the drill hangs), or when it is itself
asked to end. Only SIGKILL of the guard leaves something behind.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final, Protocol

from trioroute.drills.world import WorldError

__all__ = ["Wound", "stand"]

#: How often a wound is looked after, seconds: new connections across a cut, room that came free.
_KEEP_EVERY_S: Final = 0.005
#: A cure that does not succeed is tried again: the API server may be away for a while, seconds.
_HEAL_MAX_S: Final = 60.0
_HEAL_PAUSE_S: Final = 0.5


class Wound(Protocol):
    """A lasting fault, and its cure."""

    def inflict(self) -> None:
        """Break it. Raises WorldError or OSError."""
        ...

    def keeper(self) -> Callable[[], None] | None:
        """What keeps it broken, called again and again; None when it stays so by itself."""
        ...

    def heal(self) -> None:
        """Mend it; what is whole already is fine. Raises WorldError or OSError."""
        ...


class _Ended(Exception):  # noqa: N818 - no error
    """Somebody asked the guard itself to end."""


def stand(wound: Wound, lasts_s: float) -> int:
    """Inflict, wait, mend; returns the exit status, 1 when it could not be mended."""
    # Ctrl-C goes to the drill, which then ends us: the order of things stays in one hand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    failure = ""
    try:
        wound.inflict()
        _say("done")
        _wait(wound.keeper(), time.monotonic() + lasts_s)
    except _Ended:
        pass
    except (OSError, WorldError) as error:
        _say(f"failed: {error}")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        failure = _heal(wound)
    _say(f"left: {failure}" if failure else "mended")
    return 1 if failure else 0


def _heal(wound: Wound) -> str:
    """Returns why it could not be mended; empty when it was."""
    deadline = time.monotonic() + _HEAL_MAX_S
    while True:
        try:
            wound.heal()
        except (OSError, WorldError) as error:
            if time.monotonic() > deadline:
                return str(error)
            time.sleep(_HEAL_PAUSE_S)
        else:
            return ""


def _wait(keep: Callable[[], None] | None, deadline: float) -> None:
    while (left_s := deadline - time.monotonic()) > 0:
        patience_s = left_s if keep is None else _KEEP_EVERY_S
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], patience_s)
        if readable and not os.read(sys.stdin.fileno(), 64):
            return
        if keep is not None:
            keep()


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:
        # Nobody listens any more; what matters is done all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _Ended
