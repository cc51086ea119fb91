"""The longest time in which nobody was answered."""

import attrs
import pytest

from tests.drills.small_drill import evidence, request, strike
from trioroute.drills.evidence import Evidence, Mind
from trioroute.drills.report.silence import longest_silence, silence_line

TEXT = "echo/blue has 2 slots for 3 front-ends"
FORETOLD = ": slots that fe-0 held may stay unused for 5.8 s, as was said beforehand."


def stalled(**changes: object) -> Evidence:
    """Of ten requests a second those due from second 3.0 on are answered at 8.7 together."""
    calm = evidence()
    waited = [
        attrs.evolve(each, ended_s=8.7) if 3.0 <= each.due_s < 8.7 else each
        for each in calm.requests
    ]
    return attrs.evolve(calm, requests=tuple(waited), **changes)  # type: ignore[arg-type]


def test_it_lasts_from_when_the_first_waited_until_the_next_answer() -> None:
    found = longest_silence(stalled().requests)
    assert found is not None
    assert (round(found.from_s, 2), found.to_s, round(found.lasted_s, 2)) == (3.0, 8.7, 5.7)
    assert longest_silence(()) is None


def test_a_time_in_which_nobody_waited_is_no_silence() -> None:
    found = longest_silence((request(0.0), request(5.0)))
    assert found is not None
    assert round(found.lasted_s, 3) == 0.02


def test_errors_are_no_answers() -> None:
    failed = [request(1.0 + n / 10, status=503) for n in range(20)]
    found = longest_silence((request(0.5), *failed, request(3.0)))
    assert found is not None
    assert (found.from_s, round(found.to_s, 2)) == (1.0, 3.02)
    # Also when none comes any more.
    last = longest_silence((request(0.5), *failed))
    assert last is not None
    assert (last.from_s, round(last.to_s, 2)) == (1.0, 2.92)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"minds": (Mind(endpoints=("other", "echo"), text=TEXT, back_s=5.75, over_s=9.0),)},
            FORETOLD,
        ),
        (
            {"minds": (Mind(endpoints=("echo",), text=TEXT, back_s=1.0, over_s=2.0),)},
            "knows no reason",
        ),
        (
            {"minds": (Mind(endpoints=("other",), text=TEXT, back_s=5.75, over_s=9.0),)},
            "knows no reason",
        ),
        ({"strikes": (strike(gap_s=4.0),)}, "for 4.0 s of that nobody coordinated."),
        ({"strikes": (strike(gap_s=0.4),)}, "knows no reason"),
        ({"strikes": ()}, "knows no reason"),
        ({"lateness_s": 2.5}, "knows no reason"),
        ({"lateness_s": 3.0}, "to tell why (the drill's own timers were up to 3.0 s late)"),
        ({"strikes": (strike(gap_s=4.0),), "lateness_s": 3.0}, "nobody coordinated."),
    ],
)
def test_its_reason_is_told_where_it_is_known(changes: dict[str, object], said: str) -> None:
    line = silence_line(stalled(**changes))
    assert line.startswith("For 5.7 s, from second 3.0 on, nobody was answered")
    assert said in line


def test_a_short_one_is_not_worth_a_sentence() -> None:
    assert silence_line(evidence()) == ""
    slow = stalled(probe=attrs.evolve(evidence().probe, service_s=3.0))
    assert silence_line(slow) == "", "two requests that take three seconds each"
