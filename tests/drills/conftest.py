"""Fixtures of the drills' tests."""

from collections.abc import Iterator

import pytest
from trio.testing import MockClock

from tests.drills.small_system import SmallSystem, small_system


@pytest.fixture
def system() -> Iterator[SmallSystem]:
    with small_system() as running:
        yield running


@pytest.fixture
def fast_clock() -> MockClock:
    """The drill's calm and patience pass ten times as fast; sockets and threads are real."""
    return MockClock(rate=10)
