"""A worker's data plane alone: slots of its own, static replicas, one anonymous endpoint at `/`.

For this folder's tests, for the black-box corpora and for profiling::

    python -m tests.proxy.standalone --replica 127.0.0.1:9401 --port 9415 --slots 16
"""

import argparse
import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import trio

from trioroute.core.health import Outcome
from trioroute.core.holding.holding import Grant, Wake
from trioroute.core.model import (
    Deployment,
    Endpoint,
    OnAbandon,
    Replica,
    RoutingSnapshot,
    StaticSource,
)
from trioroute.core.slots.priority import Priority
from trioroute.errors import NoReplicaError, QueueWaitExceededError
from trioroute.proxy.admission import Place
from trioroute.proxy.server import ProxyServer
from trioroute.telemetry.access_log import AccessRecord
from trioroute.telemetry.recording import Recorder
from trioroute.wire.http import Limits


class LocalSlots:
    """An `Admission` without a coordinator: all slots of all replicas are here.

    Attributes:
        released: every grant given back, in order.
        failed: the replicas that were reported as failing, and how.
        lease_ends_in: how many more calls of `must_stop_sending` say no; None for all of them.
    """

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._idle = deque(
            Grant(r.deployment, r.id, slot, 1, 0)
            for slot in range(max((r.slots for r in replicas), default=0))
            for r in replicas
            if slot < r.slots
        )
        self._has_replicas = bool(replicas)
        self._waiters: deque[Place] = deque()
        self._number = 0
        self.busy: dict[tuple[str, int], Grant] = {}
        self.released: list[Grant] = []
        self.failed: list[tuple[str, Outcome]] = []
        self.lease_ends_in: int | None = None

    def sort(self) -> None:
        """From now on all idle slots of the first replica come before those of the next."""
        self._idle = deque(sorted(self._idle, key=lambda grant: (grant.replica, grant.slot)))

    def acquire_nowait(self, deployment: str) -> Grant | None:
        """See `Admission`."""
        if not self._idle or self._waiters:
            return None
        return self._take(deployment)

    def acquire_spare(self, deployment: str) -> Grant | None:
        """See `Admission`."""
        return self.acquire_nowait(deployment)

    def join_queue(
        self,
        deployment: str,
        *,
        arrived_at: float,
        deadline: float,
        priority: Priority = Priority.NORMAL,
        size: int = 0,
        go: Callable[[Grant], None] | None = None,
    ) -> Place:
        """See `Admission`."""
        if not self._has_replicas:
            raise NoReplicaError("none")
        self._number += 1
        place = Place(self._number, deployment, trio.current_time(), deadline, go)
        self._waiters.append(place)
        return place

    async def wait(self, place: Place) -> Grant:
        """See `Admission`."""
        try:
            with trio.move_on_at(place.deadline):
                await place.event.wait()
        except BaseException:
            self.leave(place)
            raise
        if place.wake is None or place.wake.grant is None:
            self.leave(place)
            raise QueueWaitExceededError("no slot in time")
        return place.wake.grant

    def leave(self, place: Place) -> None:
        """See `Admission`."""
        if place in self._waiters:
            self._waiters.remove(place)
        elif place.wake is not None and place.wake.grant is not None and not place.has_gone:
            self.release(place.wake.grant)  # cancelled while the slot was on its way

    def release(self, grant: Grant, outcome: Outcome = Outcome.SERVED) -> None:
        """See `Admission`."""
        self.failed += [(grant.replica, outcome)] if outcome is not Outcome.SERVED else []
        held = self.busy.pop((grant.replica, grant.slot))
        assert held == grant, "released twice, or never granted"
        self.released.append(grant)
        self._idle.append(grant)
        if self._waiters:
            place = self._waiters.popleft()
            given = self._take(place.deployment)
            place.wake = Wake(place.number, given, "")
            if place.go is not None:
                place.has_gone = True
                place.go(given)
            place.event.set()

    def must_stop_sending(self, grant: Grant) -> bool:
        """See `Admission`."""
        if self.lease_ends_in is None:
            return False
        self.lease_ends_in -= 1
        return self.lease_ends_in < 0

    def _take(self, deployment: str) -> Grant:
        idle = self._idle.popleft()
        self._number += 1
        grant = Grant(deployment, idle.replica, idle.slot, 1, self._number)
        self.busy[grant.replica, grant.slot] = grant
        return grant


def snapshot_of(
    addresses: Sequence[tuple[str, int]],
    *,
    slots: int = 8,
    endpoint: Endpoint | None = None,
    deployment: Deployment | None = None,
) -> RoutingSnapshot:
    """One endpoint mounted at `/` with one deployment on the given addresses."""
    endpoint = endpoint or Endpoint(name="echo", traffic={"blue": 100}, anonymous=True, mount="/")
    deployment = deployment or Deployment(
        endpoint=endpoint.name,
        name="blue",
        source=StaticSource(addresses=tuple(addresses)),
        slots_per_replica=slots,
        request_timeout_s=10.0,
        queue_wait_max_s=2.0,
        upgrade_max_s=60.0,
    )
    return RoutingSnapshot(
        version=1,
        endpoints=(endpoint,),
        deployments=(deployment,),
        replicas=tuple(
            Replica(id=f"r{i}", deployment=deployment.key, host=host, port=port, slots=slots)
            for i, (host, port) in enumerate(addresses)
        ),
    )


def make_server(
    snapshot: RoutingSnapshot,
    *,
    admission: LocalSlots | None = None,
    limits: Limits | None = None,
    records: list[AccessRecord] | None = None,
    recorder: Recorder | None = None,
) -> ProxyServer:
    """A data plane that routes by `snapshot`; access records are appended to `records`."""
    server = ProxyServer(
        admission=admission or LocalSlots(snapshot.replicas),
        recorder=recorder or Recorder(),
        limits=limits or Limits(),
        name="fe-0",
        worker_index=0,
        access_log=None if records is None else records.append,
    )
    server.apply_snapshot(snapshot)
    return server


def listening_socket(port: int = 0) -> socket.socket:
    """A listening socket on loopback."""
    return socket.create_server(("127.0.0.1", port), backlog=1024)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main() -> None:
    """Serve until interrupted."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("--replica", type=_address, action="append", required=True)
    options.add_argument("--port", type=int, default=9415)
    options.add_argument("--slots", type=int, default=16)
    options.add_argument("--close", action="store_true", help="on_abandon: close")
    given = options.parse_args()
    snapshot = snapshot_of(given.replica, slots=given.slots)
    if given.close:
        import attrs

        deployment = attrs.evolve(snapshot.deployments[0], on_abandon=OnAbandon.CLOSE)
        snapshot = attrs.evolve(snapshot, deployments=(deployment,))
    server = make_server(snapshot)
    sock = listening_socket(given.port)
    print(f"listening on 127.0.0.1:{sock.getsockname()[1]}", flush=True)
    trio.run(partial(server.serve, [sock]))


if __name__ == "__main__":
    main()
