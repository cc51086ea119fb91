"""A whole running system of real processes: what faults are done to and what load is offered to."""

import contextlib
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import trio

from chaos.faults import Fault, Need, Target
from chaos.history import FinalRead
from chaos.lines.networks import OUTSIDE, Networks
from chaos.lines.packets import PacketWire
from chaos.processes.clocks import WallClock, fake_clock_library
from chaos.processes.earlier import make_earlier_tree
from chaos.processes.front_ends import FrontEnd, FrontEnds
from chaos.processes.mounts import DOMAIN, Names, mount_small_disk, unmount_small_disk
from chaos.processes.replicas import ReplicaProcess, Replicas
from chaos.workload.clients import Clients, Shape
from chaos.world import Setup
from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.core.auth import digest_of, key_from
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.core.status import ClusterStatus, ReplicaCondition

__all__ = ["CHAT", "ENDPOINT", "MOUNT_NEEDS", "System"]

#: What takes mounts of this process's own.
MOUNT_NEEDS: Final = frozenset({Need.MOUNT, Need.HOSTS_FILE})

ENDPOINT: Final = "work"
CHAT: Final = "chat"

#: Where front-ends tell of themselves.
_TOLD_AT: Final = ("/metrics", "/v1/status")

_START_MAX_S: Final = 60.0
_LOOK_S: Final = 0.15


