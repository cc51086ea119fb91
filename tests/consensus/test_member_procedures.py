"""The procedures of consensus/README.md: more voters, and a member that lost its disk."""

import pytest
import trio
import trio.testing

from consensus import Journal, MemoryJournal, NotAcceptedError
from consensus.journal.log import Log
from tests.consensus.groups import Group, open_group


def copy_of(journal: Journal) -> MemoryJournal:
    """The folder, copied while nobody runs on it."""
    copied = MemoryJournal()
    copied.log = Log(journal.log.state())
    copied.snapshot = journal.snapshot
    return copied


async def wait_full_members(group: Group) -> None:
    """Until everybody may vote."""
    with trio.fail_after(5):
        while not all(  # noqa: ASYNC110 - statistics post nothing
            life.member.statistics().is_full_member for life in group.lives.values()
        ):
            await trio.sleep(0.05)


async def test_one_voter_becomes_three_becomes_five(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(voters=1) as group:
        leader = await group.wait_coordinator(within_s=3)
        await group.lives[leader].member.propose(b"one", timeout_s=1)
        journals = dict(group.journals)
    journals["fe-1"] = copy_of(journals["fe-0"])
    async with open_group(voters=3, journals=journals) as group:
        leader = await group.wait_coordinator(within_s=3)
        assert group.lives[leader].machine.commands == [b"one"]
        await group.lives[leader].member.propose(b"three", timeout_s=1)
        await wait_full_members(group)
        journals = dict(group.journals)
    async with open_group(voters=5, journals=journals) as group:
        leader = await group.wait_coordinator(within_s=3)
        await group.lives[leader].member.propose(b"five", timeout_s=1)
        await wait_full_members(group)
        for life in group.lives.values():
            assert life.machine.commands[:2] == [b"one", b"three"]


async def test_two_blank_members_never_outvote_the_one_that_remembers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Growing 1 to 3 without the copy: the group waits; it does not forget."""
    async with open_group(voters=1) as group:
        leader = await group.wait_coordinator(within_s=3)
        await group.lives[leader].member.propose(b"one", timeout_s=1)
        journals = dict(group.journals)
    async with open_group(voters=3, journals=journals) as group:
        await trio.sleep(20)
        assert group.leaders() == []
        with pytest.raises(NotAcceptedError):
            await group.lives["fe-1"].member.propose(b"x", timeout_s=1)


async def test_a_member_that_lost_its_disk_comes_back_by_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(voters=3, compact_entries=10) as group:
        leader = await group.wait_coordinator(within_s=3)
        commands = [b"%d" % number for number in range(30)]
        for command in commands:
            await group.lives[leader].member.propose(command, timeout_s=1)
        lost = next(name for name in group.names if name != leader)
        await group.kill(lost)
        group.journals[lost] = MemoryJournal()
        await group.start(lost)
        assert not group.lives[lost].member.statistics().is_full_member
        await wait_full_members(group)
        assert group.lives[lost].machine.commands == commands
        assert group.coordinator() == leader
