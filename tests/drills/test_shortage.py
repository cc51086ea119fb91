"""Which deployments may run out of slots when a front-end is lost."""

import json
from typing import Any

import attrs
import pytest

from tests.drills.small_drill import replica, view, with_deployment
from trioroute.drills.catalogue import drill_named
from trioroute.drills.shortage import Alike, Shortage, gathered, shortages
from trioroute.wire.resources import DeploymentResource, Resources


def registry(document: dict[str, Any] | None = None, name: str = "blue") -> Resources:
    written = "" if document is None else json.dumps({"content": document})
    one = DeploymentResource(
        endpoint="echo",
        name=name,
        resource_version=1,
        generation=1,
        instance_count=2,
        document=written,
    )
    return Resources(index=1, endpoints=(), deployments=(one,))


def found(
    drill: str = "coordinator",
    *,
    count: int = 2,
    wait_ms: int | None = None,
    lasts_s: float = 5.0,
    **document: Any,
) -> list[Shortage]:
    settings = {} if wait_ms is None else {"max_queue_wait_ms": wait_ms}
    settings |= document.pop("request_settings", {})
    seen = view(**with_deployment(count=count))
    written = registry({"request_settings": settings, **document})
    return [*shortages(drill_named(drill), seen, written, lasts_s=lasts_s)]


def told(*short: Shortage) -> Alike:
    (alike,) = gathered(short)
    return alike


def test_fewer_slots_than_front_ends_and_short_waits_are_foretold_with_the_remedy() -> None:
    (short,) = found()
    assert (short.key, short.endpoint) == ("echo/blue", "echo")
    assert (short.slots, short.front_ends, short.wait_s) == (2, 3, 0.5)
    # The longest request by a clock that may run 5 % slow, and until it is noticed.
    assert short.back_s == pytest.approx(5.75)
    assert (
        "echo/blue has 2 slots for 3 front-ends and lets requests wait 500 ms" in told(short).text
    )
    assert "5.8 s later" in told(short).text
    assert (
        "max_queue_wait_ms: 3000 or more (the clocks of waiting requests stand still"
        in told(short).fix
    )
    assert told(short).fix.endswith("more than 3 slots: `trioroute scale echo/blue 4`")
    assert short.over_s > short.back_s
    assert not short.is_borne
    assert "so requests may get 503 queue-timeout until then" in told(short).text


def test_where_requests_may_wait_for_long_enough_they_are_late_only() -> None:
    (borne,) = found(wait_ms=3000)
    assert borne.is_borne
    assert "wait 3,000 ms" in told(borne).text
    assert "so requests may wait until then" in told(borne).text
    assert not found(wait_ms=2500)[0].is_borne


@pytest.mark.parametrize(
    ("drill", "is_short"),
    [
        ("coordinator", True),
        ("front-end", True),
        ("frozen-coordinator", True),
        ("disk-full", True),
        ("replica", False),  # its slots are gone with it, the others' are not
        ("frozen-replica", False),
        ("rolling-restart", False),  # slots are given back first
        ("partition", True),
    ],
)
def test_only_a_front_end_that_cannot_give_its_slots_back_takes_them(
    drill: str, is_short: bool
) -> None:
    assert bool(found(drill)) is is_short


def test_with_more_slots_than_front_ends_the_others_keep_some() -> None:
    assert found(count=3)
    assert found(count=4) == []


def test_waiting_clocks_stand_still_only_when_the_office_changes() -> None:
    (office,) = found("coordinator")
    (follower,) = found("front-end")
    assert follower.enough_s == pytest.approx(follower.back_s)
    assert office.enough_s < follower.enough_s
    assert found("front-end", wait_ms=6000)[0].is_borne


def test_slots_are_back_after_the_longest_request_or_when_the_frozen_one_goes_on() -> None:
    (longer,) = found(request_settings={"request_timeout_ms": 60_000})
    assert longer.back_s == pytest.approx(63.5)
    (stream,) = found(properties={"trioroute.stream_max_s": "100", "trioroute.mount": "/"})
    assert stream.back_s == pytest.approx(105.5)


@pytest.mark.parametrize("drill", ["frozen-coordinator", "partition"])
def test_who_is_heard_again_has_its_slots_until_then(drill: str) -> None:
    (short,) = found(drill, lasts_s=3.0)
    assert short.back_s == pytest.approx(3.5)
    assert found(drill, lasts_s=20.0, wait_ms=10_000)[0].is_borne is False
    (long,) = found(drill, lasts_s=30.0)
    assert "30.5 s later" in told(long).text
    # The figure is less than that, and says why.
    assert "max_queue_wait_ms: 27500 or more" in told(long).fix
    assert "stand still for 5 s of the 30.5 s" in told(long).fix


def test_where_the_office_stays_the_figure_is_the_whole_time() -> None:
    assert "max_queue_wait_ms: 6000 or more and" in told(*found("front-end")).fix


@pytest.mark.parametrize(("per_replica", "enough"), [(1, 4), (3, 2)])
def test_the_number_of_replicas_that_would_be_enough_is_said(per_replica: int, enough: int) -> None:
    replicas = tuple(replica(f"r{number}", slots=per_replica) for number in range(1))
    seen = view(**with_deployment(count=1, replicas=replicas))
    (short,) = shortages(drill_named("coordinator"), seen, registry({}), lasts_s=0)
    assert f"`trioroute scale echo/blue {enough}`" in told(short).fix
    assert f"has {per_replica} slot{'s' if per_replica > 1 else ''} for" in told(short).text


def test_what_gets_no_requests_or_is_not_known_is_left_out() -> None:
    coordinator = drill_named("coordinator")
    calm = view(**with_deployment(count=2, traffic_percent=0))
    assert [*shortages(coordinator, calm, registry({}), lasts_s=0)] == []
    none = view(**with_deployment(count=0))
    assert [*shortages(coordinator, none, registry({}), lasts_s=0)] == []
    two = view(**with_deployment(count=2))
    assert [*shortages(coordinator, two, registry({}, name="green"), lasts_s=0)] == []
    # Registered by a program, without a file: nobody can tell.
    assert [*shortages(coordinator, two, registry(), lasts_s=0)] == []


def test_deployments_that_differ_in_nothing_else_are_told_in_one_sentence() -> None:
    (blue,) = found()
    green = attrs.evolve(blue, key="echo/green", slots=1, replicas_enough=5)
    other = attrs.evolve(blue, key="other/blue")
    both = told(blue, green)
    assert both.text.startswith(
        "echo/blue (2 slots) and echo/green (1 slot) have no more slots than there are front-ends "
        "(3), and let requests wait 500 ms: one front-end may hold all slots of one of them"
    )
    assert both.text.count("queue-timeout") == 1
    assert both.fix.endswith(
        "give each more than 3 slots: `trioroute scale echo/blue 4`, `trioroute scale echo/green 5`"
    )
    assert both.endpoints == ("echo",)
    three = told(blue, green, other)
    assert "echo/blue (2 slots), echo/green (1 slot) and other/blue (2 slots) have" in three.text
    assert three.endpoints == ("echo", "other")
    # Who may wait for longer has another sentence to itself.
    patient = attrs.evolve(green, wait_s=30.0)
    assert [each.shortages for each in gathered([blue, patient, other])] == [
        (blue, other),
        (patient,),
    ]
    assert gathered([]) == ()
