"""Changed files make another source."""

from pathlib import Path

import pytest

from trioroute.core.model import CommandSource, Deployment, ScriptSource, StaticSource
from trioroute.spec.written.revision import with_revision


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "code" / "inner").mkdir(parents=True)
    (tmp_path / "code" / "score.py").write_text("one")
    (tmp_path / "code" / "inner" / "data.txt").write_text("two")
    return tmp_path / "code"


def revision(code: Path, **changes: str) -> str:
    source = ScriptSource(code=str(code), script="score.py", **changes)  # type: ignore[arg-type]
    found = with_revision(Deployment(endpoint="e", name="d", source=source)).source
    assert isinstance(found, ScriptSource)
    return found.revision


def test_the_same_files_have_the_same_revision(code: Path) -> None:
    first = revision(code)
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "score.pyc").write_text("compiled")
    assert revision(code) == first


@pytest.mark.parametrize("name", ["score.py", "inner/data.txt", "new.py"])
def test_a_change_anywhere_changes_it(code: Path, name: str) -> None:
    first = revision(code)
    (code / name).write_text("changed")
    assert revision(code) != first


def test_models_and_packages_count_too(code: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.bin"
    model.write_bytes(b"1")
    first = revision(code, model=str(model))
    model.write_bytes(b"2")
    assert revision(code, model=str(model)) != first
    assert revision(code, conda_file=str(model)) != revision(code)


def test_what_is_not_started_here_has_none() -> None:
    static = Deployment(endpoint="e", name="d", source=StaticSource(addresses=()))
    assert with_revision(static) == static


def test_a_command_s_folder_is_not_looked_at() -> None:
    source = CommandSource(command=("a",), cwd="/")
    other = CommandSource(command=("a",), cwd="/proc")
    first, second = (
        with_revision(Deployment(endpoint="e", name="d", source=each)).source
        for each in (source, other)
    )
    assert isinstance(first, CommandSource)
    assert isinstance(second, CommandSource)
    assert first.revision == second.revision
