"""Resources as users see them, without a front-end's help where none answers enough."""

from pathlib import Path

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from tests.client.running_admin import running_admin
from trioroute.client.resources import ResourceClient
from trioroute.client.showing import show_deployments, show_endpoints
from trioroute.client.system import System
from trioroute.core.model import Deployment, Endpoint, StaticSource


def test_what_was_registered_without_a_file_is_shown_too(tmp_path: Path) -> None:
    with running_admin(SmallView(), desk=SmallDesk()) as url:
        client = ResourceClient(System(admin_urls=(url,), scoring_url="http://s"))
        client.put_endpoint(Endpoint(name="echo"))
        source = StaticSource(addresses=())
        client.put_deployment(Deployment(endpoint="echo", name="blue", source=source))
        (endpoint,) = show_endpoints(client)
        (deployment,) = show_deployments(client, "echo")
    assert endpoint["scoring_uri"] == "http://s/api/v1/service/echo/score"
    assert endpoint["openapi_uri"] == "http://s/api/v1/service/echo/swagger.json"
    assert (deployment["name"], deployment["replicas"]) == ("blue", "1/1")
