"""Each checker complains about a history made to break its rule, and about no other."""

from collections.abc import Callable

import pytest

from chaos.sim.checkers import CHECKERS, check
from chaos.sim.history import Act, AuthoritySpan, Call, History, Life

A, B = Life("fe-0", 1), Life("fe-1", 2)


def good() -> History:
    """Two commands, one take-over each way, everything in order."""
    return History(
        calls=[
            Call(A, b"c1", 1.0, 1.1, "applied", 3, b"1"),
            Call(B, b"c2", 1.2, 1.3, "applied", 5, b"2"),
            Call(B, b"c3", 1.2, 1.3, "refused"),
        ],
        applied={A: [(3, b"c1"), (5, b"c2")], B: [(3, b"c1")]},
        restored={B: [[b"c1"]]},
        leaders={(1, "fe-0"), (2, "fe-1")},
        offices={A: [(1, A), (2, B)], B: [(2, B)]},
        authority=[AuthoritySpan(A, 1, 0.0, 1.0), AuthoritySpan(B, 2, 1.5, 2.0)],
        acts=[Act(A, 1, 0.5), Act(B, 2, 1.6)],
        healed_at=10.0,
        recovered_at=11.0,
    )


BREAKS: dict[str, Callable[[History], object]] = {
    "nobody_crashed": lambda h: h.crashes.append("fe-0 crashed"),
    "one_leader_per_term": lambda h: h.leaders.add((2, "fe-0")),
    "epochs_rise": lambda h: h.offices[B].append((1, A)),
    "one_log": lambda h: h.applied[B].append((3, b"c1")),
    "nothing_twice": lambda h: h.restored[B].append([b"c1", b"c1"]),
    "acknowledged_is_applied": lambda h: setattr(h.calls[1], "result", b"9"),
    "refused_is_not_applied": lambda h: setattr(h.calls[2], "command", b"c1"),
    "linearizable": lambda h: setattr(h.calls[0], "began_at", 1.35),
    "one_authority": lambda h: h.authority.append(AuthoritySpan(B, 2, 0.9, 1.2)),
    "acts_rise": lambda h: h.acts.append(Act(A, 1, 1.7)),
    "recovers": lambda h: setattr(h, "recovered_at", 12.5),
}


def test_a_good_history_has_no_complaint() -> None:
    assert check(good()) == []


def test_every_rule_has_a_history_that_breaks_it() -> None:
    assert set(BREAKS) == {rule.__name__ for rule in CHECKERS}


@pytest.mark.parametrize("rule", sorted(BREAKS))
def test_a_broken_rule_is_named(rule: str) -> None:
    history = good()
    BREAKS[rule](history)
    complaints = check(history)
    assert complaints
    assert {complaint.partition(":")[0] for complaint in complaints} == {rule}
