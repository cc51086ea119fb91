"""Who votes in a data folder never changes, and its number need not be said again."""

from pathlib import Path

import pytest

from trioroute.app.laptop.group import choose_front_ends, find_voters, remember_front_ends
from trioroute.errors import ConfigError


def run(data: Path, wanted: int | None = None) -> int:
    """What a start of `up` leaves behind."""
    count = choose_front_ends(data, wanted)
    remember_front_ends(data, count)
    for number in range(count):
        (data / f"fe-{number}" / "journal").mkdir(parents=True, exist_ok=True)
    return count


def test_there_are_three_where_nobody_says(tmp_path: Path) -> None:
    assert run(tmp_path) == 3
    assert run(tmp_path) == 3
    assert run(tmp_path, 3) == 3


@pytest.mark.parametrize(("made", "others"), [(3, (1, 2)), (5, (1, 2)), (1, (3, 4)), (2, (3,))])
def test_another_number_of_voters_is_refused_with_what_to_do(
    made: int, others: tuple[int, ...], tmp_path: Path
) -> None:
    run(tmp_path, made)
    before = (tmp_path / "group.json").stat().st_mtime_ns
    for wanted in others:
        with pytest.raises(ConfigError) as refused:
            choose_front_ends(tmp_path, wanted)
        said = str(refused.value)
        assert f"--front-ends {wanted}: data folder {tmp_path} was made with {made}," in said
        assert f"Go on with --front-ends {made} (" in said
        for part in ("--data DIR", "trioroute export --with-keys", "trioroute import"):
            assert part in said
    assert run(tmp_path) == made, "without the flag: the folder's number"
    assert (tmp_path / "group.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("numbers", [(1, 2, 1), (3, 5, 4, 3)])
def test_those_without_a_vote_come_and_go(numbers: tuple[int, ...], tmp_path: Path) -> None:
    for number in numbers:
        assert run(tmp_path, number) == number
        assert run(tmp_path) == number


@pytest.mark.parametrize(("made", "other"), [(1, 3), (3, 1), (12, 1)])
def test_the_journals_tell_of_a_group_that_was_made_before_this_was_kept(
    made: int, other: int, tmp_path: Path
) -> None:
    run(tmp_path, made)
    (tmp_path / "group.json").unlink()
    assert choose_front_ends(tmp_path, None) == made
    with pytest.raises(ConfigError, match=f"was made with {made},"):
        choose_front_ends(tmp_path, other)


@pytest.mark.parametrize(("made", "voters"), [(1, 1), (2, 1), (4, 3)])
def test_how_many_vote_is_told(made: int, voters: int, tmp_path: Path) -> None:
    assert find_voters(tmp_path) is None
    run(tmp_path, made)
    assert find_voters(tmp_path) == voters


def test_a_start_that_made_no_group_binds_nobody(tmp_path: Path) -> None:
    remember_front_ends(tmp_path, 1)
    (tmp_path / "fe-0").mkdir()
    (tmp_path / "log").mkdir()
    assert run(tmp_path) == 3


@pytest.mark.parametrize("text", ["", "3\n", '{"voters": 3}', "\xff"])
def test_a_broken_note_is_not_guessed_at(text: str, tmp_path: Path) -> None:
    run(tmp_path, 3)
    (tmp_path / "group.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"group\.json, which says .* Restore it"):
        choose_front_ends(tmp_path, None)


def test_a_note_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "group.json").mkdir()
    with pytest.raises(ConfigError, match=r"group\.json cannot be written"):
        remember_front_ends(tmp_path, 3)
