"""What clients have been told since a fault began: the router has to say what it makes of it."""

import time
from collections.abc import Sequence
from typing import Final

from chaos.history import Request

__all__ = ["LATE", "LATE_WORDS", "Told"]

#: What the router says that has waited for an answer until its time was over, and in a report.
LATE: Final = "answer-timeout"
LATE_WORDS: Final = "answers were given up on"

#: Requests that were under way when a fault began are among so many that were sent last.
_UNDER_WAY: Final = 2000


class Told:
    """Those of all requests, which grow, that have ended since this was made."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._requests = requests
        self._first = max(0, len(requests) - _UNDER_WAY)
        self._since = time.monotonic()

    def count(self, reason: str) -> int:
        """How many of them ended with this reason of the router's."""
        return sum(request.reason == reason for request in self.ended())

    def ended(self) -> list[Request]:
        """They themselves."""
        return [
            request
            for request in self._requests[self._first :]
            if request.ended_at is not None and request.ended_at >= self._since
        ]
