"""The asynchronous SDK on both event loops, against the real admin API."""

import asyncio
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import attrs
import pytest

import trioroute
from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import listening_port, running_admin
from trioroute.client.errors import ProblemAnswerError
from trioroute.client.resources import NoSuchResourceError
from trioroute.core.status import DeploymentStatus, EndpointStatus
from trioroute.wire.resources import Credentials

BLUE = {
    "name": "blue",
    "endpoint_name": "fraud",
    "instance_type": "any",
    "instance_count": 1,
    "properties": {"trioroute.addresses": "127.0.0.1:9401"},
}


@pytest.fixture
def url() -> Iterator[str]:
    assert STATUS.raft is not None
    row = DeploymentStatus(endpoint="fraud", name="blue", provisioning_state="Succeeded")
    fraud = EndpointStatus(name="fraud", deployments=(row,))
    raft = attrs.evolve(STATUS.raft, applied_index=10**9)
    view = SmallView(current=attrs.evolve(STATUS, endpoints=(fraud,), raft=raft))
    with running_admin(view, desk=SmallDesk()) as found:
        yield found


async def use(url: str) -> None:
    async with trioroute.aio.connect(url) as client:
        await client.online_endpoints.begin_create_or_update({"name": "fraud", "auth_mode": "key"})
        blue = (await client.online_deployments.begin_create_or_update(BLUE)).result()
        assert (blue.name, blue.instance_count) == ("blue", 1)
        assert (await client.endpoints.set_traffic("fraud", {"blue": 100})).new == {"blue": 100}
        endpoint = await client.endpoints.get("fraud")
        endpoint.tags = {"team": "risk"}
        assert (await client.endpoints.update(endpoint)).tags == {"team": "risk"}
        assert [one.name for one in await client.endpoints.list()] == ["fraud"]
        assert [one.name for one in await client.deployments.list("fraud")] == ["blue"]
        assert (await client.deployments.get("blue", "fraud")).name == "blue"
        assert await client.deployments.get_logs("blue", "fraud", 10) == ""
        keys = await client.endpoints.get_keys("fraud")
        assert isinstance(keys, Credentials)
        new = (await client.endpoints.begin_regenerate_keys("fraud")).result()
        assert new.secondary_key == keys.secondary_key
        with pytest.raises(ProblemAnswerError, match="does not use tokens"):
            await client.endpoints.get_token("fraud", ttl_s=60)
        assert (await client.status()).reporter == "fe-0"
        told = [event.summary async for event in client.events()]
        assert told == ["made", "made", "blue 0 → 100", "tags is another"]
        with pytest.raises(NoSuchResourceError, match="did you mean fraud"):
            await client.endpoints.get("frau")
        await client.endpoints.set_traffic("fraud", {})
        await client.deployments.begin_delete("blue", "fraud")
        await client.endpoints.begin_delete("fraud")


def test_it_runs_on_asyncio(url: str) -> None:
    asyncio.run(use(url))


async def test_it_runs_on_trio(url: str) -> None:
    await use(url)


async def test_a_call_that_is_cancelled_does_not_hold_anybody_up() -> None:
    with listening_port(None) as port:
        async with trioroute.aio.connect(f"http://127.0.0.1:{port}") as client:
            # Nobody ever answers there; the thread that asks gives up by itself after 10 s.
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(client.status)
                    await anyio.lowlevel.checkpoint()
                    scope.cancel()
            assert scope.cancelled_caught
