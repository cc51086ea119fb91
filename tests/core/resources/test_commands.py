"""Commands of users as records of the log."""

import pytest

from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.core.resources.commands import (
    DeleteDeployment,
    DeleteEndpoint,
    PutDeployment,
    PutEndpoint,
    ResourceCommand,
    SetKeys,
    SetTraffic,
)
from trioroute.wire.records import decode_command, encode_command

BLUE = Deployment(endpoint="iris", name="blue", source=StaticSource(addresses=(("h", 1),)))


@pytest.mark.parametrize(
    "command",
    [
        PutEndpoint(endpoint=Endpoint(name="iris"), document="{}", sealed_keys=b"a", expected=0),
        PutDeployment(deployment=BLUE, document="{}", expected=3),
        DeleteEndpoint(name="iris"),
        DeleteDeployment(endpoint="iris", name="blue", expected=2),
        SetTraffic(endpoint="iris", traffic={"blue": 100}),
        SetTraffic(endpoint="iris", traffic={}, mirror_traffic={"blue": 10}),
        SetKeys(endpoint="iris", key_digests=(bytes(32),), sealed_keys=b"a"),
    ],
)
def test_a_command_is_the_same_after_the_log(command: ResourceCommand) -> None:
    assert decode_command(encode_command(command)) == command
