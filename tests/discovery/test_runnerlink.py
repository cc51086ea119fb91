"""The messages between a coordinator and the runner, and the address they meet at."""

import os
import socket
from pathlib import Path

import attrs
import pytest

from trioroute.core.found import FoundReplica
from trioroute.core.model import CommandSource, Deployment, ScriptSource, StaticSource
from trioroute.discovery.runnerlink import (
    Picture,
    Request,
    Response,
    SetDesired,
    socket_address,
)
from trioroute.errors import ControlError
from trioroute.wire.frames import FrameDecoder, encode_frame

BLUE = Deployment(endpoint="e", name="blue", source=CommandSource(command=("x",), cwd="/"))


@pytest.mark.parametrize(
    "source",
    [
        CommandSource(command=("a", "{port}"), cwd="/", environment={"A": "1"}),
        ScriptSource(code="/c", script="s.py", conda_file="/c/conda.yml"),
        StaticSource(addresses=(("127.0.0.1", 1),)),
    ],
)
def test_a_wish_survives_its_way_over_the_socket(
    source: CommandSource | ScriptSource | StaticSource,
) -> None:
    wish = [(attrs.evolve(BLUE, source=source, request_timeout_s=1.5), 3)]
    decoder: FrameDecoder[Request] = FrameDecoder(Request)
    (message,) = decoder.feed(encode_frame(SetDesired.of(1, 2, wish, ["r"])))
    assert isinstance(message, SetDesired)
    assert message.wish() == wish
    assert (message.epoch, message.retire) == (2, ["r"])


def test_a_wish_that_is_no_deployment_is_refused() -> None:
    with pytest.raises(ControlError):
        SetDesired(1, 2, [({"endpoint": "e"}, 1)], []).wish()


def test_a_picture_survives_its_way_over_the_socket() -> None:
    found = FoundReplica(
        id="e-blue-1",
        deployment="e/blue",
        host="127.0.0.1",
        port=20_000,
        pid=7,
        state="backing-off",
        restarts=2,
        reason="exited with status 1",
        last_lines=("one", "two"),
        started_at=1.5,
    )
    decoder: FrameDecoder[Response] = FrameDecoder(Response)
    assert decoder.feed(encode_frame(Picture(3, (found,)))) == [Picture(3, (found,))]


@pytest.mark.parametrize("folder", ["short", "deep" * 30])
def test_the_address_fits_into_a_socket_whatever_the_folder(tmp_path: Path, folder: str) -> None:
    data = tmp_path / folder
    data.mkdir()
    with socket_address(data) as address, socket.socket(socket.AF_UNIX) as listening:
        assert len(os.fsencode(address)) < 108
        listening.bind(address)
        assert (data / "runner.sock").is_socket()
