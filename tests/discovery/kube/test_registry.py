"""Custom resources become the registry, and what runs becomes their status, through a real API."""

from typing import Any

import pytest
import trio

from tests.k8s.cluster import IRIS_SPEC, FakeCluster, open_cluster, wait_until
from tests.k8s.copyist import RegistryOfTest
from trioroute.core.model import ContainerSource
from trioroute.core.registry import HaltCanary
from trioroute.core.resources.commands import PutEndpoint
from trioroute.core.status import DeploymentStatus, ReplicaCondition, ReplicaStatus

pytestmark = pytest.mark.slow

Json = dict[str, Any]


def _resources(cluster: FakeCluster) -> list[Json]:
    return [*cluster.list("OnlineEndpoint"), *cluster.list("OnlineDeployment")]


def _endpoint(**spec: Any) -> Json:
    return {
        "metadata": {"name": "iris"},
        "spec": {"name": "iris", "auth_mode": "key", "traffic": {"blue": 100}, **spec},
    }


async def test_resources_are_copied_and_say_so() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        copyist = RegistryOfTest(cluster)
        nursery.start_soon(copyist.run)
        blue = "OnlineDeployment", "iris-blue"
        await wait_until(lambda: bool(copyist.conditions(*blue)))
        accepted = copyist.conditions(*blue)["Accepted"]
        assert (accepted["status"], accepted["reason"]) == ("False", "EndpointMissing")
        cluster.make("OnlineEndpoint", _endpoint())
        await wait_until(lambda: "iris/blue" in copyist.state.deployments)
        source = copyist.state.deployments["iris/blue"].source
        assert isinstance(source, ContainerSource)
        assert (source.image, source.resource) == ("registry.example/model:1", "iris-blue")
        assert copyist.state.endpoints["iris"].traffic == {"blue": 100}
        assert copyist.state.endpoints["iris"].key_digests, "keys are made with the endpoint"
        await wait_until(lambda: copyist.reason(*blue, "Accepted") == "Accepted")
        await wait_until(lambda: bool(copyist.reason("OnlineEndpoint", "iris", "Ready")))
        serving = copyist.conditions("OnlineEndpoint", "iris")
        assert serving["Ready"]["reason"] == "NoReplica"
        assert all(one["reason"] and one["message"] for one in serving.values())
        copyist.seen["iris/blue"] = DeploymentStatus(
            endpoint="iris",
            name="blue",
            replicas=(ReplicaStatus(id="a", state=ReplicaCondition.READY, slots=1),),
            provisioning_state="Succeeded",
            utilization=0.5,
            slots=1,
        )
        await wait_until(lambda: copyist.reason("OnlineEndpoint", "iris", "Ready") == "Serving")
        await wait_until(lambda: copyist.reason(*blue, "Ready") == "Succeeded")
        status = (cluster.get(*blue) or {})["status"]
        assert (status["utilization"], status["coordinator"]) == ("50%", "fe-0")
        status = (cluster.get("OnlineEndpoint", "iris") or {})["status"]
        assert (status["utilization"], status["coordinator"]) == ("50%", "fe-0")
        # A new coordinator's name is no reason to write at once what is well.
        written = [one["metadata"]["resourceVersion"] for one in _resources(cluster)]
        copyist.office = "fe-1"
        await trio.sleep(1.5)  # another look
        assert [one["metadata"]["resourceVersion"] for one in _resources(cluster)] == written
        nursery.cancel_scope.cancel()


async def test_an_api_that_cannot_be_watched_is_said_until_it_can() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        copyist = RegistryOfTest(cluster)
        nursery.start_soon(copyist.run)
        blue = "OnlineDeployment", "iris-blue"
        await wait_until(lambda: bool(copyist.conditions(*blue)))
        assert copyist.copyist.api_problem == ""
        cluster.server.faults.throttle()
        cluster.server.cut_all()
        await wait_until(lambda: "HTTP 429" in copyist.copyist.api_problem)
        cluster.server.faults.heal()
        await wait_until(lambda: copyist.copyist.api_problem == "")
        copyist.problems["api"] = "Forbidden: pods"
        assert copyist.copyist.api_problem == "Forbidden: pods", "what discovery says counts too"
        nursery.cancel_scope.cancel()


async def test_copying_again_changes_nothing_and_keys_survive_changes() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("OnlineEndpoint", _endpoint())
        first = RegistryOfTest(cluster)
        nursery.start_soon(first.run)
        await wait_until(lambda: len(first.commands) == 2)
        keys = first.state.endpoints["iris"].key_digests
        # Another coordinator, which knows only what the log says.
        second = RegistryOfTest(cluster)
        second.registry = first.registry
        nursery.start_soon(second.run)
        cluster.change("OnlineEndpoint", "iris", lambda old: _with_spec(old, traffic={"blue": 0}))
        await wait_until(lambda: first.state.endpoints["iris"].traffic == {})
        assert first.state.endpoints["iris"].key_digests == keys
        await trio.sleep(1.5)  # another look of both
        puts = [one for one in (*first.commands, *second.commands) if isinstance(one, PutEndpoint)]
        assert len(puts) <= 3
        nursery.cancel_scope.cancel()


