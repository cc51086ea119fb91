"""The plan: from what stands to what is wished, and never more than that."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.found import FoundState
from trioroute.core.model import CommandSource, Deployment, StaticSource
from trioroute.discovery.processes.plan import Plan, Standing, plan_places

OLD = CommandSource(command=("old",), cwd="/")
NEW = CommandSource(command=("new",), cwd="/")

STATES: tuple[FoundState, ...] = ("starting", "running", "backing-off")


def blue(source: CommandSource = NEW) -> Deployment:
    return Deployment(endpoint="e", name="blue", source=source)


def standing(*states: FoundState, source: CommandSource = NEW, first: int = 1) -> list[Standing]:
    return [
        Standing(number, blue(source), f"replica-{number}", state)
        for number, state in enumerate(states, start=first)
    ]


def test_makes_what_is_missing() -> None:
    assert plan_places([(blue(), 3)], standing("running"), ()) == Plan((blue(), blue()), ())


def test_ends_what_serves_least_then_the_youngest() -> None:
    places = standing("running", "running", "starting", "backing-off", "running")
    assert plan_places([(blue(), 4)], places, ()).end == (4,)
    assert plan_places([(blue(), 3)], places, ()).end == (4, 3)
    assert plan_places([(blue(), 2)], places, ()).end == (4, 3, 5)


def test_ends_the_retired_before_all_others() -> None:
    places = standing("running", "running", "backing-off")
    assert plan_places([(blue(), 2)], places, {"replica-1"}).end == (1,)


def test_a_retired_replica_stays_while_the_number_does_not_fall() -> None:
    assert plan_places([(blue(), 1)], standing("running"), {"replica-1"}) == Plan((), ())


def test_ends_deployments_that_are_not_wished() -> None:
    assert plan_places([], standing("running", "starting"), ()).end == (1, 2)


def test_outdated_replicas_stay_until_they_are_named() -> None:
    old = standing("running", "running", source=OLD)
    assert plan_places([(blue(), 2)], old, ()) == Plan((blue(), blue()), ())
    done = [*old, *standing("running", "running", first=3)]
    assert plan_places([(blue(), 2)], done, ()) == Plan((), ())
    assert plan_places([(blue(), 2)], done, {"replica-1"}) == Plan((), (1,))
    assert plan_places([(blue(), 2)], done, {"replica-1", "replica-2"}) == Plan((), (1, 2))


def test_a_deployment_that_goes_back_to_its_old_source_keeps_those_replicas() -> None:
    places = [*standing("running"), *standing("starting", source=OLD, first=2)]
    assert plan_places([(blue(OLD), 1)], places, {"replica-1"}) == Plan((), (1,))


def test_other_settings_than_the_source_replace_nothing() -> None:
    changed = attrs.evolve(blue(), request_timeout_s=1.0, generation=2)
    assert plan_places([(changed, 1)], standing("running"), ()) == Plan((), ())


def test_addresses_are_not_ours_to_start() -> None:
    static = Deployment(
        endpoint="e", name="blue", source=StaticSource(addresses=(("127.0.0.1", 1),))
    )
    assert plan_places([(static, 2)], [], ()) == Plan((), ())


@st.composite
def places_and_counts(draw: st.DrawFn) -> tuple[list[Standing], int, set[str]]:
    states = draw(st.lists(st.sampled_from(STATES), max_size=6))
    sources = draw(
        st.lists(st.sampled_from((OLD, NEW)), min_size=len(states), max_size=len(states))
    )
    places = [
        Standing(number, blue(source), f"replica-{number}", state)
        for number, (state, source) in enumerate(zip(states, sources, strict=True))
    ]
    retire = draw(st.sets(st.sampled_from([p.replica for p in places]))) if places else set()
    return places, draw(st.integers(0, 5)), retire


@given(places_and_counts())
def test_obeying_the_plan_reaches_the_wish_and_stays_there(
    case: tuple[list[Standing], int, set[str]],
) -> None:
    """Once all that is made runs, exactly the wished number stands, all of the wished source."""
    places, count, retire = case
    # What a coordinator does once the new ones are ready and the old ones idle.
    retire |= {place.replica for place in places if place.deployment.source == OLD}
    for _ in range(3):
        plan = plan_places([(blue(), count)], places, retire)
        assert not set(plan.end) - {place.number for place in places}
        first = max((place.number for place in places), default=0) + 1
        made = [
            Standing(number, deployment, f"replica-{number}", "running")
            for number, deployment in enumerate(plan.make, start=first)
        ]
        kept = [place for place in places if place.number not in plan.end]
        places = [attrs.evolve(place, state="running") for place in [*kept, *made]]
    assert [place.deployment.source for place in places] == [NEW] * count
    assert plan_places([(blue(), count)], places, retire) == Plan((), ())
