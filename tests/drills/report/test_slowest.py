"""The slowest answer is never left without a word."""

from typing import Any

import attrs
import pytest

from tests.drills.small_drill import evidence, request, strike
from trioroute.drills.evidence import Evidence, Mind, Probe, Request
from trioroute.drills.report.slowest import (
    Cause,
    Phase,
    judged_line,
    limit_s,
    slowest_line,
    slowest_of,
)

#: The front-end on port 7 was frozen from second 3 to 8; all was whole again at second 10.
FROZEN = strike(ended_s=8.0, successor="", gap_s=None)
FORETOLD = Mind(endpoints=("echo",), text="echo/blue has 2 slots", back_s=5.0, over_s=8.0)


def seen(*slow: Request, **changes: Any) -> Evidence:
    """A drill of twenty seconds with answers that were slow beside the others."""
    values: dict[str, Any] = {"lasted_s": 20.0, **changes}
    return evidence(requests=(*evidence().requests, *slow), **values)


def cause_of(found: Evidence) -> tuple[Cause, Phase]:
    slowest = slowest_of(found)
    assert slowest is not None
    return slowest.cause, slowest.phase


@pytest.mark.parametrize(
    ("slow", "changes", "cause", "phase", "said"),
    [
        (
            request(3.1, ended_s=8.0),
            {"minds": (FORETOLD,)},
            Cause.FORETOLD,
            Phase.HEALING,
            "it waited for a slot: slots that fe-0 held may stay unused for 5.0 s, as was said",
        ),
        (
            # It was over later than was said, though the queue began in time.
            request(3.1, ended_s=12.0),
            {"minds": (FORETOLD,)},
            Cause.QUEUE,
            Phase.HEALING,
            "it waited in the queue that formed then (all was whole again at second 5.0)",
        ),
        (
            request(3.5, ended_s=8.1, port=7),
            {"strikes": (FROZEN,)},
            Cause.HELD,
            Phase.FAULT,
            "it went out on a connection of fe-0's and waited until that was well again",
        ),
        (
            request(2.9, ended_s=4.9),
            {"strikes": (strike(gap_s=1.5),)},
            Cause.VACANT,
            Phase.BEFORE,
            "for 1,500 ms of that nobody coordinated",
        ),
        (
            request(3.1, ended_s=5.1),
            {"lateness_s": 1.1},
            Cause.BUSY,
            Phase.HEALING,
            "on a machine too busy to tell why (the drill's own timers were up to 1.1 s late)",
        ),
        (
            request(3.1, ended_s=5.1),
            {},
            Cause.QUEUE,
            Phase.HEALING,
            "Due at second 3.1 (0.1 s after the strike, before all was whole again), it waited",
        ),
        (
            # A frozen replica may have it in hand, which nobody can tell from outside.
            request(3.5, ended_s=8.1),
            {"strikes": (attrs.evolve(FROZEN, ports=frozenset()),)},
            Cause.QUEUE,
            Phase.FAULT,
            "(0.5 s after the strike, while the fault lasted), it waited for fe-0 to go on, or in",
        ),
        (
            request(7.0, ended_s=9.0),
            {},
            Cause.UNKNOWN,
            Phase.AFTER,
            "nothing that it did explains that (see `trioroute events`)",
        ),
        (request(0.5, ended_s=2.0), {}, Cause.UNKNOWN, Phase.BEFORE, "for no reason"),
        # It was slow already when the strike came.
        (request(1.5, ended_s=3.5), {}, Cause.UNKNOWN, Phase.BEFORE, "for no reason"),
        (request(0.5, ended_s=2.0), {"strikes": ()}, Cause.UNKNOWN, Phase.BEFORE, "for no reason"),
    ],
)
def test_what_explains_it_is_told(
    slow: Request, changes: dict[str, Any], cause: Cause, phase: Phase, said: str
) -> None:
    found = seen(slow, **changes)
    assert cause_of(found) == (cause, phase)
    line = slowest_line(found)
    assert line.startswith(f"The slowest answer took {1e3 * slow.took_s:,.0f} ms. Due at second ")
    assert said in line
    slowest = slowest_of(found)
    assert slowest is not None
    assert slowest.is_explained is (cause not in (Cause.UNKNOWN, Cause.BUSY))


