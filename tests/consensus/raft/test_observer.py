"""Front-ends without a vote see everything, propose as others do, and count for nothing."""

import pytest
import trio
import trio.testing

from consensus import NotAcceptedError, Role
from tests.consensus.groups import open_group


async def test_an_observer_applies_what_voters_apply_and_may_propose(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(voters=3, observers=2) as group:
        leader = await group.wait_coordinator(within_s=3)
        await group.lives[leader].member.propose(b"by a voter", timeout_s=1)
        observer = group.lives["fe-4"]
        applied = await observer.member.propose(b"by an observer", timeout_s=1)
        assert applied.result == b"2"
        assert observer.machine.commands == [b"by a voter", b"by an observer"]
        assert observer.member.office == group.lives[leader].member.office
        statistics = observer.member.statistics()
        assert (statistics.role, statistics.leader) == (Role.OBSERVER, leader)


async def test_one_voter_and_one_observer_are_a_group(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(voters=1, observers=1) as group:
        assert await group.wait_coordinator(within_s=3) == "fe-0"
        applied = await group.lives["fe-1"].member.propose(b"x", timeout_s=1)
        assert applied.result == b"1"


async def test_an_observer_that_starts_late_gets_a_snapshot(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(voters=1, observers=1, compact_entries=10) as group:
        await group.wait_coordinator(within_s=3)
        await group.kill("fe-1")
        commands = [b"x" * 9000 + b"%d" % number for number in range(50)]  # several chunks
        for command in commands:
            await group.lives["fe-0"].member.propose(command, timeout_s=1)
        await group.start("fe-1")
        await group.lives["fe-1"].member.wait_applied_beyond(50)
        await trio.sleep(1)
        assert group.lives["fe-1"].machine.commands == commands


async def test_an_observer_leaves_a_voter_that_is_cut_off(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It followed fe-0; the others go on without fe-0, and so does the observer."""
    async with open_group(voters=3, observers=1) as group:
        await group.wait_coordinator(within_s=3)
        group.network.isolate("fe-0", ["fe-1", "fe-2"])
        await trio.sleep(2)
        proposer = group.lives["fe-1"].member
        applied = await proposer.propose(b"without fe-0", timeout_s=1)
        observer = group.lives["fe-3"]
        with trio.fail_after(1):
            await observer.member.wait_applied_beyond(applied.index - 1)
        assert observer.machine.commands == [b"without fe-0"]


async def test_observers_do_not_count_for_the_quorum(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(voters=3, observers=2) as group:
        leader = await group.wait_coordinator(within_s=3)
        for name in ("fe-0", "fe-1", "fe-2"):
            if name != leader:
                await group.kill(name)
        await trio.sleep(2)
        assert group.coordinator() is None
        with pytest.raises(NotAcceptedError):
            await group.lives["fe-4"].member.propose(b"x", timeout_s=1)
