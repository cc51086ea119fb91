"""The drill's own requests: to whom, what, how many a second, and what became of each.

Open load (`demo.load`): each request is due at a time of its own, so a system that stalls does not
look well because nobody asked it meanwhile.
"""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from trioroute.client.resources import ResourceClient
from trioroute.client.scoring import prepare
from trioroute.demo.load import Clients, Record, run_load
from trioroute.demo.scoring import BrokenConnectionError, ScoringTarget
from trioroute.drills.evidence import Probe, Request
from trioroute.drills.written import patience_of
from trioroute.errors import TrioRouteError
from trioroute.wire.resources import Resources

__all__ = [
    "Prober",
    "find_body",
    "longest_wait_s",
    "open_prober",
    "pick_rate",
    "probe_of",
    "request_of",
]

#: Enough connections that each front-end surely has some.
_CONNECTIONS: Final = 24
#: Requests one after the other, to learn how long one takes.
_SAMPLES: Final = 5
#: More proves nothing and may hurt; fewer see too little of a gap.
_RATE_MAX_PER_S: Final = 40.0
_RATE_MIN_PER_S: Final = 2.0
#: Of the slots that may be used, so much is taken: others' load may rise meanwhile.
_CAUTION: Final = 0.5
_OK: Final = 200
_BEARER: Final = "Bearer "


@attrs.define
class Prober:
    """Connections that are open, and what was sent on them.

    Args:
        target: where and with which credential.
        service_s: what a request takes when nothing is broken, the mean.
        queue_wait_s: how long the endpoint lets one wait; None where its files do not say.
    """

    endpoint: str
    target: ScoringTarget
    service_s: float
    _clients: Clients
    queue_wait_s: float | None = None
    _records: list[Record] = attrs.field(factory=list)

    async def run(self, rate_per_s: float, stop: trio.Event) -> None:
        """Send until told to stop; return when the last request has ended."""
        await run_load(self._clients, rate_per_s=rate_per_s, stop=stop, records=self._records)

    def requests(self, began_at: float) -> tuple[Request, ...]:
        """What became of each, by when it was due.

        Args:
            began_at: the drill's beginning on Trio's clock.
        """
        found = [request_of(record, began_at) for record in self._records]
        return tuple(sorted(found, key=lambda request: request.due_s))

    def close(self) -> None:
        """Close every connection."""
        self._clients.close()


async def open_prober(
    client: ResourceClient, endpoints: Sequence[str], body: Callable[[str], bytes]
) -> Prober | str:
    """Connections to the first endpoint that answers with 200; otherwise why none does.

    Args:
        endpoints: names, in the order in which they are tried.
        body: what to send to an endpoint of this name.
    """
    why = "the system has no endpoint with traffic"
    for endpoint in endpoints:
        opened = await _try_endpoint(client, endpoint, body(endpoint))
        if isinstance(opened, Prober):
            return opened
        why = opened
    return why


def find_body(data: Path | None, endpoint: str) -> bytes:
    """A request that the endpoint understands: the packaged example's own, otherwise `{}`."""
    sample = None if data is None else data / "demo" / endpoint / "request.json"
    return sample.read_bytes() if sample is not None and sample.exists() else b"{}"


def pick_rate(wanted_per_s: float | None, free_slots: float, service_s: float) -> float:
    """Requests a second that leave the system room for what is done to it.

    Args:
        wanted_per_s: what the operator insists on.
        free_slots: slots that may be used besides what others use.
    """
    if wanted_per_s is not None:
        return wanted_per_s
    fitting = _CAUTION * max(free_slots, 0.0) / max(service_s, 1e-3)
    return min(_RATE_MAX_PER_S, max(_RATE_MIN_PER_S, fitting))


def longest_wait_s(registry: Resources, endpoint: str) -> float | None:
    """How long an endpoint's deployments let a request wait; None where no file says it."""
    found = [patience_of(each) for each in registry.deployments if each.endpoint == endpoint]
    return max((patience.wait_s for patience in found if patience is not None), default=None)


def request_of(record: Record, began_at: float) -> Request:
    """One request as evidence."""
    answer = record.answer
    reason = record.error
    if answer is not None:
        reason = answer.fields.get(b"x-trioroute-error", b"").decode(errors="replace")
    return Request(
        due_s=record.due_at - began_at,
        ended_s=record.ended_at - began_at,
        status=0 if answer is None else answer.status,
        reason=reason,
        port=record.port,
        is_under_way=record.is_under_way,
        unsent_s=record.unsent_s,
    )


def probe_of(prober: "Prober | str", rate_per_s: float) -> Probe:
    """What was sent, as evidence."""
    if isinstance(prober, str):
        return Probe(why_not=prober)
    return Probe(
        endpoint=prober.endpoint,
        rate_per_s=rate_per_s,
        service_s=prober.service_s,
        queue_wait_s=prober.queue_wait_s,
    )


async def _try_endpoint(client: ResourceClient, endpoint: str, body: bytes) -> "Prober | str":
    try:
        scoring = await trio.to_thread.run_sync(partial(prepare, client, endpoint))
        registry = await trio.to_thread.run_sync(client.registry)
    except TrioRouteError as error:
        return f"{endpoint}: {error}"
    if not scoring.url.startswith("http://"):
        return f"{endpoint}: requests over TLS are not sent by drills"
    key = scoring.headers.get("authorization", "").removeprefix(_BEARER) or None
    target = ScoringTarget(scoring.url + scoring.path, key)
    clients = Clients(target, [body])
    try:
        await clients.open(1)
        took_s = [await _sample(clients) for _ in range(_SAMPLES)]
        await clients.open(_CONNECTIONS - 1)
    except (BrokenConnectionError, _RefusedError) as error:
        clients.close()
        return f"{endpoint} does not answer as it should: {error}"
    wait_s = longest_wait_s(registry, endpoint)
    return Prober(endpoint, target, statistics.mean(took_s), clients, wait_s)


class _RefusedError(Exception):
    """A sample was not answered with 200."""


async def _sample(clients: Clients) -> float:
    record = await clients.send(trio.current_time())
    if record.answer is None or record.answer.status != _OK:
        hint = "name a request that its model takes with --body @FILE"
        raise _RefusedError(f"{record.failure}; {hint}")
    return record.ended_at - record.due_at