async def test_a_halted_canary_is_written_into_its_resource_and_stays_halted() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        green = {"metadata": {"name": "iris-green"}, "spec": {**IRIS_SPEC, "name": "green"}}
        cluster.make("OnlineDeployment", green)
        cluster.make("OnlineEndpoint", _endpoint())
        copyist = RegistryOfTest(cluster)
        nursery.start_soon(copyist.run)
        await wait_until(lambda: len(copyist.state.deployments) == 2)
        risen = {"blue": 50, "green": 50}
        cluster.change("OnlineEndpoint", "iris", lambda old: _with_spec(old, traffic=risen))
        await wait_until(lambda: copyist.state.endpoints["iris"].traffic == risen)
        halt = HaltCanary(
            epoch=0, endpoint="iris", deployment="green", traffic=risen, reason="it fails"
        )
        assert (await copyist.commit(halt)).error == ""
        await wait_until(lambda: _traffic(cluster) == {"blue": 100})
        await wait_until(lambda: "100" in copyist.state.documents["iris"])
        assert copyist.state.endpoints["iris"].traffic == {"blue": 100}
        assert copyist.state.halted["iris"] == {"green": "it fails"}
        # Its operator decides anew, by the same words.
        cluster.change("OnlineEndpoint", "iris", lambda old: _with_spec(old, traffic=risen))
        await wait_until(lambda: copyist.state.endpoints["iris"].traffic == risen)
        assert copyist.state.halted == {}
        nursery.cancel_scope.cancel()


def _traffic(cluster: FakeCluster) -> Json:
    traffic: Json = (cluster.get("OnlineEndpoint", "iris") or {})["spec"]["traffic"]
    return traffic


async def test_what_keeps_a_deployment_from_its_wish_is_its_reason() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("OnlineEndpoint", _endpoint())
        copyist = RegistryOfTest(cluster)
        copyist.problems["iris/blue"] = "instance_type gpu is not known; known: none"
        nursery.start_soon(copyist.run)
        blue = "OnlineDeployment", "iris-blue"
        await wait_until(lambda: copyist.reason(*blue, "Degraded") == "Blocked")
        degraded = copyist.conditions(*blue)["Degraded"]
        assert (degraded["status"], degraded["message"]) == (
            "True",
            "instance_type gpu is not known; known: none",
        )
        nursery.cancel_scope.cancel()


async def test_what_is_refused_leaves_what_serves_and_says_which_field() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("OnlineEndpoint", _endpoint())
        copyist = RegistryOfTest(cluster)
        nursery.start_soon(copyist.run)
        await wait_until(lambda: "iris/blue" in copyist.state.deployments)
        before = copyist.state.deployments["iris/blue"]
        cluster.change(
            "OnlineDeployment",
            "iris-blue",
            lambda old: _with_spec(
                old, code_configuration={"code": "./src", "scoring_script": "score.py"}
            ),
        )
        await wait_until(
            lambda: copyist.reason("OnlineDeployment", "iris-blue", "Accepted") == "Invalid"
        )
        message = copyist.conditions("OnlineDeployment", "iris-blue")["Accepted"]["message"]
        assert "code_configuration.code: ./src is not in the cluster" in message
        assert "serves on" in message
        assert copyist.state.deployments["iris/blue"] == before
        nursery.cancel_scope.cancel()


async def test_of_two_resources_for_one_name_the_older_counts() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("OnlineEndpoint", _endpoint())
        cluster.make(
            "OnlineDeployment",
            {
                "metadata": {"name": "another"},
                "spec": {**IRIS_SPEC, "environment": {"image": "registry.example/model:2"}},
            },
        )
        copyist = RegistryOfTest(cluster)
        nursery.start_soon(copyist.run)
        await wait_until(lambda: bool(copyist.conditions("OnlineDeployment", "another")))
        accepted = copyist.conditions("OnlineDeployment", "another")["Accepted"]
        assert accepted["reason"] == "Duplicate"
        assert "iris-blue describes iris/blue already" in accepted["message"]
        nursery.cancel_scope.cancel()


async def test_deleted_resources_leave_the_registry_even_with_traffic() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("OnlineEndpoint", _endpoint())
        copyist = RegistryOfTest(cluster)
        nursery.start_soon(copyist.run)
        await wait_until(lambda: "iris/blue" in copyist.state.deployments)
        cluster.delete("OnlineDeployment", "iris-blue")
        await wait_until(lambda: not copyist.state.deployments)
        await wait_until(
            lambda: copyist.reason("OnlineEndpoint", "iris", "Ready") == "DeploymentMissing"
        )
        cluster.delete("OnlineEndpoint", "iris")
        await wait_until(lambda: not copyist.state.endpoints)
        nursery.cancel_scope.cancel()


async def test_an_outage_changes_nothing_in_the_registry() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("OnlineEndpoint", _endpoint())
        copyist = RegistryOfTest(cluster)
        nursery.start_soon(copyist.run)
        await wait_until(lambda: "iris/blue" in copyist.state.deployments)
        count = len(copyist.commands)
        cluster.server.faults.throttle()
        cluster.server.cut_all()
        cluster.delete("OnlineDeployment", "iris-blue")
        await trio.sleep(1.5)
        assert "iris/blue" in copyist.state.deployments
        assert len(copyist.commands) == count
        cluster.server.faults.heal()
        await wait_until(lambda: not copyist.state.deployments)
        nursery.cancel_scope.cancel()


def _with_spec(resource: Json, **changes: Any) -> Json:
    return {**resource, "spec": {**resource["spec"], **changes}}
