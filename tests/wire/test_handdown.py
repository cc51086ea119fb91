"""The hand-down's messages survive their frames, whatever the pieces they arrive in."""

import pytest

from trioroute.core.model import (
    AuthMode,
    CommandSource,
    CoordinatorAddress,
    Deployment,
    Endpoint,
    Replica,
    RoutingSnapshot,
    StaticSource,
)
from trioroute.wire.frames import FrameError, encode_frame
from trioroute.wire.handdown import (
    Drain,
    LinkState,
    Ready,
    Snapshot,
    Stats,
    Stop,
    down_decoder,
    up_decoder,
)
from trioroute.wire.records import RecordError

ROUTING = RoutingSnapshot(
    version=7,
    endpoints=(
        Endpoint(
            name="wine",
            auth_mode=AuthMode.KEY,
            traffic={"blue": 90, "green": 10},
            key_digests=(b"\x00\xff" * 16,),
        ),
    ),
    deployments=(
        Deployment(
            endpoint="wine", name="blue", source=StaticSource(addresses=(("127.0.0.1", 9401),))
        ),
        Deployment(
            endpoint="wine", name="green", source=CommandSource(command=("serve",), cwd="/srv")
        ),
    ),
    replicas=(Replica(id="r1", deployment="wine/blue", host="127.0.0.1", port=9401, slots=70),),
    homes={"r1": (1 << 69) | 1},
    coordinator=CoordinatorAddress(name="fe-1", epoch=3, host="127.0.0.1", port=7946),
)


def test_every_message_down_is_read_as_sent_in_single_bytes() -> None:
    sent = [Snapshot.of(ROUTING), Drain(timeout_s=2.5), Stop()]
    decoder = down_decoder()
    stream = b"".join(encode_frame(message) for message in sent)

    received = [message for byte in stream for message in decoder.feed(bytes([byte]))]

    assert received == sent
    snapshot = received[0]
    assert isinstance(snapshot, Snapshot)
    assert snapshot.routing() == ROUTING


def test_every_message_up_is_read_as_sent() -> None:
    sent = [Ready(), Stats.of(ROUTING), LinkState(connected=True, epoch=4)]

    received = up_decoder().feed(b"".join(encode_frame(message) for message in sent))

    assert received == sent
    stats = received[1]
    assert isinstance(stats, Stats)
    assert stats.counts(RoutingSnapshot) == ROUTING


def test_a_message_of_the_other_direction_is_refused() -> None:
    with pytest.raises(FrameError):
        down_decoder().feed(encode_frame(Ready()))


def test_a_snapshot_that_holds_something_else_is_refused() -> None:
    with pytest.raises(RecordError):
        Snapshot(b"\xc1").routing()


def test_equal_pictures_make_equal_messages() -> None:
    """The supervisor leaves out a snapshot that says nothing new."""
    assert Snapshot.of(ROUTING) == Snapshot.of(ROUTING)
