"""One place: what it shows while its replica is started, lost and replaced."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.discovery.runner_process import deployment, is_alive, running, serving
from trioroute.core.found import FoundReplica, FoundState
from trioroute.core.model import ScriptSource, Source
from trioroute.discovery.processes.logs import read_last_lines
from trioroute.discovery.processes.place import Place, Workshop
from trioroute.discovery.processes.ports import PortChooser
from trioroute.discovery.processes.snapshots import Snapshots
from trioroute.discovery.runtime import RuntimeStore


class World:
    """A workshop that remembers every change of its one place."""

    def __init__(self, folder: Path, source: Source) -> None:
        self.seen: list[FoundReplica] = []
        self._changed = trio.Event()
        ports = PortChooser(random.Random(3))
        # A file stands where the runtimes should be: none can be built.
        (folder / "runtimes").touch()
        store = RuntimeStore(folder / "runtimes")
        workshop = Workshop(store, Snapshots(folder / "code"), ports, folder, self._note)
        self.place = Place(1, deployment(source), workshop)

    def _note(self) -> None:
        self.seen.append(self.place.found)
        self._changed.set()
        self._changed = trio.Event()

    async def wait(self, holds: Callable[[FoundReplica], bool]) -> FoundReplica:
        """The first replica shown, from now on, for which something holds."""
        while not holds(self.place.found):
            changed = self._changed
            await changed.wait()
        return self.place.found

    async def wait_state(self, state: FoundState) -> FoundReplica:
        return await self.wait(lambda found: found.state == state)


@pytest.mark.slow
async def test_shows_each_step_of_a_replica_that_is_told_to_end(tmp_path: Path) -> None:
    world = World(tmp_path, serving())
    assert (world.place.found.state, world.place.found.port) == ("starting", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.place.run)
        found = await world.wait_state("running")
        world.place.end()
        assert world.place.is_ending
        assert world.place.found.state == "stopped"
    assert [each.state for each in world.seen] == ["starting", "running", "stopped"]
    assert found.pid is not None
    assert not is_alive(found.pid)


@pytest.mark.slow
async def test_a_replica_that_dies_is_replaced_under_a_new_id(tmp_path: Path) -> None:
    world = World(tmp_path, running("print('bye')"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.place.run)
        first = await world.wait_state("backing-off")
        second = await world.wait(lambda found: found.restarts == 1)
        nursery.cancel_scope.cancel()
    assert first.pid is None
    assert first.reason.startswith("exited with status 0 after ")
    assert first.reason.endswith(": bye")
    assert first.last_lines == ("bye",)
    assert second.id != first.id
    assert second.last_lines == ()
    # Who saw the first one fail may ask what it printed when the second is there already.
    printed = world.place.find_log(first.id)
    assert printed is not None
    assert read_last_lines(printed) == ("bye",)
    assert world.place.find_log("unknown") is None


@pytest.mark.slow
async def test_logs_of_a_crash_loop_do_not_pile_up(tmp_path: Path) -> None:
    world = World(tmp_path, running("print('bye')"))
    # Real processes on the real clock: the pauses are made short instead.
    world.place._backoff.first_s = world.place._backoff.max_s = 0.01
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.place.run)
        await world.wait(lambda found: found.restarts == 6)
        nursery.cancel_scope.cancel()
    assert len(list(await trio.Path(tmp_path).glob("*.log"))) <= 5


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (ScriptSource(code="/none", script="s.py"), "no runtime can be kept in"),
        (ScriptSource(code="/none", script="s.py", python="python3"), "scoring script /none/s.py"),
        (ScriptSource(code="/none", script="s.py", conda_file="/none/c.yml"), "conda file"),
    ],
)
async def test_what_cannot_be_started_is_told_and_tried_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, source: Source, reason: str
) -> None:
    world = World(tmp_path, source)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.place.run)
        found = await world.wait(lambda found: found.restarts == 3 and bool(found.reason))
        nursery.cancel_scope.cancel()
    assert found.state == "backing-off"
    assert found.reason.startswith(reason)
    assert (found.failures, found.last_failure) == (3, found.reason), "of those before it"
    # Pauses of at least half of 0.5, 1 and 2 seconds.
    assert trio.current_time() >= 1.75
