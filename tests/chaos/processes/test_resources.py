"""What is done to a journal is felt by whoever opens it next."""

# house: tests chaos/processes/ways/resources.py, a folder deeper than tests have

from pathlib import Path

import pytest

from chaos.processes.ways.resources import torn_end
from consensus.journal.log import Log
from consensus.journal.store import open_journal


async def grown(folder: Path, terms: int) -> Path:
    """A journal of a life that has voted so many times; its only segment."""
    journal = await open_journal(folder)
    for term in range(1, terms + 1):
        journal.log.setCurrentTerm(term, "fe-1")
        await journal.persist(None)
    return only_segment(folder)


def only_segment(folder: Path) -> Path:
    """Of a journal that was begun once."""
    (segment,) = folder.glob("*.segment")
    return segment


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
async def test_a_torn_journal_has_lost_its_last_batch_and_no_other(
    tmp_path: Path, strength: float
) -> None:
    segment = await grown(tmp_path, 3)
    end = torn_end(segment.read_bytes(), strength)
    assert end is not None
    with segment.open("rb+") as file:
        file.truncate(end)
    again: Log = (await open_journal(tmp_path)).log
    assert again.term == 2


async def test_of_a_journal_that_is_just_begun_nothing_is_cut(tmp_path: Path) -> None:
    segment = await grown(tmp_path, 0)
    assert torn_end(segment.read_bytes(), 0.5) is None
