"""A recorded trace: when requests came, how long each took, how long replicas took to be ready.

Pure. One JSON object a line, in any order; blank lines and lines that begin with `#` are skipped:

* ``{"at": 12.5, "service": 0.08}``: a request came at 12.5 s, on any clock, and held a slot 0.08 s;
* ``{"ready": 3.1}``: a replica was ready 3.1 s after it was asked for, of the ``endpoint`` and
  ``deployment`` that the line names, or of whichever there is;
* a line of the access log (`trioroute up --access-log FILE`), which says the same as the first and
  more. Requests that no replica answered are given the mean service time of the others.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from trioroute.core.model import deployment_key
from trioroute.errors import ConfigError

__all__ = ["Trace", "TracedRequest", "parse_trace"]


@attrs.frozen
class TracedRequest:
    """One request; seconds, the first comes at 0."""

    arrived_at: float
    service_s: float


@attrs.frozen
class Trace:
    """What was recorded of one deployment.

    Attributes:
        requests: by arrival.
        ready_times_s: of replicas, in the order recorded; empty when none was.
        guessed: requests whose service time is the others' mean.
    """

    requests: tuple[TracedRequest, ...]
    ready_times_s: tuple[float, ...] = ()
    guessed: int = 0


def parse_trace(lines: Iterable[str], *, name: str, deployment: str | None = None) -> Trace:
    """Read a trace.

    Args:
        name: of the file, for messages.
        deployment: `ENDPOINT/DEPLOYMENT` to take from an access log.

    Raises:
        ConfigError: a line is none of the three kinds, or there is nothing to replay.
    """
    reader = _Reader(name, deployment)
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            reader.take(number, text)
    return reader.trace()


class _Reader:
    def __init__(self, name: str, deployment: str | None) -> None:
        self._name = name
        self._deployment = deployment
        self._requests: list[tuple[float, float | None]] = []
        self._ready_times: list[tuple[str, float]] = []
        self._seen: set[str] = set()

    def take(self, number: int, text: str) -> None:
        """One line."""
        try:
            record = json.loads(text)
        except ValueError as error:
            raise self._wrong(number, f"not JSON: {error}") from None
        if not isinstance(record, dict):
            raise self._wrong(number, "expected a JSON object")
        if "ready" in record:
            name = record.get("deployment") or ""
            key = name and deployment_key(record.get("endpoint") or "", name)
            self._ready_times.append((key, self._seconds(number, record, "ready")))
        elif "at" in record:
            at, service = (self._number(number, record, "at"), record.get("service"))
            taken = None if service is None else self._seconds(number, record, "service")
            self._requests.append((at, taken))
        elif "ts" in record and "total_s" in record:
            self._take_access(number, record)
        else:
            expected = '{"at": s, "service": s}, {"ready": s} or a line of the access log'
            raise self._wrong(number, f"expected {expected}")

    def trace(self) -> Trace:
        """What has been read."""
        if self._deployment is None and len(self._seen) > 1:
            names = ", ".join(sorted(self._seen))
            raise ConfigError(f"{self._name} has several deployments: name one of {names}")
        if not self._requests:
            among = f" of {self._deployment}" if self._deployment else ""
            known = f"; it has {', '.join(sorted(self._seen))}" if self._seen else ""
            raise ConfigError(f"{self._name} has no request{among}{known}")
        known_s = [service_s for _, service_s in self._requests if service_s is not None]
        if not known_s:
            raise ConfigError(f"{self._name} has no request with a service time")
        mean_s = math.fsum(known_s) / len(known_s)
        kept = ("", self._deployment or next(iter(self._seen), ""))
        first_at = min(at for at, _ in self._requests)
        requests = [
            TracedRequest(at - first_at, mean_s if service_s is None else service_s)
            for at, service_s in self._requests
        ]
        return Trace(
            requests=tuple(sorted(requests, key=lambda request: request.arrived_at)),
            ready_times_s=tuple(each for key, each in self._ready_times if key in kept),
            guessed=len(requests) - len(known_s),
        )

    def _take_access(self, number: int, record: Mapping[str, Any]) -> None:
        endpoint, deployment = record.get("endpoint") or "", record.get("deployment") or ""
        if not deployment:
            return  # it was answered before it was routed: no deployment's load
        key = deployment_key(endpoint, deployment)
        self._seen.add(key)
        if self._deployment not in (None, key):
            return
        at, total_s = self._number(number, record, "ts"), self._seconds(number, record, "total_s")
        before_s = sum(float(record.get(each) or 0.0) for each in ("queue_s", "route_s"))
        was_served = bool(record.get("replica")) and bool(record.get("upstream_s"))
        self._requests.append((at, max(0.0, total_s - before_s) if was_served else None))

    def _seconds(self, number: int, record: Mapping[str, Any], field: str) -> float:
        value = self._number(number, record, field)
        if value < 0:
            raise self._wrong(number, f'"{field}" must be seconds, 0 or more, not {value:g}')
        return value

    def _number(self, number: int, record: Mapping[str, Any], field: str) -> float:
        value = record[field]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise self._wrong(number, f'"{field}" must be a number of seconds, not {value!r}')
        return float(value)

    def _wrong(self, number: int, what: str) -> ConfigError:
        return ConfigError(f"{self._name}:{number}: {what}")
