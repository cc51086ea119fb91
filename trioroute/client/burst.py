"""Many scoring requests at once, counted and timed: a small check, not a benchmark.

Each of `concurrency` threads keeps one connection and sends the next request when the last one is
answered. Such a load slows down with the system (it is closed), so it finds no overload.
"""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import attrs

from trioroute.client.scoring import Scoring

__all__ = ["Burst", "run_burst"]

_TIMEOUT_S: Final = 310.0
#: Of different answers that were no success, this many are kept word for word.
_SAMPLES_MAX: Final = 3


@attrs.define(kw_only=True)
class Burst:
    """What came of it.

    Attributes:
        statuses: how many answers of each HTTP status; 0 counts those that never came.
        waits_s: of successes only, from sending to the last byte.
        samples: the first answers that were no success.
    """

    statuses: Counter[int] = attrs.field(factory=Counter)
    waits_s: list[float] = attrs.field(factory=list)
    samples: list[str] = attrs.field(factory=list)
    lasted_s: float = 0.0

    @property
    def sent(self) -> int:
        """All requests."""
        return sum(self.statuses.values())

    @property
    def succeeded(self) -> int:
        """Those answered with 2xx."""
        return len(self.waits_s)

    def quantile_s(self, share: float) -> float | None:
        """The wait that this share of the successes did not exceed."""
        if not self.waits_s:
            return None
        waits = sorted(self.waits_s)
        return waits[min(len(waits) - 1, int(share * len(waits)))]

    def summary(self) -> dict[str, object]:
        """As plain values; times in milliseconds."""
        shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "max_ms": 1.0}
        waits = {name: self.quantile_s(share) for name, share in shares.items()}
        return {
            "sent": self.sent,
            "succeeded": self.succeeded,
            "statuses": {str(code): count for code, count in sorted(self.statuses.items())},
            "seconds": round(self.lasted_s, 3),
            "requests_per_s": round(self.sent / self.lasted_s, 1) if self.lasted_s else None,
            **{name: None if w is None else round(1000 * w, 2) for name, w in waits.items()},
            "samples": list(self.samples),
        }


def run_burst(scoring: Scoring, bodies: Sequence[bytes], *, count: int, concurrency: int) -> Burst:
    """Send `count` requests, the bodies in turn.

    Args:
        concurrency: how many at the same time.
    """
    burst = Burst()
    lock = threading.Lock()
    numbers = iter(range(count))

    def run() -> None:
        connection = _connect(scoring.url)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            began = time.perf_counter()
            status, answer = _send(connection, scoring, bodies[number % len(bodies)])
            wait_s = time.perf_counter() - began
            with lock:
                burst.statuses[status] += 1
                if 200 <= status < 300:
                    burst.waits_s.append(wait_s)
                elif len(burst.samples) < _SAMPLES_MAX:
                    burst.samples.append(f"{status}: {answer}" if status else answer)
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(min(concurrency, count))]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    burst.lasted_s = time.perf_counter() - began
    return burst


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)


def _send(connection: http.client.HTTPConnection, scoring: Scoring, body: bytes) -> tuple[int, str]:
    try:
        connection.request("POST", scoring.path, body, dict(scoring.headers))
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        # The next request opens a new connection by itself.
        connection.close()
        return 0, f"no answer: {error}"
