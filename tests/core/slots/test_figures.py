"""The machines' counts are values: what was given out does not change afterwards."""

import attrs
import pytest

from tests.core.slots.slotworld import KEY, World


def test_figures_are_frozen() -> None:
    world = World(holders=1, replicas=1)
    assert world.directory is not None
    for figures in (
        world.directory.demand(KEY),
        world.directory.statistics(),
        world.workers["w0"].holding.statistics(),
    ):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            figures.epoch = 7  # type: ignore[misc, union-attr]
