"""Sizing: the published formula, Erlang C against hand-computed values, and the search."""

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.planning import (
    Load,
    carried_by,
    erlang_c,
    front_ends_for,
    mean_wait_s,
    plan_replicas,
    wait_exceeds,
    wait_quantile_s,
)


def test_the_documented_example() -> None:
    """20 requests/s of 10 s at 70 %: 286 replicas (azure-reference.md 4.7)."""
    plan = plan_replicas(Load(requests_per_s=20, service_s=10))
    assert plan.formula_replicas == 286


def test_a_whole_number_is_not_rounded_up() -> None:
    plan = plan_replicas(Load(requests_per_s=7, service_s=1, queue_wait_max_s=60))
    assert plan.formula_replicas == 10


def test_one_slot_waits_as_often_as_it_is_busy() -> None:
    """M/M/1: the wait probability is the utilization u, the mean wait u/(1-u) service times."""
    assert erlang_c(1, 0.5) == pytest.approx(0.5)
    assert mean_wait_s(1, 0.5, 2.0) == pytest.approx(2.0)


def test_two_slots_by_hand() -> None:
    """M/M/2 at 1 erlang: C = 1/3; the mean wait is C * s / (c - a) = 1/3 of the service time."""
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert mean_wait_s(2, 1.0, 1.0) == pytest.approx(1 / 3)
    assert wait_exceeds(2, 1.0, 1.0, math.log(2)) == pytest.approx(1 / 6)


def test_an_overloaded_queue_never_empties() -> None:
    assert erlang_c(3, 3.0) == 1.0
    assert mean_wait_s(3, 3.5, 1.0) == math.inf
    assert wait_exceeds(3, 3.5, 1.0, 10.0) == 1.0
    assert erlang_c(3, 0.0) == 0.0


def test_short_waits_need_more_than_the_formula() -> None:
    """The formula gives 2; half of the requests would find both busy and most give up."""
    load = Load(requests_per_s=1.4, service_s=1.0, queue_wait_max_s=0.1)
    plan = plan_replicas(load)
    assert plan.formula_replicas == 2
    assert plan.formula_shed > 0.3
    assert plan.replicas > 2
    assert plan.shed <= 0.001


def test_a_spike_piles_up_until_replicas_are_ready() -> None:
    load = Load(
        requests_per_s=10, service_s=1, spike=3, cold_start_s=20, target_utilization=1, shed_max=1
    )
    plan = plan_replicas(load)
    assert (plan.replicas, plan.spike_replicas) == (10, 30)
    assert plan.spike_backlog == pytest.approx((30 - 10) * 20)


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_s": 0},
        {"service_s": -1},
        {"service_s": math.inf},
        {"service_s": math.nan},
        {"slots_per_replica": 0},
        {"target_utilization": 1.1},
        {"shed_max": 0},
        {"spike": 0.5},
        {"requests_per_s": 1e9},
    ],
    ids=str,
)
def test_figures_that_make_no_sense(wrong: dict[str, float]) -> None:
    figures = {"requests_per_s": 1.0, "service_s": 1.0, **wrong}
    with pytest.raises(ValueError, match=r"must|most|multiple|more"):
        plan_replicas(Load(**figures))  # type: ignore[arg-type]


@given(
    requests=st.floats(0.01, 500),
    service=st.floats(0.001, 5),
    slots=st.integers(1, 16),
    wait=st.floats(0, 2),
    shed=st.floats(0.0001, 0.1),
)
def test_the_plan_is_the_fewest_replicas_that_keep_the_limit(
    requests: float, service: float, slots: int, wait: float, shed: float
) -> None:
    load = Load(
        requests_per_s=requests,
        service_s=service,
        slots_per_replica=slots,
        queue_wait_max_s=wait,
        shed_max=shed,
    )
    plan = plan_replicas(load)
    assert plan.shed <= shed
    assert plan.replicas >= plan.formula_replicas
    one_less = (plan.replicas - 1) * slots
    if plan.replicas > plan.formula_replicas:
        assert wait_exceeds(one_less, load.offered, service, wait) > shed


def test_the_p99_wait_by_hand() -> None:
    """M/M/1 at one half: P(W > t) = e^(-t/2s)/2, so 1 % wait longer than 2s·ln 50."""
    assert wait_quantile_s(1, 0.5, 1.0, 0.01) == pytest.approx(2 * math.log(50))
    assert wait_quantile_s(1, 0.009, 1.0, 0.01) == 0.0
    assert wait_quantile_s(1, 1.0, 1.0, 0.01) == math.inf


@given(
    rate=st.floats(0.5, 300),
    service_s=st.floats(0.01, 2),
    slots=st.integers(1, 8),
    p99_s=st.floats(0.0, 1.0),
)
def test_a_p99_limit_takes_the_fewest_replicas_that_keep_it(
    rate: float, service_s: float, slots: int, p99_s: float
) -> None:
    load = Load(
        requests_per_s=rate,
        service_s=service_s,
        slots_per_replica=slots,
        p99_wait_max_s=p99_s,
        shed_max=1.0,
    )
    plan = plan_replicas(load)
    assert plan.p99_wait_s <= p99_s + 1e-9
    if plan.replicas > plan.formula_replicas:
        fewer = (plan.replicas - 1) * slots
        assert wait_exceeds(fewer, load.offered, service_s, p99_s) > 0.01


@given(replicas=st.integers(1, 60), service_s=st.floats(0.01, 2), p99_s=st.floats(0.001, 1.0))
def test_what_replicas_carry_needs_them_and_no_more(
    replicas: int, service_s: float, p99_s: float
) -> None:
    limits = Load(requests_per_s=1, service_s=service_s, p99_wait_max_s=p99_s)
    carried = carried_by(replicas, limits)
    assert carried.requests_per_s <= carried.formula_per_s * (1 + 1e-9)
    if carried.requests_per_s > 1e-6:
        just = attrs.evolve(limits, requests_per_s=carried.requests_per_s * (1 - 1e-6))
        assert plan_replicas(just).replicas <= replicas
    more = attrs.evolve(limits, requests_per_s=carried.requests_per_s * 1.001 + 1e-6)
    assert plan_replicas(more).replicas > replicas


def test_the_formula_turned_round() -> None:
    assert carried_by(286, Load(requests_per_s=1, service_s=10)).formula_per_s == pytest.approx(
        20.02
    )
    with pytest.raises(ValueError, match="slots together"):
        carried_by(100_001, Load(requests_per_s=1, service_s=1))


@pytest.mark.parametrize(
    ("rate", "count"), [(1, 3), (1000, 3), (2000, 3), (2001, 5), (4000, 5), (4001, 7)]
)
def test_front_ends_carry_the_load_while_one_is_down(rate: float, count: int) -> None:
    assert front_ends_for(rate, 1000) == count
    with pytest.raises(ValueError, match="more than 0"):
        front_ends_for(rate, 0)
