"""A drill with all that belongs to it: checks, the question, announcements, the judgement."""

import os
import signal
from typing import Any

import pytest
from trio.testing import MockClock

from tests.drills.small_drill import with_deployment
from tests.drills.small_system import SmallSystem, SmallWorld
from trioroute.drills.catalogue import drill_named
from trioroute.drills.conducting import Conducted, DrillRefusedError, Wishes, conduct
from trioroute.drills.judging import Verdict
from trioroute.wire.resources import DeploymentResource

WISHES = Wishes(body=lambda _: b"{}")


async def run(
    world: SmallWorld, wishes: Wishes = WISHES, *, answer: bool = True, name: str = "coordinator"
) -> tuple[Conducted, list[str]]:
    asked: list[str] = []

    def ask(plan: str) -> bool:
        asked.append(plan)
        return answer

    client = world.system.client()
    tell = asked.append
    return await conduct(drill_named(name), world, client, wishes, ask=ask, tell=tell), asked


async def test_it_asks_announces_hits_and_judges(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    wishes = Wishes(body=lambda _: b"{}", gap_goal_s=60.0, rate_per_s=10)
    done, said = await run(SmallWorld(system), wishes)
    assert "hits     fe-0" in said[0]
    assert "10 requests a second to echo" in said[0]
    assert [note.subject for note in system.notes] == ["fe-0", "fe-0"]
    assert system.notes[0].summary.startswith("drill coordinator begins: sends SIGKILL")
    assert system.notes[1].summary == f"drill coordinator ends: {done.judgement.verdict.value}"
    verdicts = {finding.id: finding.verdict for finding in done.judgement.findings}
    assert verdicts.pop("recovery") in Verdict  # a matter of time, and the clock is fast
    assert set(verdicts.values()) == {Verdict.PASSED}
    assert not done.is_interrupted


async def test_whoever_says_no_has_nothing_done(system: SmallSystem) -> None:
    world = SmallWorld(system)
    with pytest.raises(DrillRefusedError):
        await run(world, answer=False)
    assert world.done == []
    assert system.notes == []


async def test_a_system_that_is_not_well_is_left_alone_unless_forced(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    world = SmallWorld(system)
    system.changes = with_deployment(replicas_desired=4)
    with pytest.raises(DrillRefusedError, match="3 of 4 replicas ready"):
        await run(world)
    assert world.done == []
    forced = Wishes(body=lambda _: b"{}", is_forced=True, rate_per_s=10)
    done, said = await run(world, forced)
    (objection,) = done.evidence.forced
    assert objection.text == "echo/blue has 3 of 4 replicas ready"
    # Before the plan, and with what to do about it.
    assert said[0].startswith("FORCED: the checks before the drill failed")
    assert f"× {objection.text}\n      → {objection.fix}" in said[0]
    assert said[1].startswith("drill coordinator: ")
    assert "kill fe-0" in world.done


@pytest.mark.parametrize(
    ("world_says", "wanted", "said"),
    [
        ("no right to", "", "cannot be done: no right to"),
        ("", "fe-2", "fe-2 does not coordinate"),
    ],
)
async def test_what_cannot_be_done_is_refused_even_when_forced(
    system: SmallSystem, world_says: str, wanted: str, said: str
) -> None:
    world = SmallWorld(system, why_not=world_says)
    with pytest.raises(DrillRefusedError, match=said):
        await run(world, Wishes(body=lambda _: b"{}", target=wanted, is_forced=True))
    assert world.done == []


async def test_ctrl_c_ends_it_in_order(system: SmallSystem, fast_clock: MockClock) -> None:
    class Interrupting(SmallWorld):
        async def strike(self, *args: object, **options: object) -> None:
            self.done.append("struck")
            os.kill(os.getpid(), signal.SIGINT)

    world = Interrupting(system)
    done, _ = await run(world, name="frozen-replica")
    assert done.is_interrupted
    assert world.done == ["struck", "mend"]
    assert done.judgement.verdict is not Verdict.PASSED
    assert system.notes[-1].summary.startswith("drill frozen-replica ends: ")


async def test_an_announcement_for_an_office_that_is_over_is_made_again(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    system.refusals = 3
    done, said = await run(SmallWorld(system), name="replica")
    assert [note.summary.split(":")[0] for note in system.notes] == [
        "drill replica begins",
        "drill replica ends",
    ]
    assert not any("could not be announced" in line for line in said)
    assert not done.is_interrupted


async def test_whoever_cannot_be_told_of_the_end_hears_of_that(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    class Refusing(SmallWorld):
        async def strike(self, *args: Any, **options: Any) -> None:
            await super().strike(*args, **options)
            self.system.refusals = 10**6

    _, said = await run(Refusing(system), name="replica")
    assert [note.summary.split(":")[0] for note in system.notes] == ["drill replica begins"]
    assert said[-1].startswith("its end could not be announced: TR0809")


def registered(content: str) -> DeploymentResource:
    """The deployment by its file."""
    document = f'{{"content": {content}}}'
    return DeploymentResource("echo", "blue", 1, 1, 3, document=document)


async def test_few_slots_and_long_waits_are_minded(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    system.deployments = (registered('{"request_settings": {"max_queue_wait_ms": 10000}}'),)
    done, said = await run(SmallWorld(system))
    assert "mind     echo/blue has 3 slots for 3 front-ends" in said[0]
    assert "may wait until then" in said[0]
    (mind,) = done.evidence.minds
    assert mind.endpoints == ("echo",)
    assert f"mind     {mind.text}" in said[0]
    assert [strike.short_s for strike in done.evidence.strikes] == [0.0]


async def test_too_few_slots_are_said_beforehand_and_not_held_against_it_when_forced(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    system.deployments = (registered("{}"),)
    world = SmallWorld(system)
    with pytest.raises(DrillRefusedError, match=r"(?s)3 slots for 3 front-ends.*max_queue_wait_ms"):
        await run(world)
    assert world.done == []
    done, said = await run(world, Wishes(body=lambda _: b"{}", is_forced=True, rate_per_s=10))
    assert "× echo/blue has 3 slots for 3 front-ends" in said[0]
    assert [strike.short_s > 5 for strike in done.evidence.strikes] == [True]


@pytest.mark.parametrize(
    ("endpoint", "status", "said"),
    [
        ("ecko", 200, "no endpoint is named ecko: did you mean echo"),
        ("zzz", 200, "no endpoint is named zzz: there is echo"),
        ("echo", 401, "--endpoint echo takes no requests"),
    ],
)
async def test_an_endpoint_that_takes_no_requests_is_refused_before_the_strike(
    system: SmallSystem, endpoint: str, status: int, said: str
) -> None:
    world = SmallWorld(system)
    system.status = status
    with pytest.raises(DrillRefusedError, match=said):
        await run(world, Wishes(body=lambda _: b"{}", endpoint=endpoint, is_forced=True))
    assert (world.done, system.notes) == ([], [])
