"""A version that fails while it rises is stopped; one that does not, or had bad luck, is not."""

import random

import attrs
import pytest

from trioroute.core.guards.canary import CanaryHalt, CanaryWatch, Tally, is_guarded
from trioroute.core.model import Endpoint

BOUNDS_S = (0.01, 0.1, 1.0)
BEFORE = {"iris": {"blue": 100}}
BY_ERRORS = Endpoint(name="iris", traffic={"blue": 90, "green": 10}, canary_halt_error_rate=0.05)
BY_TIME = attrs.evolve(BY_ERRORS, canary_halt_error_rate=None, canary_halt_p99_ratio=2.0)


@attrs.define
class Story:
    """Holders that count, and a watch that looks once a second."""

    endpoint: Endpoint = BY_ERRORS
    before: dict[str, dict[str, int]] = attrs.field(factory=lambda: BEFORE)
    watch: CanaryWatch = attrs.field(factory=lambda: CanaryWatch(BOUNDS_S))
    now: float = 0.0
    counts: dict[tuple[str, str], Tally] = attrs.field(factory=dict)

    def second(
        self,
        *,
        green: tuple[int, int] = (0, 0),
        blue: tuple[int, int] = (90, 0),
        green_s: int = 0,
        holder: str = "fe-0/0",
    ) -> list[CanaryHalt]:
        """One second's requests and failures, and what is decided at its end.

        Args:
            green_s: number of the bound below which all of green's requests ended.
        """
        for name, (requests, errors), bucket in (("green", green, green_s), ("blue", blue, 0)):
            durations = tuple(requests if i == bucket else 0 for i in range(len(BOUNDS_S) + 1))
            counted = self.counts.get((holder, name), Tally()).plus(
                Tally(requests, errors, durations)
            )
            self.counts[holder, name] = counted
        mine = {f"iris/{n}": t for (h, n), t in self.counts.items() if h == holder}
        self.watch.observe(holder, mine)
        self.now += 1.0
        return self.watch.judge({"iris": self.endpoint}, self.before, self.now)


def begun(**settings: object) -> Story:
    """The first report is where counting begins."""
    story = Story(**settings)  # type: ignore[arg-type]
    assert story.second() == []
    return story


def seconds_to_halt(story: Story, limit: int = 30, **each: object) -> tuple[int, str] | None:
    for second in range(1, limit + 1):
        halts = story.second(**each)  # type: ignore[arg-type]
        if halts:
            (halt,) = halts
            assert (halt.endpoint, halt.deployment) == ("iris", "green")
            assert halt.traffic == {"blue": 90, "green": 10}
            return second, halt.reason
    return None


def test_a_failing_version_is_halted_after_three_looks() -> None:
    found = seconds_to_halt(begun(), green=(100, 50))
    assert found == (3, "50.0% of 300 requests failed, more than 5.0%")


def test_a_version_that_fails_no_more_than_allowed_is_not() -> None:
    assert seconds_to_halt(begun(), green=(100, 5)) is None


def test_few_requests_say_nothing_and_their_number_grows() -> None:
    assert seconds_to_halt(begun(), green=(1, 1)) == (
        22,
        "100.0% of 22 requests failed, more than 5.0%",
    )


def test_one_bad_second_halts_nobody() -> None:
    story = begun()
    for _ in range(30):
        assert story.second(green=(100, 0)) == []
    assert story.second(green=(100, 100)) == []
    assert seconds_to_halt(story, green=(100, 0)) is None


def test_looks_without_new_requests_do_not_count() -> None:
    story = begun()
    for _ in range(2):
        assert story.second(green=(50, 50)) == []
    for _ in range(10):
        assert story.second(green=(0, 0)) == []
    assert story.second(green=(50, 50)) != []


def test_a_slow_version_is_halted_by_its_p99() -> None:
    found = seconds_to_halt(begun(endpoint=BY_TIME), green=(100, 0), green_s=2)
    assert found is not None
    assert found[0] == 4  # the others have 100 requests by then
    assert "p99 is 0.991 s, more than 2 × the others' 0.0099 s" in found[1]


@pytest.mark.parametrize("requests", [4, 0])
def test_the_hundredth_part_of_few_is_nobody(requests: int) -> None:
    story = begun(endpoint=BY_TIME)
    assert seconds_to_halt(story, 20, green=(requests, 0), green_s=2) is None


def test_a_version_as_fast_as_the_others_is_not_halted() -> None:
    assert seconds_to_halt(begun(endpoint=BY_TIME), green=(100, 0), green_s=0) is None


def test_what_is_beyond_every_bound_counts_as_the_last() -> None:
    assert seconds_to_halt(begun(endpoint=BY_TIME), green=(100, 0), green_s=3) is not None


@pytest.mark.parametrize(
    ("traffic", "before"),
    [
        ({"blue": 90, "green": 10}, {"blue": 80, "green": 20}),  # it falls
        ({"blue": 90, "green": 10}, {"blue": 90, "green": 10}),  # it stays
        ({"green": 100}, {}),  # there was nobody before
        ({"green": 100}, {"green": 50}),
    ],
)
def test_only_who_rises_beside_somebody_is_judged(
    traffic: dict[str, int], before: dict[str, int]
) -> None:
    story = begun(endpoint=attrs.evolve(BY_ERRORS, traffic=traffic), before={"iris": before})
    assert seconds_to_halt(story, green=(100, 100)) is None


def test_without_a_limit_nobody_is_judged() -> None:
    free = attrs.evolve(BY_ERRORS, canary_halt_error_rate=None)
    assert not is_guarded(free)
    assert is_guarded(BY_ERRORS)
    assert is_guarded(BY_TIME)
    assert seconds_to_halt(begun(endpoint=free), green=(100, 100)) is None


def test_what_was_counted_before_the_change_is_not_held_against_it() -> None:
    story = begun(endpoint=attrs.evolve(BY_ERRORS, traffic={"blue": 100}), before={})
    for _ in range(5):
        story.second(green=(100, 100))  # by name, before it had any share
    story.endpoint, story.before = BY_ERRORS, BEFORE
    assert seconds_to_halt(story, green=(100, 0)) is None


def test_all_front_ends_count_together() -> None:
    story = Story()
    holders = [f"fe-{number}/0" for number in range(3)]
    for holder in holders:
        story.second(holder=holder)
    halts = [story.second(green=(3, 1), holder=holders[n % 3]) for n in range(12)]
    assert [bool(found) for found in halts].index(True) == 8  # 21 requests at the seventh


def test_a_holder_that_starts_again_counts_anew() -> None:
    story = begun()
    story.second(green=(1000, 0))
    story.counts.clear()
    found = seconds_to_halt(story, green=(100, 100))
    assert found is not None
    assert "of 1" in found[1]


def test_an_earlier_coordinators_counts_are_over() -> None:
    story = Story(counts={("fe-0/0", "green"): Tally(10_000, 10_000, (10_000, 0, 0, 0))})
    assert story.second() == []
    assert seconds_to_halt(story, green=(100, 0)) is None


@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_version_under_noise_is_hardly_ever_halted(seed: int) -> None:
    """1 % of errors under a limit of 5 %: an hour of 20 requests a second."""
    rng = random.Random(seed)
    story = begun()
    for _ in range(3_600):
        errors = sum(rng.random() < 0.01 for _ in range(20))
        assert story.second(green=(20, errors)) == []
