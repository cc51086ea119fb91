"""Users' changes as custom resources, through the official client."""

from typing import Any

import pytest

from tests.k8s.cluster import IRIS_SPEC, open_cluster
from trioroute.discovery.kube.calls import KubeError
from trioroute.discovery.kube.writer import ResourceWriter
from trioroute.spec.written.documents import Document

pytestmark = pytest.mark.slow


def blue(image: str) -> Document:
    content = {**IRIS_SPEC, "environment": {"image": image}}
    return Document(kind="deployment", folder="/", content=content)


async def test_a_resource_that_describes_it_is_replaced_whatever_its_name() -> None:
    async with open_cluster() as cluster:
        cluster.delete("OnlineDeployment", "iris-blue")
        cluster.make("OnlineDeployment", {"metadata": {"name": "odd"}, "spec": IRIS_SPEC})
        said = await ResourceWriter([cluster.router_api()]).put(blue("i:2"))
        assert (said.name, said.problems) == ("odd", ())
        (only,) = cluster.list("OnlineDeployment")
        assert only["spec"]["environment"] == {"image": "i:2"}


async def test_nothing_to_delete_is_no_fault_and_no_traffic_without_an_endpoint() -> None:
    async with open_cluster() as cluster:
        writer = ResourceWriter([cluster.router_api()])
        await writer.delete("wine/red")
        assert await writer.set_traffic("wine", {"red": 100}, None) is None
        await writer.delete("iris/blue")
        assert cluster.list("OnlineDeployment") == []


async def test_a_status_written_meanwhile_is_no_conflict_and_a_spec_is() -> None:
    async with open_cluster() as cluster:
        api = cluster.router_api()
        replace = api.resources.replace
        changes = ["status", "spec"]

        def replace_after_somebody_else(body: dict[str, Any]) -> dict[str, Any]:
            match changes.pop(0):
                case "status":
                    api.resources.write_status("OnlineDeployment", "iris-blue", {"replicas": 1})
                case _:
                    (live,) = api.resources.list_all("OnlineDeployment")
                    replace({**live, "spec": {**IRIS_SPEC, "instance_count": 7}})
            return replace(body)

        api.resources.replace = replace_after_somebody_else  # type: ignore[method-assign]
        writer = ResourceWriter([api])
        with pytest.raises(KubeError) as raised:
            await writer.put(blue("i:2"))
        assert raised.value.status == 409
        (only,) = cluster.list("OnlineDeployment")
        assert only["spec"]["instance_count"] == 7
        assert only["status"] == {"replicas": 1}, "one conflict was gone over"


async def test_the_rules_of_the_definition_are_the_api_servers_answer() -> None:
    async with open_cluster() as cluster:
        writer = ResourceWriter([cluster.router_api()])
        endpoint = {"name": "iris", "auth_mode": "key", "traffic": {"blue": "much"}}
        with pytest.raises(KubeError) as raised:
            await writer.put(Document(kind="endpoint", folder="/", content=endpoint))
        assert raised.value.status == 422
