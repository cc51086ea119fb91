"""What a front-end says of itself, also before anything is agreed on."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from consensus import Member, MemberConfig, MemoryJournal, PeerAddress, boottime
from consensus.memory import MemoryNetwork
from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.app.replicated import RegistryLog, RegistryMachine
from trioroute.app.routing.readiness import Readiness
from trioroute.app.settings import ClusterSettings, FrontEndConfig
from trioroute.app.view import FrontEndView
from trioroute.app.workers import Seat
from trioroute.coordinator.service import Coordinator
from trioroute.core.found import FoundReplica
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.core.registry import PutReplicas
from trioroute.core.slots.timings import SlotTimings
from trioroute.core.status import ReplicaCondition, Role
from trioroute.discovery.static import StaticReplicaSource
from trioroute.errors import NoCoordinatorError
from trioroute.telemetry.recording import Recorder, WorkerStats
from trioroute.wire.records import encode_command

PEERS = tuple(PeerAddress(name=f"fe-{n}", host="127.0.0.1", port=n + 1) for n in range(3))
ENDPOINT = Endpoint(name="wine", traffic={"blue": 100})
DEPLOYMENT = Deployment(
    endpoint="wine", name="blue", source=StaticSource(addresses=(("127.0.0.1", 9),))
)


@attrs.define
class Situation:
    """What the view is told; changed by the tests."""

    view: FrontEndView
    member: Member
    found: list[FoundReplica] = attrs.field(factory=list)
    unready: list[str] = attrs.field(factory=list)
    recorder: Recorder = attrs.field(factory=Recorder)


class CountingSeat(Seat):
    """A place whose worker's counts are the test's."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def worker_stats(self) -> WorkerStats:
        return self.recorder.snapshot()


