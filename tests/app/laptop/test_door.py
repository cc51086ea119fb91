"""What `up` waits for, and when it gives up."""

from pathlib import Path

import pytest
import trio
import trio.testing

from tests.app.composed import running_echo, running_group
from trioroute.app.host.ports import reserved_ports
from trioroute.app.laptop.door import AdminDoor, NotReadyError
from trioroute.client.errors import ProblemAnswerError
from trioroute.core.model import Deployment, StaticSource
from trioroute.core.status import (
    ClusterStatus,
    DeploymentStatus,
    EndpointStatus,
    ReplicaCondition,
    ReplicaStatus,
)

READY, STARTING = ReplicaCondition.READY, ReplicaCondition.STARTING
FAILING = ReplicaCondition.BACKING_OFF


class Screen:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def progress(self, text: str) -> None:
        self.said.append(text)


class ScriptedDoor(AdminDoor):
    """Says one status after the other, the last one for ever."""

    def __init__(self, *pictures: tuple[tuple[ReplicaCondition, int, str], ...]) -> None:
        super().__init__({})
        self._pictures = list(pictures)

    async def status(self, name: str | None = None) -> ClusterStatus:
        await trio.lowlevel.checkpoint()
        picture = self._pictures.pop(0) if len(self._pictures) > 1 else self._pictures[0]
        replicas = tuple(
            ReplicaStatus(id=f"r{i}", state=state, slots=1, restarts=restarts, reason=reason)
            for i, (state, restarts, reason) in enumerate(picture)
        )
        deployment = DeploymentStatus(endpoint="wine", name="blue", replicas=replicas)
        endpoint = EndpointStatus(name="wine", deployments=(deployment,))
        return ClusterStatus(reporter="fe-0", endpoints=(endpoint,))


async def test_it_waits_for_as_many_replicas_as_are_wished(
    autojump_clock: trio.testing.MockClock,
) -> None:
    screen = Screen()
    door = ScriptedDoor(
        ((STARTING, 0, ""), (STARTING, 0, "")),
        ((READY, 0, ""), (STARTING, 0, "loads its model")),
        ((READY, 0, ""), (READY, 0, "")),
    )
    status = await door.wait_replicas({"wine/blue": 2}, screen)
    assert status.endpoints[0].deployments[0].ready_count == 2
    assert screen.said == [
        "wine/blue: replicas are starting",
        "wine/blue: loads its model",
    ]


async def test_one_failed_start_is_no_reason_to_give_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = ScriptedDoor(((FAILING, 1, "port taken"),), ((READY, 2, ""),))
    await door.wait_replicas({"wine/blue": 1}, Screen())


async def test_replicas_that_keep_failing_are_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = ScriptedDoor(((FAILING, 2, "no such model"),))
    with pytest.raises(NotReadyError, match="wine/blue does not start: no such model") as raised:
        await door.wait_replicas({"wine/blue": 1}, Screen())
    assert raised.value.replica == "r0"


async def test_a_failing_replica_beside_one_that_serves_holds_nobody_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = ScriptedDoor(((READY, 0, ""), (FAILING, 2, "out of memory")))
    await door.wait_replicas({"wine/blue": 2}, Screen())


async def test_silence_ends_the_wait(autojump_clock: trio.testing.MockClock) -> None:
    door = ScriptedDoor(((STARTING, 0, ""),))
    started_at = trio.current_time()
    with pytest.raises(NotReadyError, match="no progress"):
        await door.wait_replicas({"wine/blue": 1}, Screen())
    assert 180 <= trio.current_time() - started_at < 181


async def test_a_deployment_that_wants_no_replica_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    await ScriptedDoor(()).wait_replicas({"wine/blue": 0}, Screen())


async def test_nobody_at_the_door() -> None:
    with reserved_ports("127.0.0.1", 1) as (port,):
        door = AdminDoor({"fe-0": f"http://127.0.0.1:{port}"})
        assert await door.status() is None
        assert await door.status("fe-0") is None
        assert not await door.is_ready("fe-0")
        with pytest.raises(NotReadyError, match="no front-end took the endpoints"):
            await door.put_registry((), ())


async def test_the_coordinator_is_asked_because_it_knows_most(tmp_path: Path) -> None:
    async with running_echo(tmp_path, 3) as group:
        status = await group.door.status()
    assert status is not None
    assert status.coordinator is not None
    assert status.reporter == status.coordinator.name
    assert status.coordinator.since_s is not None


async def test_a_refusal_is_not_taken_for_silence(tmp_path: Path) -> None:
    async with running_group(tmp_path, 1) as group:
        stray = Deployment(endpoint="none", name="blue", source=StaticSource(addresses=()))
        with pytest.raises(ProblemAnswerError, match="its endpoint is missing"):
            await group.door.put_registry((), (stray,))
