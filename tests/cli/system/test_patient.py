"""Nobody to ask is no status; else the coordinator's."""

from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import running_admin
from trioroute.cli.system.patient import Patient
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System


def test_its_status_is_that_of_its_system() -> None:
    assert Patient(data=None).status() is None
    with running_admin(SmallView()) as url:
        client = ResourceClient(System(admin_urls=(url,)))
        status = Patient(data=None, client=client).status()
    assert status is not None
    assert status.coordinator == STATUS.coordinator
