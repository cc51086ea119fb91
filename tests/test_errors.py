"""Errors that carry more than their words."""

from trioroute.errors import StaleEpochError


def test_a_stale_epoch_names_the_one_that_holds() -> None:
    error = StaleEpochError(7)
    assert error.epoch == 7
    assert str(error) == "epoch 7 has begun"
    assert error.reason == "stale-epoch"
