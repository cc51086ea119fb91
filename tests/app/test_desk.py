"""The registry changed through a group of real front-ends."""

from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from consensus import Member, MemberConfig, MemoryJournal, PeerAddress
from consensus.memory import MemoryNetwork
from trioroute.admin.resources.desk import ConflictError, MissingError
from trioroute.admin.resources.vault import KeyVault
from trioroute.admin.view import RefusedError
from trioroute.app.desk import RegistryDesk
from trioroute.app.replicated import RegistryMachine
from trioroute.core.model import Deployment, Endpoint, ScriptSource
from trioroute.core.resources.commands import (
    DeleteEndpoint,
    PutDeployment,
    PutEndpoint,
    SetTraffic,
)
from trioroute.discovery.local import LocalReplicaSource
from trioroute.discovery.processes.snapshots import CODE_FOLDER, Snapshots
from trioroute.errors import NoCoordinatorError
from trioroute.spec.written.revision import with_revision

IRIS = PutEndpoint(endpoint=Endpoint(name="iris"), expected=0)


def member_of(count: int) -> tuple[Member, RegistryMachine]:
    names = tuple(f"fe-{n}" for n in range(count))
    machine = RegistryMachine()
    peers = tuple(PeerAddress(name=name, host="127.0.0.1", port=1) for name in names)
    member = Member(
        MemberConfig(name="fe-0", peers=peers, voters=names),
        machine,
        transport=MemoryNetwork().transport("fe-0"),
        journal=MemoryJournal(),
        incarnation=1,
    )
    return member, machine


async def test_a_change_is_applied_here_when_it_is_acknowledged(tmp_path: Path) -> None:
    member, machine = member_of(1)
    desk = RegistryDesk(member, machine.registry, vault=KeyVault(None), source=None)
    async with trio.open_nursery() as nursery:
        await nursery.start(member.run)
        index = await desk.change(IRIS)
        assert desk.state.versions == {"iris": index}
        with pytest.raises(ConflictError):
            await desk.change(IRIS)
        with pytest.raises(MissingError):
            await desk.change(DeleteEndpoint(name="wine"))
        long = attrs.evolve(IRIS, endpoint=attrs.evolve(IRIS.endpoint, tags={"why": "x" * 40_000}))
        with pytest.raises(RefusedError, match="one change has at most 32,768"):
            await desk.change(long)
        both = {"blue": 100}
        with pytest.raises(RefusedError, match="iris/blue"):
            await desk.change(SetTraffic(endpoint="iris", traffic=both))
        assert await desk.last_lines("r0") == ()
        nursery.cancel_scope.cancel()


async def test_without_a_quorum_nothing_is_acknowledged(
    autojump_clock: trio.testing.MockClock,
) -> None:
    member, machine = member_of(3)
    desk = RegistryDesk(member, machine.registry, vault=KeyVault(None), source=None)
    async with trio.open_nursery() as nursery:
        await nursery.start(member.run)
        with pytest.raises(NoCoordinatorError):
            await desk.change(IRIS)
        assert not desk.state.endpoints
        nursery.cancel_scope.cancel()


async def test_code_is_copied_before_its_deployment_is_registered(tmp_path: Path) -> None:
    code = tmp_path / "src"
    code.mkdir()
    (code / "score.py").write_text("one")
    member, machine = member_of(1)
    source = LocalReplicaSource(tmp_path / "data")
    desk = RegistryDesk(member, machine.registry, vault=KeyVault(None), source=source)
    script = ScriptSource(code=str(code), script="score.py")
    blue = with_revision(Deployment(endpoint="iris", name="blue", source=script))
    async with trio.open_nursery() as nursery:
        await nursery.start(member.run)
        await desk.change(IRIS)
        await desk.change(PutDeployment(deployment=blue))
        (code / "score.py").write_text("edited")
        registered = desk.state.deployments[blue.key].source
        assert isinstance(registered, ScriptSource)
        applied = Snapshots(tmp_path / "data" / CODE_FOLDER).ensure(registered)
        assert await trio.Path(applied.code, "score.py").read_text() == "one"
        # What is no longer what its user saw is not registered.
        old = attrs.evolve(registered, revision="old")
        green = attrs.evolve(blue, name="green", source=old)
        with pytest.raises(RefusedError, match="has changed since it was applied"):
            await desk.change(PutDeployment(deployment=green))
        assert "iris/green" not in desk.state.deployments
        nursery.cancel_scope.cancel()
