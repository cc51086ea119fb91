"""Each call of the client reaches the operation that it names."""

from collections.abc import Iterator

import pytest

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from tests.client.running_admin import running_admin
from trioroute.client.errors import ProblemAnswerError
from trioroute.client.resources import ResourceClient, deployment_path
from trioroute.client.system import System
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.wire.resources import Credentials

BLUE = Deployment(endpoint="echo", name="blue", source=StaticSource(addresses=(("h", 1),)))


@pytest.fixture
def desk() -> SmallDesk:
    return SmallDesk(lines={"r1": ("hello",)})


@pytest.fixture
def client(desk: SmallDesk) -> Iterator[ResourceClient]:
    with running_admin(SmallView(), desk=desk) as url:
        yield ResourceClient(System(admin_urls=(url,)))


def test_a_life_of_an_endpoint(client: ResourceClient, desk: SmallDesk) -> None:
    keys = Credentials("first", "second")
    assert client.put_endpoint(Endpoint(name="echo"), keys=keys, version=0).is_new
    assert client.put_deployment(BLUE, "{}").resource_version == 2
    assert client.set_traffic("echo", {"blue": 100}).new == {"blue": 100}
    assert client.credentials("echo") == keys
    assert client.regenerate_key("echo", "secondary").primary_key == "first"
    assert client.endpoint("echo").traffic == {"blue": 100}
    assert client.deployment("echo", "blue").document == "{}"
    assert [log.lines for log in client.logs("echo", "blue").items] == [("hello",)]
    client.set_traffic("echo", {}, mirror_traffic={})
    version = client.deployment("echo", "blue").resource_version
    assert client.delete_deployment("echo", "blue", version=version).is_changed
    client.delete_endpoint("echo")
    assert not desk.state.endpoints


def test_a_writer_can_insist_on_a_version(client: ResourceClient) -> None:
    client.put_endpoint(Endpoint(name="echo"))
    with pytest.raises(ProblemAnswerError) as raised:
        client.put_endpoint(Endpoint(name="echo"), version=0)
    assert (raised.value.answer_status, raised.value.code) == (409, "TR0815")


def test_names_cannot_leave_their_place_in_a_path() -> None:
    assert deployment_path("a/../b", "c?d") == "/v1/endpoints/a%2F..%2Fb/deployments/c%3Fd"
