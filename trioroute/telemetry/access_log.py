"""One JSON line per request, written off the request path.

The worker's loop only appends a record to a bounded queue. Whoever owns the log (app) calls
`flush` from a thread every so often; if the disk or the reader is slow, records are dropped and
counted rather than requests delayed. Keys, header values and bodies are never in a record.
"""

import sys
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

__all__ = ["AccessLog", "AccessRecord"]

#: Two seconds of 5,000 requests a second; about 10 MB when full.
PENDING_MAX: Final = 10_000
#: Lines handed to one write: a second of a busy worker, and no stall at the end.
_BATCH_MAX: Final = 1_000


class AccessRecord(msgspec.Struct, kw_only=True, gc=False):
    """One exchange as the access log, `tap` and `explain` show it. Times in seconds.

    A msgspec struct and not an attrs class because one is made for every request, in a third of
    the time; gc=False because it holds only strings and numbers.

    Attributes:
        ts: when the request head was read, Unix time.
        address: the client's address.
        trace_id: 32 hex digits of `traceparent`, empty without one.
        front_end: the front-end's name; `worker` is its worker's number.
        epoch: the epoch of the grant, 0 when there was none.
        status: 0 when no answer was sent.
        reason: why the router answered itself or broke the answer off; empty when it did neither.
        is_broken: the answer had begun and was cut visibly.
        head_s: until the answer's head was made, 0 when there was none.
        total_s: until the answer's last byte was given to the kernel, or it broke off.
    """

    ts: float
    request_id: str
    client_request_id: str = ""
    trace_id: str = ""
    front_end: str = ""
    worker: int = 0
    address: str = ""
    method: str = ""
    endpoint: str = ""
    deployment: str = ""
    replica: str = ""
    slot: int = -1
    epoch: int = 0
    status: int = 0
    reason: str = ""
    is_broken: bool = False
    bytes_in: int = 0
    bytes_out: int = 0
    queue_s: float = 0.0
    route_s: float = 0.0
    connect_s: float = 0.0
    upstream_s: float = 0.0
    head_s: float = 0.0
    total_s: float = 0.0
    attempts: int = 0


class AccessLog:
    """The queue between the worker's loop and the writer.

    Args:
        write: takes whole lines, for example the `write` of a file opened unbuffered for appending.
        pending_max: how many records may wait.
        per_s_max: how many records a second are taken; 0 for all.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        pending_max: int = PENDING_MAX,
        per_s_max: int = 0,
    ) -> None:
        self._write = write
        self._pending_max = pending_max
        self._per_s_max = per_s_max or sys.maxsize
        self._second = 0
        self._taken = 0
        # Appended to by the loop and emptied by a thread: both ends of a deque are atomic.
        self._pending: deque[AccessRecord] = deque()
        self._encoder = msgspec.json.Encoder()
        #: Records thrown away since the start: too many a second, queue full, or a write failed.
        self.dropped = 0

    def record(self, record: AccessRecord) -> None:
        """Queue one record, or count it as dropped. Never waits."""
        second = int(record.ts)  # of its beginning: a slow request counts where it began
        if second != self._second:
            self._second, self._taken = second, 0
        if self._taken >= self._per_s_max or len(self._pending) >= self._pending_max:
            self.dropped += 1
            return
        self._taken += 1
        self._pending.append(record)

    def flush(self) -> None:
        """Write what is queued now. Blocks; call it from a thread, one at a time.

        Raises:
            OSError: the write failed; what was to be written counts as dropped.
        """
        # What arrives meanwhile is left for the next time: flush must end under load.
        left = len(self._pending)
        while left:
            batch = [self._pending.popleft() for _ in range(min(left, _BATCH_MAX))]
            left -= len(batch)
            try:
                self._write(self._encoder.encode_lines(batch))
            except OSError:
                self.dropped += len(batch)
                raise