class System:
    """See the module's docstring. The `Door` of its clients."""

    def __init__(
        self, folder: Path, setup: Setup, *, needs: Collection[Need] = frozenset()
    ) -> None:
        """Lay it out.

        Args:
            needs: of the plan's faults: small disks and names of their own for front-ends (this
                process's mounts are its own then), clocks that can be wrong, packets to lose, a
                network for each (this process's is its own then), a tree of an earlier version.
        """
        has_mounts = bool(MOUNT_NEEDS.intersection(needs))
        self.wire = PacketWire() if Need.PACKETS in needs else None
        names = [f"fe-{number}" for number in range(setup.front_ends)]
        self.names = Names(folder, names) if has_mounts else None
        self.networks = Networks(names) if Need.NETWORKS in needs else None
        self.setup = setup
        self.folder = folder
        self.front_ends = FrontEnds(
            folder,
            names,
            shares_socket=setup.shares_socket,
            domain=DOMAIN if has_mounts else "",
            wire=self.wire,
            networks=self.networks,
            has_lines=setup.has_lines and self.networks is None,
            limits=setup.limits,
        )
        if has_mounts:
            for one in self.front_ends.all.values():
                mount_small_disk(one.data)
        if Need.PATCH in needs:
            make_earlier_tree(self.front_ends.earlier)
        if Need.FAKE_CLOCK in needs:
            self._give_clocks()
        self.replicas = Replicas(
            folder,
            count=setup.replicas,
            processes=setup.replica_processes,
            has_chat=setup.has_chat,
            host=self.networks.address(OUTSIDE) if self.networks else "127.0.0.1",
        )
        self._registrations = 0
        #: All keys that were ever valid; the last one is used.
        self.keys = [key_from(secrets.token_bytes(32))]
        self.clients = Clients(
            self,
            Shape(
                path=f"/api/v1/service/{ENDPOINT}/score",
                chat_path=f"/api/v1/service/{CHAT}/score",
                service_s=setup.service_s,
                deadline_s=setup.deadline_s,
            ),
        )

    def _give_clocks(self) -> None:
        library = fake_clock_library()
        assert library is not None, "probed before"
        for one in self.front_ends.all.values():
            one.clock = WallClock(self.folder / f"{one.name}.clock", library)
            one.environment |= one.clock.environment

    # Where requests go.

    def order(self, number: int) -> list[tuple[str, tuple[str, int]]]:
        """Ready front-ends first, each number beginning at another; then the rest."""
        if self.setup.shares_socket:
            return [("", ("127.0.0.1", self.front_ends.shared_port))]
        every = list(self.front_ends.all.values())
        turned = every[number % len(every) :] + every[: number % len(every)]
        turned.sort(key=lambda one: not one.is_wanted)
        return [(one.name, (one.host, one.scoring_port)) for one in turned]

    def authorization(self) -> str:
        """The newest key."""
        return f"Bearer {self.keys[-1]}"

    @property
    def slots(self) -> dict[str, int]:
        """Every replica's limit."""
        names = self.replicas.names(self.replicas.processes)
        return dict.fromkeys(names, self.setup.slots)

    # Start, wait, read.

    async def start(self, nursery: trio.Nursery) -> None:
        """Start everything and wait until it serves.

        Raises:
            trio.TooSlowError: it does not.
        """
        if self.wire is not None:
            nursery.start_soon(self.wire.run)
        if self.networks is not None:
            nursery.start_soon(self.networks.run)
        if self.names is not None:
            nursery.start_soon(self.names.run)
        for line in (*self.front_ends.lines.values(), *self.front_ends.doors.values()):
            nursery.start_soon(line.run)
        for one in self.replicas.processes:
            self.replicas.start(one)
            for line in one.lines:
                nursery.start_soon(line.run)
        with trio.fail_after(_START_MAX_S):
            for one in self.replicas.processes:
                await self.replicas.wait_listening(one)
        for name in self.front_ends.all:
            self.front_ends.start(name)
            nursery.start_soon(self.front_ends.look_after, name)
        with trio.fail_after(_START_MAX_S):
            await self.front_ends.coordinator(patience_s=_START_MAX_S)
            await self.register(self.keys)
            await self.wait_whole()

    async def register(self, keys: Iterable[str], *, ballast_bytes: int = 0) -> None:
        """Put the endpoints and deployments, with these keys valid, through whoever takes it.

        Args:
            ballast_bytes: so many more for every journal to write.
        """
        digests = tuple(digest_of(key) for key in keys)
        self._registrations += 1
        tags = {"registration": self._registrations, "ballast": "x" * ballast_bytes}
        endpoints = [Endpoint(name=ENDPOINT, traffic={"blue": 100}, key_digests=digests, tags=tags)]
        deployments = [self._deployment(ENDPOINT, self.replicas.ordinary, None)]
        if self.setup.has_chat:
            endpoints.append(Endpoint(name=CHAT, traffic={"blue": 100}, key_digests=digests))
            deployments.append(self._deployment(CHAT, self.replicas.chat, self.setup.chat_max_s))
        while True:
            for one in self.front_ends.all.values():
                with contextlib.suppress(UnreachableError, ProblemAnswerError):
                    await trio.to_thread.run_sync(
                        one.admin().put_registry, tuple(endpoints), tuple(deployments)
                    )
                    return
            await trio.sleep(_LOOK_S)

    def _deployment(
        self, endpoint: str, processes: list[ReplicaProcess], upgrade_s: float | None
    ) -> Deployment:
        return Deployment(
            endpoint=endpoint,
            name="blue",
            source=StaticSource(addresses=self.replicas.lines(processes)),
            slots_per_replica=self.setup.slots,
            request_timeout_s=self.setup.request_timeout_s,
            queue_wait_max_s=self.setup.queue_wait_max_s,
            upgrade_max_s=upgrade_s,
        )

    async def wait_whole(self) -> None:
        """Return when every front-end is ready, knows the coordinator and has all replicas."""
        while True:
            reads = [await self._read(one) for one in self.front_ends.all.values()]
            whole = [read for read in reads if read is not None and self._is_whole(read)]
            offices = {(r.coordinator.name, r.coordinator.epoch) for r in whole if r.coordinator}
            if len(whole) == len(reads) and len(offices) == 1:
                return
            await trio.sleep(_LOOK_S)

    def _is_whole(self, status: ClusterStatus) -> bool:
        ready, wished = _count_ready(status), len(self.slots)
        return (
            status.coordinator is not None
            and ready == wished
            and all(
                row.is_up and not (row.unready_reason or row.isolated) for row in status.front_ends
            )
        )

    async def _read(self, one: FrontEnd) -> ClusterStatus | None:
        if not one.is_wanted:
            return None
        try:
            return await trio.to_thread.run_sync(one.admin().status)
        except (UnreachableError, ProblemAnswerError):
            return None

    async def read_finally(self, probe_count: int) -> FinalRead:
        """What the system says of itself without load, and whether it still serves."""
        failed = []
        for _ in range(probe_count):
            request = await self.clients.send("new")
            if not request.is_ok:
                text = request.reason or request.detail or request.outcome.value
                failed.append(f"#{request.number} at {request.front_end}: {text}")
        # Nobody who can say what runs is as bad as something that runs.
        busy, queued = 1, 1
        with trio.move_on_after(self.setup.deadline_s):
            # In-flight counts reach the status with the next report of each worker.
            while busy or queued:
                busy, queued = await self._busy_and_queued() or (1, 1)
                await trio.sleep(_LOOK_S)
        said = await self.front_ends.status()
        status = said[1] if said else ClusterStatus(reporter="")
        every = self.front_ends.all.values()
        office = status.coordinator
        return FinalRead(
            coordinator=office.name if office else "",
            epoch=office.epoch if office else 0,
            ready=tuple(one.name for one in every if one.is_wanted),
            unready=tuple(one.name for one in every if not one.is_wanted),
            busy=busy,
            queued=queued,
            replicas_ready=_count_ready(status),
            replicas_wished=len(self.slots),
            probes_failed=tuple(failed),
        )

    async def read_told(self) -> dict[str, bytes]:
        """Whatever each front-end tells those who watch it, by its name and path.

        Raises:
            trio.TooSlowError: one of them does not answer for too long.
        """
        told: dict[str, bytes] = {}
        for one in self.front_ends.all.values():
            for path in _TOLD_AT:
                with trio.fail_after(_START_MAX_S):
                    told[f"{one.name} {path}"] = await _ask(one, path)
        return told

    async def _busy_and_queued(self) -> tuple[int, int] | None:
        """What the coordinator knows of it; nobody else does."""
        status = await self._read(self.front_ends.all[await self.front_ends.coordinator()])
        if status is None:
            return None
        rows = [row for endpoint in status.endpoints for row in endpoint.deployments]
        if not rows or any(row.busy is None or row.queued is None for row in rows):
            return None
        return sum(row.busy or 0 for row in rows), sum(row.queued or 0 for row in rows)

    # Whom a fault is done to.

    async def pick(self, target: Target, fault: Fault) -> list[FrontEnd]:
        """The front-ends that a fault's dice and target name now."""
        every = list(self.front_ends.all.values())
        if target is Target.ALL_FRONT_ENDS:
            return every
        coordinator = await self.front_ends.coordinator()
        if target is Target.COORDINATOR:
            return [self.front_ends.all[coordinator]]
        if target is Target.FOLLOWER:
            every = [one for one in every if one.name != coordinator]
        start = int(fault.pick * len(every))
        count = 2 if target is Target.TWO_FRONT_ENDS else 1
        return [every[(start + step) % len(every)] for step in range(count)]

    def pick_replica(
        self, fault: Fault, *, of: list[ReplicaProcess] | None = None
    ) -> ReplicaProcess:
        """The group of model servers that a fault's dice name, of these if any, or of all."""
        processes = of or self.replicas.processes
        return processes[int(fault.pick * len(processes))]

    def end(self) -> None:
        """Kill whatever runs and give back what is held."""
        self.front_ends.end_all()
        self.replicas.end_all()
        if self.names is not None:
            self.names.close()
            for one in self.front_ends.all.values():
                unmount_small_disk(one.data)
        if self.wire is not None:
            self.wire.close()
        if self.networks is not None:
            self.networks.close()


async def _ask(one: FrontEnd, path: str) -> bytes:
    while True:
        with contextlib.suppress(UnreachableError, ProblemAnswerError):
            return await trio.to_thread.run_sync(one.admin().ask, "GET", path)
        await trio.sleep(_LOOK_S)


def _count_ready(status: ClusterStatus) -> int:
    states = [
        replica.state
        for endpoint in status.endpoints
        for deployment in endpoint.deployments
        for replica in deployment.replicas
    ]
    return sum(state is ReplicaCondition.READY for state in states)
