"""The guard of processes: breaks something on this machine and mends it, whatever the drill does.

Usage: `python -m trioroute.drills.local.guard DATA LASTS_S`, the wound as one line of JSON on its
standard input; `guarding.standing` says what it does then. What SIGKILL of the guard leaves behind
is in the record in DATA, which `trioroute drill undo` reads.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import msgspec

from trioroute.drills.guarding.standing import stand
from trioroute.drills.local.wounds import Wound, remove_record, write_record

__all__ = ["main"]


@attrs.frozen
class _Recorded:
    """A wound that is written down for as long as it is there."""

    data: Path
    wound: Wound

    def inflict(self) -> None:
        """Write it down first."""
        write_record(self.data, self.wound)
        self.wound.inflict()

    def keeper(self) -> Callable[[], None]:
        """The wound's own."""
        return self.wound.keeper()

    def heal(self) -> None:
        """Forget it last."""
        self.wound.heal()
        remove_record(self.data)


def main(arguments: list[str]) -> int:
    """Inflict, wait, mend; returns the exit status."""
    data, lasts_s = Path(arguments[0]), float(arguments[1])
    wound: Wound = msgspec.json.decode(sys.stdin.buffer.readline(), type=Wound)
    return stand(_Recorded(data, wound), lasts_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
