"""The retry table of the contract, row by row, and the budget."""

import pytest

from trioroute.core.retry import Failure, RetryBudget, is_retry_safe

#: failure: (idempotent or opted in, POST and PATCH)
TABLE = {
    Failure.UNSENT: (True, True),
    Failure.WRITING: (True, False),
    Failure.WRITTEN: (True, False),
    Failure.ANSWERED: (False, False),
    Failure.TIMEOUT: (False, False),
    Failure.CLIENT_GONE: (False, False),
}


@pytest.mark.parametrize("failure", Failure)
def test_retry_is_safe_exactly_where_the_contract_says(failure: Failure) -> None:
    idempotent, other = TABLE[failure]
    assert is_retry_safe(failure, is_idempotent=True, is_body_whole=True) is idempotent
    assert is_retry_safe(failure, is_idempotent=False, is_body_whole=True) is other


@pytest.mark.parametrize("failure", Failure)
def test_a_body_that_is_gone_can_never_be_sent_again(failure: Failure) -> None:
    assert not is_retry_safe(failure, is_idempotent=True, is_body_whole=False)


def test_budget_allows_a_fifth_of_the_requests() -> None:
    budget = RetryBudget(ratio=0.2, balance_max=2.0)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(4):
        budget.record_request()
    assert not budget.take()
    budget.record_request()
    assert budget.take()


def test_an_idle_endpoint_saves_up_no_more_than_the_bound() -> None:
    budget = RetryBudget(ratio=0.2, balance_max=1.0)
    for _ in range(100):
        budget.record_request()
    assert [budget.take() for _ in range(2)] == [True, False]
