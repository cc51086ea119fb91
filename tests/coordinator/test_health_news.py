"""Which changes of health are told: the first of each kind; what goes on, fewer and fewer."""

from trioroute.coordinator.health_news import HealthNews
from trioroute.core.decisions import Decision, DecisionKind, with_decisions
from trioroute.core.health import Health, HealthChange

SUBJECT = "e/d/r0"


def shut(news: HealthNews, now: float, subject: str = SUBJECT) -> str:
    return news.hear(subject, HealthChange("r0", Health.SHUT, "answers break off"), now)


def tried(news: HealthNews, now: float) -> str:
    return news.hear(SUBJECT, HealthChange("r0", Health.PROBATION, "back-off over"), now)


def opened(news: HealthNews, now: float, subject: str = SUBJECT) -> str:
    return news.hear(subject, HealthChange("r0", Health.OPEN, "served again"), now)


def test_one_failure_is_told_and_its_end_but_not_the_trial() -> None:
    news = HealthNews()
    assert shut(news, 0.0) == "r0 is shut: answers break off"
    assert tried(news, 0.5) == ""
    assert opened(news, 0.6) == "r0 is open: served again"
    assert news.settle(99.0) == []


def test_one_that_stays_broken_for_an_hour_is_told_a_few_times() -> None:
    news = HealthNews()
    told = [shut(news, 30.0 * turn) + tried(news, 30.0 * turn + 29) for turn in range(120)]
    assert len([text for text in told if text]) == 7, "1, 2, 4 … 64"
    assert told[63] == "r0 is shut: answers break off (shut 64 times in 1890 s)"


def test_flapping_replicas_leave_room_in_the_ring_for_everything_else() -> None:
    news = HealthNews()
    ring = with_decisions((), [record(DecisionKind.TAKE_OVER), record(DecisionKind.FENCE)])
    for turn in range(6_000):
        at, subject = 0.06 * turn, f"e/d/r{turn % 10}"
        for text in (shut(news, at, subject), opened(news, at + 0.05, subject)):
            ring = with_decisions(ring, [record(DecisionKind.HEALTH)] if text else [])
        ring = with_decisions(ring, [record(DecisionKind.HEALTH) for _ in news.settle(at)])
    kinds = [one.kind for one in ring]
    assert {*kinds} == {DecisionKind.TAKE_OVER, DecisionKind.FENCE, DecisionKind.HEALTH}


def test_one_that_flapped_is_told_to_be_open_once_it_stays_so() -> None:
    news = HealthNews()
    for turn in range(4):
        shut(news, turn)
        assert bool(opened(news, turn + 0.5)) == (turn == 0)
    assert news.settle(13.4) == []
    assert news.settle(13.5) == [(SUBJECT, "r0 is open: served again (shut 4 times in 14 s)")]
    assert news.settle(13.6) == []


def test_one_that_was_told_to_be_open_and_does_not_come_back_is_told_soon() -> None:
    news = HealthNews()
    for turn in range(4):
        shut(news, turn)
        opened(news, turn + 0.5)
    news.settle(99.0)
    assert shut(news, 100.0) == "", "the fifth time"
    assert shut(news, 100.5), "it was tried, and was still broken"


def test_one_that_was_calm_for_long_begins_anew() -> None:
    news = HealthNews()
    for turn in range(3):
        shut(news, turn)
        opened(news, turn + 0.5)
    news.settle(699.0)
    assert shut(news, 700.0) == "r0 is shut: answers break off"


def record(kind: DecisionKind) -> Decision:
    return Decision(at_s=0.0, epoch=1, kind=kind, subject="", summary="")
