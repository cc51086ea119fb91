"""Changes of the admin API go to custom resources and come back through a real log."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from tests.app.test_desk import member_of
from tests.k8s.cluster import NAMESPACE, FakeCluster, open_cluster
from trioroute.admin.resources.desk import ConflictError, MissingError
from trioroute.admin.resources.vault import EndpointKeys, KeyVault
from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.app.cluster.desk import KubeDesk
from trioroute.app.cluster.opening import Cluster
from trioroute.app.desk import RegistryDesk
from trioroute.app.replicated import RegistryLog
from trioroute.core.model import ContainerSource, Deployment, Endpoint
from trioroute.core.resources.commands import (
    DeleteDeployment,
    DeleteEndpoint,
    PutDeployment,
    PutEndpoint,
    SetKeys,
    SetTraffic,
)
from trioroute.core.status import ClusterStatus
from trioroute.discovery.kube.sources import KubeSources
from trioroute.errors import NoCoordinatorError
from trioroute.spec.written.documents import Document

pytestmark = pytest.mark.slow

GREEN = Deployment(endpoint="iris", name="green", source=ContainerSource(image="i:2"))


def document(kind: str, **content: object) -> str:
    return Document(kind=kind, folder="/", content=content).encode()


PUT_IRIS = PutEndpoint(
    endpoint=Endpoint(name="iris"), document=document("endpoint", name="iris", auth_mode="key")
)
PUT_GREEN = PutDeployment(
    deployment=GREEN,
    document=document(
        "deployment", name="green", endpoint_name="iris", environment={"image": "i:2"}
    ),
)


@attrs.frozen
class Desk:
    """A desk, the fake cluster that it writes to, and whether the coordinator copies."""

    desk: KubeDesk
    cluster: FakeCluster
    copying: trio.CancelScope


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    """A group of one, whose coordinator copies what the fake cluster has."""
    async with open_cluster() as fake, trio.open_nursery() as nursery:
        member, machine = member_of(1)
        await nursery.start(member.run)
        cluster = Cluster((fake.router_api(),), KubeSources({NAMESPACE: fake.source()}))
        vault = KeyVault(b"0123456789abcdef")
        log = RegistryLog(member, machine)
        copyist = cluster.registry(log, vault, lambda: ClusterStatus(reporter="fe-0"))
        inner = RegistryDesk(member, machine.registry, vault=vault, source=None)
        copying = await nursery.start(_copy, copyist.run)
        yield Desk(cluster.desk(inner, member), fake, copying)
        nursery.cancel_scope.cancel()


async def _copy(
    run: Callable[[], Awaitable[None]], *, task_status: trio.TaskStatus[trio.CancelScope]
) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await run()


async def test_an_answered_change_is_in_the_resource_and_in_the_log() -> None:
    async with open_desk() as here:
        desk = here.desk
        await desk.change(PUT_IRIS)
        resource = here.cluster.get("OnlineEndpoint", "iris")
        assert resource is not None
        assert resource["spec"]["auth_mode"] == "key"
        assert desk.state.endpoints["iris"].key_digests
        keys = desk.vault.open("iris", desk.state.sealed_keys["iris"])
        assert keys.primary != keys.secondary
        await desk.change(PUT_GREEN)
        assert "iris/green" in desk.state.deployments
        await desk.change(SetTraffic(endpoint="iris", traffic={"green": 100}))
        assert desk.state.endpoints["iris"].traffic == {"green": 100}
        resource = here.cluster.get("OnlineEndpoint", "iris")
        assert resource is not None
        assert resource["spec"]["traffic"] == {"green": 100}


async def test_keys_are_changed_in_the_log_only() -> None:
    async with open_desk() as here:
        await here.desk.change(PUT_IRIS)
        keys = EndpointKeys.fresh()
        sealed = here.desk.vault.seal("iris", keys)
        await here.desk.change(
            SetKeys(endpoint="iris", key_digests=keys.digests, sealed_keys=sealed)
        )
        assert here.desk.state.endpoints["iris"].key_digests == keys.digests
        await trio.sleep(1.2)  # the coordinator looks again
        assert here.desk.state.endpoints["iris"].key_digests == keys.digests


async def test_what_the_registry_would_refuse_is_never_written() -> None:
    async with open_desk() as here:
        await here.desk.change(PUT_IRIS)
        await here.desk.change(PUT_GREEN)
        await here.desk.change(SetTraffic(endpoint="iris", traffic={"green": 100}))
        with pytest.raises(RefusedError, match="set that to 0 first"):
            await here.desk.change(DeleteDeployment(endpoint="iris", name="green"))
        assert here.cluster.get("OnlineDeployment", "iris-green") is not None
        with pytest.raises(MissingError):
            await here.desk.change(DeleteEndpoint(name="wine"))
        with pytest.raises(ConflictError):
            await here.desk.change(attrs.evolve(PUT_IRIS, expected=0))


async def test_what_no_cluster_could_run_is_refused_with_its_fields() -> None:
    async with open_desk() as here:
        await here.desk.change(PUT_IRIS)
        local = document(
            "deployment",
            name="red",
            endpoint_name="iris",
            environment={"image": "i:1"},
            model={"path": "./model"},
        )
        red = attrs.evolve(GREEN, name="red")
        with pytest.raises(RefusedError, match=r"model\.path: \./model is not in the cluster"):
            await here.desk.change(PutDeployment(deployment=red, document=local))
        assert here.cluster.get("OnlineDeployment", "iris-red") is None


async def test_deleting_deletes_the_resource_and_waits_for_the_log() -> None:
    async with open_desk() as here:
        await here.desk.change(PUT_IRIS)
        await here.desk.change(PUT_GREEN)
        await here.desk.change(DeleteDeployment(endpoint="iris", name="green"))
        assert here.cluster.get("OnlineDeployment", "iris-green") is None
        assert "iris/green" not in here.desk.state.deployments
        await here.desk.change(DeleteEndpoint(name="iris"))
        assert here.desk.state.endpoints == {}


async def test_written_and_not_copied_yet_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trioroute.app.cluster.desk._COPIED_S", 0.2)
    async with open_desk() as here:
        here.copying.cancel()
        with pytest.raises(OutcomeUnknownError, match="it is written to Kubernetes"):
            await here.desk.change(PUT_IRIS)
        assert here.cluster.get("OnlineEndpoint", "iris") is not None


async def test_an_api_server_that_sheds_load_has_written_nothing_and_may_be_asked_again() -> None:
    async with open_desk() as here:
        here.cluster.server.faults.throttle()
        with pytest.raises(NoCoordinatorError, match="Kubernetes refused to write it"):
            await here.desk.change(PUT_IRIS)
        assert here.cluster.get("OnlineEndpoint", "iris") is None
