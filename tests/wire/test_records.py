"""Records: what goes into the log comes out of it."""

import attrs
import msgspec
import pytest

from trioroute.core.model import (
    CommandSource,
    Deployment,
    Endpoint,
    Replica,
    RoutingSnapshot,
    ScriptSource,
    Source,
    StaticSource,
)
from trioroute.core.registry import (
    Command,
    FenceHolder,
    MarkClean,
    OpenEpoch,
    PutHomes,
    PutRegistry,
    PutReplicas,
    RegisterHolder,
    Registry,
    Result,
    SettleFormer,
)
from trioroute.wire import records

WIDE = 1 << 900 | 1
SOURCES: dict[str, Source] = {
    "script": ScriptSource(code="/code", script="score.py", environment={"A": "1"}),
    "command": CommandSource(command=("serve", "{port}"), cwd="/"),
    "static": StaticSource(addresses=(("127.0.0.1", 9401),)),
}
DEPLOYMENTS = tuple(
    Deployment(endpoint="iris", name=name, source=source) for name, source in SOURCES.items()
)
ENDPOINT = Endpoint(name="iris", key_digests=(b"\0" * 32,), tags={"n": 1, "deep": {"a": [None]}})
REPLICA = Replica(id="r", deployment="iris/script", host="::1", port=1, slots=901)

COMMANDS: list[Command] = [
    PutRegistry(endpoints=(ENDPOINT,), deployments=DEPLOYMENTS),
    OpenEpoch(epoch=3),
    RegisterHolder(epoch=3, holder="fe-0/0", incarnation=1 << 20),
    MarkClean(epoch=3, holder="fe-0/0", incarnation=1 << 20),
    PutReplicas(epoch=3, deployment="iris/script", replicas=(REPLICA,), ready_times_s=(1.5,)),
    PutHomes(
        epoch=3, deployment="iris/script", homes={"r": {"fe-0/0": WIDE}}, leaving={"r": {"x": 2}}
    ),
    RegisterHolder(epoch=3, holder="fe-0/0", incarnation=1 + (1 << 20)),
    RegisterHolder(epoch=3, holder="x", incarnation=2),
    FenceHolder(epoch=3, holder="x", incarnation=2, reason="silent"),
    PutRegistry(endpoints=(ENDPOINT,), deployments=DEPLOYMENTS[:1]),
    PutRegistry(endpoints=(ENDPOINT,), deployments=DEPLOYMENTS[1:]),
    SettleFormer(epoch=3, deployment="iris/static", index=10),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_command_survives_the_log(command: Command) -> None:
    assert records.decode_command(records.encode_command(command)) == command


def test_the_whole_state_survives_a_snapshot_of_the_log() -> None:
    registry = Registry()
    for index, command in enumerate(COMMANDS, 1):
        assert not registry.apply(command, index).error
    restored = records.decode_state(records.encode_state(registry.state))
    assert restored == registry.state
    assert restored.former["iris/script"].homes == {"r": {"fe-0/0": WIDE}}


def test_a_snapshot_of_the_version_before_says_of_nobody_that_it_followed_a_clean_end() -> None:
    registry = Registry()
    for index, command in enumerate(COMMANDS, 1):
        registry.apply(command, index)
    assert registry.state.orderly
    plain = records.unstructure_record(registry.state)
    del plain["orderly"], plain["forgotten"]
    older = records.decode_state(msgspec.msgpack.encode(plain))
    assert older == attrs.evolve(registry.state, orderly={}, forgotten=None)


def test_a_routing_snapshot_survives_the_hand_down() -> None:
    snapshot = RoutingSnapshot(
        version=7, endpoints=(ENDPOINT,), deployments=DEPLOYMENTS, homes={"r": WIDE}
    )
    packed = records.pack_record(snapshot)
    assert records.unpack_record(packed, RoutingSnapshot) == snapshot


def test_a_result_survives() -> None:
    assert records.decode_result(records.encode_result(Result("no"))) == Result("no")


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\x81\xa2do\xa7Unknown"])
def test_garbage_is_refused_with_words(data: bytes) -> None:
    with pytest.raises(records.RecordError):
        records.decode_command(data)
