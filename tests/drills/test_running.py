"""One drill from its first look to its last."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.drills.small_drill import NAMES, WHOLE
from tests.drills.small_system import SmallSystem, SmallWorld
from trioroute.drills import running
from trioroute.drills.catalogue import Deed, drill_named
from trioroute.drills.evidence import Evidence, Whole
from trioroute.drills.running import Rehearsal, Settings
from trioroute.drills.watching import Watcher
from trioroute.drills.world import Target


async def rehearse(
    name: str,
    world: SmallWorld,
    targets: tuple[str, ...],
    *,
    stop_after_s: float = 1e3,
    lasts_s: float = 1.0,
) -> tuple[Evidence, list[str]]:
    said: list[str] = []
    began_at = trio.current_time()
    rehearsal = Rehearsal(
        drill_named(name),
        world,
        watcher=Watcher(
            world.system.urls, token=None, since=lambda: trio.current_time() - began_at
        ),
        prober="nobody asked",
        began_at=began_at,
        tell=said.append,
    )
    stop = trio.move_on_after(stop_after_s)
    settings = Settings(lasts_s=lasts_s, rate_per_s=0.0)
    hit = tuple(Target(one, is_replica=one.startswith("r")) for one in targets)
    return await rehearsal.run(hit, WHOLE, settings, stop), said


async def test_a_killed_coordinator_is_followed_to_its_return(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    world = SmallWorld(system)
    seen, said = await rehearse("coordinator", world, ("fe-0",))
    (strike,) = seen.strikes
    assert world.done == ["kill fe-0", "mend"]
    assert (strike.was_coordinator, strike.epoch, strike.successor) == (True, 1, "fe-1")
    assert strike.successor_epoch == 2
    assert strike.back_s is not None
    assert strike.ended_s == strike.at_s > 1.9
    assert seen.after is not None
    assert seen.after.epoch == 2
    assert seen.interrupted == ""
    assert seen.is_undone
    assert said[0] == "SIGKILL to fe-0"
    assert said[1].startswith("fe-1 coordinates, epoch 2 after ")


async def test_a_lasting_fault_is_mended_when_its_time_is_over(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    world = SmallWorld(system)
    seen, said = await rehearse("frozen-replica", world, ("r0",))
    (strike,) = seen.strikes
    assert world.done[:2] == ["freeze r0", "mend"]
    assert strike.ended_s is not None
    assert strike.ended_s - strike.at_s >= 1.0
    assert not strike.was_coordinator
    assert said[:2] == ["froze r0", "mended r0"]


async def test_an_interrupted_drill_mends_what_it_broke(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    world = SmallWorld(system)
    seen, said = await rehearse("frozen-replica", world, ("r0",), stop_after_s=12, lasts_s=1e3)
    assert world.done[-1] == "mend"
    assert seen.interrupted == "interrupted"
    (strike,) = seen.strikes
    assert strike.back_s is None
    assert said[-1] == "interrupted: mended r0; it was not waited for"
    # The fault has an end, which the picture shows, and the front-ends agreed afterwards.
    assert strike.ended_s is not None
    assert strike.at_s < strike.ended_s
    assert seen.after is not None
    assert seen.after.coordinator == "fe-0"


async def test_what_an_interrupted_drill_did_not_look_at_is_not_said(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    world = SmallWorld(system)
    seen, _ = await rehearse("disk-full", world, ("fe-1",), stop_after_s=12, lasts_s=1e3)
    assert [strike.was_felt for strike in seen.strikes] == [None]


async def test_it_ends_when_the_front_ends_agree(
    system: SmallSystem, fast_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(SmallWorld):
        async def mend(self) -> None:
            await super().mend()
            # Whoever was frozen believes in its old office until it has heard of the new one.
            system.changes["coordinator"] = None

    class Watching(Watcher):
        async def whole(self) -> Whole | None:
            found = await super().whole()
            system.changes.clear()
            return found

    monkeypatch.setattr(running, "_AGREE_MAX_S", 1e3)
    monkeypatch.setattr("tests.drills.test_running.Watcher", Watching)
    seen, _ = await rehearse("frozen-replica", Slow(system), ("r0",), stop_after_s=12, lasts_s=1e3)
    assert seen.after is not None
    assert (seen.after.coordinator, seen.after.epoch) == ("fe-0", 1)


async def test_what_does_not_heal_is_said(system: SmallSystem, fast_clock: MockClock) -> None:
    world = SmallWorld(system, leaves=True)
    seen, said = await rehearse("frozen-replica", world, ("r0",), stop_after_s=6.0)
    assert not seen.is_undone
    assert "NOT MENDED: it would not heal" in said


async def test_a_strike_that_fails_ends_the_drill_and_is_told(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    seen, _ = await rehearse("rolling-restart", SmallWorld(system, fails=True), NAMES)
    assert seen.interrupted == "it would not"
    assert seen.strikes == ()


async def test_a_rolling_restart_hits_everyone_in_turn(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    world = SmallWorld(system)
    seen, _ = await rehearse("rolling-restart", world, ("fe-1", "fe-2", "fe-0"))
    assert world.done == ["end fe-1", "end fe-2", "end fe-0", "mend"]
    assert [strike.was_coordinator for strike in seen.strikes] == [False, False, True]
    at: list[Any] = [strike.at_s for strike in seen.strikes]
    assert at == sorted(at)


async def test_its_patience_ends_with_what_is_missing(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    system.down.add("fe-2")
    seen, said = await rehearse("rolling-restart", SmallWorld(system), ("fe-1", "fe-0"))
    # The next one is left alone: it would hit a system that is not whole.
    (strike,) = seen.strikes
    assert strike.target == "fe-1"
    assert strike.missing == ("fe-2 is not ready",)
    assert said[-1] == "not whole after 60 s: fe-2 is not ready"


async def test_a_full_disk_is_felt_by_whoever_ends_of_it(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    class Dull(SmallWorld):
        def identity(self, target: Target) -> str:
            return "the same"

    for world, was_felt in ((SmallWorld(system), True), (Dull(system), False)):
        seen, _ = await rehearse("disk-full", world, ("fe-1",))
        assert [strike.was_felt for strike in seen.strikes] == [was_felt]


async def test_the_victims_own_next_epoch_is_no_take_over(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    class Stubborn(SmallWorld):
        async def strike(self, deed: Deed, target: Target, *, lasts_s: float) -> None:
            system.move_office(target.name)
            await trio.sleep(1.0)
            system.move_office("fe-2")

    seen, _ = await rehearse("partition", Stubborn(system), ("fe-0",))
    (strike,) = seen.strikes
    assert (strike.successor, strike.successor_epoch, strike.own_epoch) == ("fe-2", 3, 2)
    assert strike.own_epoch_at_s is not None
