"""Two drawn, the less busy taken."""

import random

import pytest

from trioroute.core.holding.unlimited import UnlimitedReplicas


def test_the_load_stays_close_to_even() -> None:
    replicas = UnlimitedReplicas(random.Random(1).randrange)
    for _ in range(300):
        replicas.take(["a", "b", "c"])
    assert max(replicas.in_flight.values()) - min(replicas.in_flight.values()) <= 3


def test_no_replica_is_none() -> None:
    assert UnlimitedReplicas(random.Random(1).randrange).take([]) is None


def test_what_is_given_back_is_forgotten_and_twice_is_an_error() -> None:
    replicas = UnlimitedReplicas(random.Random(1).randrange)
    assert replicas.take(["a"]) == "a"
    assert replicas.take(["a"]) == "a"
    replicas.give_back("a")
    replicas.give_back("a")
    assert replicas.in_flight == {}
    with pytest.raises(KeyError):
        replicas.give_back("a")
