"""Decision records: joined, in small batches, in a ring."""

from trioroute.core.decisions import (
    RING_MAX,
    Decision,
    DecisionDesk,
    DecisionKind,
    with_decisions,
)


def scale(summary: str = "2→3", subject: str = "e/d") -> Decision:
    return Decision(at_s=1.0, epoch=1, kind=DecisionKind.SCALE, subject=subject, summary=summary)


def test_what_repeats_before_it_is_logged_is_one_record() -> None:
    desk = DecisionDesk(epoch=1)
    for number, summary in enumerate(["2→3", "3→4", "4→5"]):
        desk.add(DecisionKind.SCALE, "e/d", summary, at_s=number, busy=9)
    (joined,) = desk.take(10.0)
    assert (joined.summary, joined.joined, joined.at_s) == ("4→5", 3, 2)
    assert joined.inputs == {"busy": "9"}


def test_ten_a_second_at_most_and_none_is_lost() -> None:
    desk = DecisionDesk(epoch=1)
    for number in range(25):
        desk.add(DecisionKind.HEALTH, f"r{number}", "shut", at_s=0.0)
    batches = [desk.take(now) for now in (0.0, 0.5, 1.0, 1.9, 2.0, 3.0)]
    assert [len(batch) for batch in batches] == [10, 0, 10, 0, 5, 0]
    assert len({each.subject for batch in batches for each in batch}) == 25


def test_the_ring_keeps_the_newest() -> None:
    ring: tuple[Decision, ...] = ()
    for number in range(RING_MAX + 5):
        ring = with_decisions(ring, [scale(str(number))])
    assert len(ring) == RING_MAX
    assert (ring[0].summary, ring[-1].summary) == ("5", str(RING_MAX + 4))
