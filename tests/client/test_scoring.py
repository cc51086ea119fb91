"""A scoring request without anybody to answer it; the rest is tested with `trioroute invoke`."""

import pytest

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from tests.client.running_admin import running_admin
from trioroute.client.errors import UnreachableError
from trioroute.client.resources import ResourceClient
from trioroute.client.scoring import ScoringFailedError, invoke_endpoint
from trioroute.client.system import System
from trioroute.core.model import Endpoint


def test_nobody_at_the_scoring_address() -> None:
    with running_admin(SmallView(), desk=SmallDesk()) as url:
        client = ResourceClient(System(admin_urls=(url,), scoring_url="http://127.0.0.1:9"))
        client.put_endpoint(Endpoint(name="echo", anonymous=True))
        with pytest.raises(ScoringFailedError, match="no answer") as raised:
            invoke_endpoint(client, "echo", b"{}")
        assert raised.value.answer_status == 0
        with pytest.raises(UnreachableError, match="TRIOROUTE_URL"):
            invoke_endpoint(ResourceClient(System(admin_urls=(url,))), "echo", b"{}")
