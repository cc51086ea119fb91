"""Changes of office that nothing explains are told."""

import attrs
import pytest

from tests.drills.small_drill import evidence, strike
from trioroute.drills.evidence import Look, Strike
from trioroute.drills.report.offices import office_lines


def look(at_s: float, name: str, epoch: int) -> Look:
    return Look(at_s=at_s, reporter=name, coordinator=name, epoch=epoch)


def told(*looks: Look, strikes: tuple[Strike, ...], lateness_s: float = 0.0) -> list[str]:
    return [*office_lines(evidence(looks=looks, strikes=strikes, lateness_s=lateness_s))]


def test_what_a_strike_on_the_coordinator_brings_is_explained() -> None:
    assert [*office_lines(evidence())] == []
    # Also when an election had no winner in between.
    skipped = strike(successor_epoch=4)
    assert told(look(3.1, "fe-2", 3), look(3.4, "fe-1", 4), strikes=(skipped,)) == []
    # Nobody was seen to follow: that is judged by itself.
    unseen = strike(successor="", successor_epoch=0)
    assert told(look(3.1, "fe-1", 2), strikes=(unseen,)) == []


def test_a_change_after_somebody_else_was_hit_is_told() -> None:
    (line,) = told(look(4.0, "fe-1", 2), strikes=(strike(target="fe-2", was_coordinator=False),))
    assert "At second 4.0 fe-1 took the office over from fe-0 (epoch 1 → 2)" in line
    assert "nothing that the drill did explains it: see" in line


@pytest.mark.parametrize("at_s", [2.0, 6.0])
def test_a_change_before_the_strike_or_after_its_own_is_told(at_s: float) -> None:
    hit = strike() if at_s > 3 else strike(epoch=2, successor_epoch=3)
    looks = (look(3.1, "fe-1", 2), look(at_s, "fe-1", 3))
    if at_s < 3:
        looks = (look(at_s, "fe-0", 2), look(3.1, "fe-1", 3))
    (line,) = told(*looks, strikes=(hit,), lateness_s=0.179)
    name = "fe-1" if at_s > 3 else "fe-0"
    assert f"At second {at_s} {name} lost the office and won it again" in line
    assert "on a machine so busy that the drill's own timers were 179 ms late" in line


def test_who_was_hit_while_nobody_agreed_on_the_office_may_have_held_it() -> None:
    unsure = attrs.evolve(strike(), was_coordinator=False, epoch=0)
    assert told(look(3.1, "fe-1", 2), strikes=(unsure,)) == []
