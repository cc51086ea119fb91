"""What is said to be possible here is, and what is missing is named."""

import os

import pytest

from chaos.faults import KINDS, Need
from chaos.lines.kinds import NETWORK_KINDS
from chaos.processes.capabilities import freezer_root, group_root, impossible_kinds, is_possible
from chaos.processes.ways.table import WAYS

EVERY = {kind.name: kind for kind in (*KINDS, *NETWORK_KINDS)}


def test_what_needs_nothing_is_always_possible_and_what_is_missing_is_named() -> None:
    missing = impossible_kinds(iter(WAYS))
    assert EVERY.keys() >= missing.keys()
    for name, kind in EVERY.items():
        if name in missing:
            assert missing[name] == kind.need.value
            assert kind.need is not Need.NOTHING
        else:
            assert is_possible(kind.need)


def test_a_kind_without_a_way_is_not_possible_whatever_the_machine() -> None:
    missing = impossible_kinds(iter(["kill-worker"]))
    assert missing.keys() == EVERY.keys() - {"kill-worker"}
    assert set(missing.values()) == {"a way in this world"}


@pytest.mark.parametrize("controller", ["cpu", "memory", "freezer"])
def test_where_groups_are_said_to_be_made_they_can_be(controller: str) -> None:
    root = freezer_root() if controller == "freezer" else group_root(controller)
    if root is None:
        pytest.skip(f"no writable {controller} cgroup here")
    group = root / f"trioroute-test-{os.getpid()}-{controller}"
    group.mkdir()
    try:
        assert (group / "cgroup.procs").read_text() == ""
        switches = {"cpu": ("cpu.max", "cpu.cfs_quota_us"), "freezer": ("cgroup.freeze",)}
        switches["freezer"] += ("freezer.state",)
        switches["memory"] = ("memory.max", "memory.limit_in_bytes")
        assert any((group / switch).exists() for switch in switches[controller])
    finally:
        group.rmdir()


def test_a_controller_that_no_kernel_has_has_no_groups() -> None:
    assert group_root("no-such-controller") is None
