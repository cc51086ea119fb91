"""What a source says when it refuses."""

from trioroute.discovery.source import StaleEpochError


def test_a_stale_epoch_names_the_one_that_holds() -> None:
    error = StaleEpochError(7)
    assert error.epoch == 7
    assert str(error) == "epoch 7 has spoken already"
    assert error.reason == "stale-epoch"