def test_who_stood_behind_slow_ones_is_explained_by_what_held_them_up() -> None:
    # All was whole at second 5; the queue had not gone by then, and the slowest came after that.
    queue = [request(3.1 + n / 2, ended_s=5.0 + n / 2) for n in range(6)]
    last = request(5.8, ended_s=8.5)
    assert cause_of(seen(*queue, last)) == (Cause.QUEUE, Phase.AFTER)
    # With a pause between them it stands alone.
    assert cause_of(seen(*queue[:1], last)) == (Cause.UNKNOWN, Phase.AFTER)


def test_what_another_endpoint_was_told_or_what_ended_before_explains_nothing() -> None:
    late = request(7.0, ended_s=9.0)
    other = attrs.evolve(FORETOLD, endpoints=("other",))
    assert cause_of(seen(late, minds=(other,)))[0] is Cause.UNKNOWN
    # Its connection was the frozen one's, which was well again by then.
    port = attrs.evolve(late, port=7)
    assert cause_of(seen(port, strikes=(attrs.evolve(FROZEN, ended_s=4.0),)))[0] is Cause.UNKNOWN
    unknown = attrs.evolve(FROZEN, ports=None)
    held = request(3.5, ended_s=8.1, port=7)
    assert cause_of(seen(held, strikes=(unknown,)))[0] is Cause.QUEUE


def test_what_was_never_whole_again_explains_until_the_end() -> None:
    late = request(12.0, ended_s=14.0)
    assert cause_of(seen(late, strikes=(strike(back_s=None),))) == (Cause.QUEUE, Phase.HEALING)


def test_of_several_strikes_it_is_told_from_the_last_before_its_answer() -> None:
    strikes = (strike(), strike(target="fe-1", at_s=9.0, ended_s=9.0))
    line = slowest_line(seen(request(9.5, ended_s=10.5), strikes=strikes))
    assert "(0.5 s after fe-1 was hit, before all was whole again)" in line
    assert "in the queue that formed then (all was whole again at second 11.0)" in line


def test_an_answer_that_was_not_slow_needs_no_word() -> None:
    assert slowest_line(seen()) == ""
    assert cause_of(seen(request(3.1, ended_s=3.5)))[0] is Cause.USUAL
    model = Probe(endpoint="echo", rate_per_s=10, service_s=1.0)
    assert cause_of(seen(request(3.1, ended_s=6.9), probe=model))[0] is Cause.USUAL
    assert slowest_of(evidence(requests=())) is None
    assert slowest_line(evidence(requests=(request(1.0, status=503, ended_s=9.0),))) == ""


def test_what_passed_before_it_was_sent_is_no_wait_in_the_router() -> None:
    probe = Probe(endpoint="echo", rate_per_s=10, service_s=0.02, queue_wait_s=2.0)
    assert limit_s(evidence(probe=probe)) == 2.02
    assert limit_s(evidence()) is None
    late = request(3.1, ended_s=6.1, unsent_s=1.5)
    line = slowest_line(seen(late, probe=probe))
    assert "1,500 ms of it passed before it was sent, as all of the drill's own" in line
    assert line.endswith("the rest is within its longest wait and its service together (2,020 ms).")
    over = slowest_line(seen(attrs.evolve(late, unsent_s=0.0), probe=probe))
    assert over.endswith(
        "that is more than its longest wait and its service together (2,020 ms), which fails "
        "nothing."
    )
    assert "together" not in slowest_line(seen(late))


def test_what_is_judged_is_said_with_its_figure() -> None:
    assert judged_line(evidence()) == (
        "Judged is that no request fails (0 is the limit), not how long an answer takes."
    )
    probe = Probe(endpoint="echo", queue_wait_s=10.0)
    assert "lets a request wait 10,000 ms for a slot" in judged_line(evidence(probe=probe))