@asynccontextmanager
async def one_of(count: int, *, cluster: ClusterSettings | None = None) -> AsyncIterator[Situation]:
    """The view of fe-0 in a group of which only fe-0 runs."""
    peers = PEERS[:count]
    voters = tuple(peer.name for peer in peers)
    machine = RegistryMachine()
    member = Member(
        MemberConfig(name="fe-0", peers=peers, voters=voters),
        machine,
        transport=MemoryNetwork().transport("fe-0"),
        journal=MemoryJournal(),
        incarnation=1,
    )
    coordinator = Coordinator(
        RegistryLog(member, machine),
        timings=SlotTimings(),
        clock=boottime,
        open_fixed=StaticReplicaSource,
        processes=None,
    )
    found: list[FoundReplica] = []
    unready: list[str] = []
    recorder = Recorder()
    view = FrontEndView(
        FrontEndConfig(name="fe-0", data=Path("data"), peers=peers, voters=count, cluster=cluster),
        member,
        machine.registry,
        seats=[CountingSeat(recorder)],
        coordinator=coordinator,
        found=lambda: found,
        office_age_s=lambda: None,
        readiness=lambda: Readiness(unready_reason="; ".join(unready)),
        start_unready=lambda: unready.append("draining"),
        kubernetes_problem=lambda: None if cluster is None else "Forbidden: pods",
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(member.run)
        yield Situation(view, member, found, unready, recorder)
        nursery.cancel_scope.cancel()


async def test_alone_in_its_group_it_sees_the_others_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with one_of(3) as situation:
        await trio.sleep(5)
        status = situation.view.status()
    assert status.coordinator is None
    assert [row.is_up for row in status.front_ends] == [True, False, False]
    assert status.front_ends[0].role is not Role.COORDINATOR
    assert len(list(status.problems())) == 3


async def test_without_a_majority_nothing_is_put(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with one_of(3) as situation:
        with pytest.raises((NoCoordinatorError, OutcomeUnknownError)):
            await situation.view.put_registry((ENDPOINT,), (DEPLOYMENT,))


async def test_a_registry_too_long_for_one_change_is_refused_for_good(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with one_of(1) as situation:
        with pytest.raises(RefusedError, match="one change has at most 32,768"):
            await situation.view.put_registry(
                (attrs.evolve(ENDPOINT, tags={"why": "x" * 40_000}),), (DEPLOYMENT,)
            )


async def test_what_was_put_is_shown(autojump_clock: trio.testing.MockClock) -> None:
    async with one_of(1) as situation:
        index = await situation.view.put_registry((ENDPOINT,), (DEPLOYMENT,))
        status = situation.view.status()
    assert status.raft is not None
    assert status.raft.applied_index >= index
    (endpoint,) = status.endpoints
    (deployment,) = endpoint.deployments
    assert (deployment.key, deployment.traffic_percent) == ("wine/blue", 100)
    assert deployment.ready_count == 0
    assert deployment.replicas_max == 1


async def test_how_long_replicas_take_to_be_ready_is_shown_by_whoever_is_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is in the log: nobody need coordinate."""
    async with one_of(1) as situation:
        await situation.view.put_registry((ENDPOINT,), (DEPLOYMENT,))
        times = (9.0, *[3.0] * 9)
        learnt = PutReplicas(epoch=0, deployment="wine/blue", replicas=(), ready_times_s=times)
        told = [situation.view.status().endpoints[0].deployments[0].ready_p90_s]
        await situation.member.propose(encode_command(learnt), timeout_s=5)
        told.append(situation.view.status().endpoints[0].deployments[0].ready_p90_s)
    assert told == [None, 3.0]


async def test_a_registry_that_contradicts_itself_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with one_of(1) as situation:
        with pytest.raises(RefusedError, match="no such endpoint"):
            await situation.view.put_registry((), (DEPLOYMENT,))


async def test_on_kubernetes_the_registry_is_put_by_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with one_of(1, cluster=ClusterSettings(namespaces=("models",))) as situation:
        with pytest.raises(RefusedError, match=r"models say.*kubectl or trioroute apply"):
            await situation.view.put_registry((ENDPOINT,), (DEPLOYMENT,))


async def test_trouble_with_the_kubernetes_api_is_in_the_status(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with one_of(1, cluster=ClusterSettings(namespaces=("models",))) as situation:
        assert situation.view.status().kubernetes_problem == "Forbidden: pods"
    async with one_of(1) as situation:
        assert situation.view.status().kubernetes_problem is None


async def test_a_replica_that_nobody_uses_yet_says_why(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with one_of(1) as situation:
        await situation.view.put_registry((ENDPOINT,), (DEPLOYMENT,))
        situation.found.append(
            FoundReplica(
                id="r1",
                deployment="wine/blue",
                host="127.0.0.1",
                port=0,
                state="backing-off",
                restarts=3,
                reason="exited with status 1",
            )
        )
        status = situation.view.status()
        ((replica,),) = [d.replicas for d in status.endpoints[0].deployments]
    assert replica.state is ReplicaCondition.BACKING_OFF
    assert (replica.restarts, replica.reason, replica.address) == (3, "exited with status 1", "")
    assert [text for text in status.problems() if "wine/blue" in text] == [
        "deployment wine/blue failed and has no ready replica: exited with status 1 "
        "(see trioroute logs wine/blue)"
    ]


async def test_readiness_is_what_it_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with one_of(1) as situation:
        assert situation.view.is_ready() == (True, "serving")
        await situation.view.drain()
        assert situation.view.is_ready() == (False, "draining")
        assert situation.view.status().front_ends[0].unready_reason == "draining"


async def test_only_the_coordinator_can_hand_its_office_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with one_of(3) as situation:
        with pytest.raises(RefusedError, match="fe-0 is not the coordinator; nobody is"):
            await situation.view.transfer_coordinator()


async def test_times_are_those_of_the_last_minute_and_never_below_the_truth(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with one_of(1) as situation, trio.open_nursery() as nursery:
        await situation.view.put_registry((ENDPOINT,), (DEPLOYMENT,))
        nursery.start_soon(situation.view.run_rate)

        async def shown(times_s: Sequence[float]) -> tuple[float | None, ...]:
            await trio.sleep(120)
            for total_s in times_s:
                situation.recorder.record_exchange(
                    endpoint="wine",
                    deployment="blue",
                    status=200,
                    reason="ok",
                    queue_s=0.0,
                    route_s=0.0,
                    upstream_s=total_s - 0.0011,
                    head_s=total_s,
                    total_s=total_s,
                    bytes_in=1,
                    bytes_out=1,
                    attempts=1,
                )
            status = situation.view.status()
            (deployment,) = status.endpoints[0].deployments
            return deployment.p50_s, deployment.p99_s, status.front_ends[0].overhead_p99_s

        # In (100 ms, 120 ms] and (200 ms, 250 ms]: of 110 and 210 nothing below is told.
        assert await shown([0.11] * 60 + [0.21] * 40) == (0.12, 0.25, 0.0012)
        assert await shown([0.001] * 10) == (0.001, 0.001, 0.0012)
        assert await shown([]) == (None, None, None)
        assert situation.view.status().endpoints[0].deployments[0].requests == 110
        nursery.cancel_scope.cancel()
