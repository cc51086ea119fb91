"""The processes of an `up` as a world to drill: found by its folder, and nobody else's touched."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.drills.local.test_wounds import state_of
from trioroute.client.local import started_at
from trioroute.drills.catalogue import Deed
from trioroute.drills.local.post import lock_drills
from trioroute.drills.local.system import LocalWorld
from trioroute.drills.world import Target, WorldError

#: As `up` looks from outside: a front-end with a worker, and a model server behind its leash.
UP = """
import subprocess, sys
child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
peers = ["--peers", "fe-0=127.0.0.1:7001,fe-1=127.0.0.1:7002"]
for words in ([*peers, "fe-0"], ["leash"]):
    print(subprocess.Popen([sys.executable, "-c", child, *words]).pid, flush=True)
input()
"""


@attrs.frozen
class Processes:
    data: Path
    front_end: int
    leash: int


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Processes]:
    with subprocess.Popen(
        [sys.executable, "-c", UP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as popen:
        assert popen.stdout is not None
        front_end, leash = (int(popen.stdout.readline()) for _ in range(2))
        own(tmp_path, popen.pid)
        (tmp_path / "fe-0").mkdir()
        own(tmp_path / "fe-0", front_end)
        summary = {"pid": popen.pid, "admin_urls": {"fe-0": "http://x", "fe-1": "http://y"}}
        (tmp_path / "up.json").write_text(json.dumps(summary))
        wait_for_children(front_end, leash)
        try:
            yield Processes(tmp_path, front_end, leash)
        finally:
            for pid in (*children(front_end), *children(leash), front_end, leash):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            popen.kill()


def own(folder: Path, pid: int) -> None:
    (folder / "lock").write_text(f"{pid} {started_at(pid)}\n")


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def wait_for_children(*pids: int) -> None:
    while not all(children(pid) for pid in pids):
        time.sleep(0.01)


@contextlib.contextmanager
def world_of(up: Processes) -> Iterator[LocalWorld]:
    with lock_drills(up.data) as lock_fd:
        yield LocalWorld.open(up.data, lock_fd)


def test_it_is_found_by_its_folder(up: Processes) -> None:
    with world_of(up) as world:
        assert world.name == f"trioroute up in {up.data}"
        assert list(world.admin_urls) == ["fe-0", "fe-1"]
        assert world.identity(Target("fe-0")).startswith(f"{up.front_end}@")
        assert world.identity(Target("fe-1")) == ""


def test_a_summary_without_its_process_is_no_system(tmp_path: Path) -> None:
    with lock_drills(tmp_path) as lock_fd:
        with pytest.raises(WorldError, match="no `trioroute up` runs"):
            LocalWorld.open(tmp_path, lock_fd)
        (tmp_path / "up.json").write_text('{"pid": 1, "admin_urls": {}}')
        (tmp_path / "lock").write_text("1 12345\n")
        with pytest.raises(WorldError, match="left its summary behind"):
            LocalWorld.open(tmp_path, lock_fd)


def test_strangers_are_not_touched(up: Processes) -> None:
    own(up.data / "fe-0", os.getpid())
    with world_of(up) as world:
        assert "of fe-0 does not descend" in world.objection(Deed.KILL, Target("fe-0"))
        assert "fe-1 does not run just now" in world.objection(Deed.KILL, Target("fe-1"))
        gone = world.objection(Deed.KILL, Target("r0", is_replica=True))
        assert gone == "no process of r0 was found: see `trioroute get replicas`"
        stranger = Target("r1", is_replica=True, pid=os.getppid())
        assert "of r1 does not descend" in world.objection(Deed.KILL, stranger)
        assert "no process" in world.objection(Deed.KILL, Target("r1", is_replica=True))


async def test_a_killed_front_end_is_gone(up: Processes) -> None:
    with world_of(up) as world:
        await world.strike(Deed.KILL, Target("fe-0"), lasts_s=1)
        while started_at(up.front_end) != "gone":
            time.sleep(0.01)  # noqa: ASYNC251
        with pytest.raises(
            WorldError, match=r"fe-0 does not run just now: wait .*fe-0\.log says why"
        ):
            await world.strike(Deed.KILL, Target("fe-0"), lasts_s=1)


async def test_of_a_replica_the_model_server_is_hit_and_not_its_leash(up: Processes) -> None:
    (server,) = children(up.leash)
    with world_of(up) as world:
        target = Target("r1", is_replica=True, pid=up.leash)
        await world.strike(Deed.FREEZE, target, lasts_s=30)
        assert state_of(server) == "T"
        assert state_of(up.leash) != "T"
        await world.mend()
        assert state_of(server) != "T"


async def test_a_frozen_front_end_stands_still_with_all_its_processes(up: Processes) -> None:
    with world_of(up) as world:
        await world.strike(Deed.FREEZE, Target("fe-0"), lasts_s=30)
        family = [up.front_end, *children(up.front_end)]
        assert [state_of(pid) for pid in family] == ["T", "T"]
        await world.mend()
        await world.mend()  # nothing left is fine
        assert "T" not in [state_of(pid) for pid in family]


def test_a_disk_that_is_not_its_own_is_not_filled(up: Processes) -> None:
    with world_of(up) as world:
        assert "shares its file system" in world.objection(Deed.FILL, Target("fe-0"))


def test_the_cut_knows_where_peers_are_taken(up: Processes) -> None:
    with world_of(up) as world:
        assert world._peer_ports("fe-0") == [7001, 7002]
