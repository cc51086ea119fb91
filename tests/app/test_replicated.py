"""The registry behind consensus: same commands, same bytes; bad commands are values."""

from trioroute.app.replicated import RegistryMachine
from trioroute.core.model import Endpoint
from trioroute.core.registry import OpenEpoch, PutRegistry, RegisterHolder
from trioroute.wire.records import decode_result, encode_command

COMMANDS = [
    encode_command(PutRegistry(endpoints=(Endpoint(name="wine"),), deployments=())),
    encode_command(OpenEpoch(epoch=3)),
    encode_command(RegisterHolder(epoch=3, holder="fe-0/0", incarnation=1)),
]


def machine_after(commands: list[bytes]) -> RegistryMachine:
    machine = RegistryMachine()
    for index, command in enumerate(commands, start=1):
        machine.apply(command, index)
    return machine


def test_equal_histories_make_equal_snapshots() -> None:
    assert machine_after(COMMANDS).snapshot() == machine_after(COMMANDS).snapshot()


def test_a_restored_member_goes_on_like_the_others() -> None:
    first = machine_after(COMMANDS)
    second = RegistryMachine()
    second.restore(first.snapshot())
    later = encode_command(OpenEpoch(epoch=4))

    assert first.apply(later, 4) == second.apply(later, 4)
    assert second.registry.state == first.registry.state
    assert second.registry.state.holders == {"fe-0/0": 1}


def test_an_unreadable_command_is_refused_and_changes_nothing() -> None:
    machine = machine_after(COMMANDS)
    before = machine.snapshot()

    result = decode_result(machine.apply(b"\xc1 garbage", 4))

    assert "cannot be read" in result.error
    assert machine.snapshot() == before


def test_a_command_of_an_older_epoch_is_refused() -> None:
    machine = machine_after(COMMANDS)
    assert (
        "epoch 2 is over"
        in decode_result(machine.apply(encode_command(OpenEpoch(epoch=2)), 4)).error
    )


def test_an_empty_snapshot_is_the_beginning() -> None:
    machine = machine_after(COMMANDS)
    machine.restore(b"")
    assert machine.registry.state.index == 0
