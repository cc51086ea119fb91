"""Code as it was applied: what replicas run whatever the user's files say by now."""

import os
from pathlib import Path

import pytest

from trioroute.core.model import Deployment, ScriptSource
from trioroute.discovery.processes.snapshots import SnapshotError, Snapshots
from trioroute.spec.written.revision import with_revision


def source_of(folder: Path, **more: str) -> ScriptSource:
    """What a user's files say now."""
    made = ScriptSource(code=str(folder), script="score.py", **more)  # type: ignore[arg-type]
    found = with_revision(Deployment(endpoint="e", name="d", source=made)).source
    assert isinstance(found, ScriptSource)
    return found


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "user" / "lib").mkdir(parents=True)
    (tmp_path / "user" / "score.py").write_text("one")
    (tmp_path / "user" / "lib" / "util.py").write_text("two")
    (tmp_path / "user" / ".amlignore").write_text("*.log\n")
    (tmp_path / "user" / "old.log").write_text("not code")
    return tmp_path / "user"


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "data" / "code")


def kept(snapshots: Snapshots) -> list[str]:
    return sorted(path.name for path in snapshots.folder.iterdir())


def test_an_edit_that_was_not_applied_changes_nothing(code: Path, snapshots: Snapshots) -> None:
    applied = source_of(code)
    first = snapshots.ensure(applied)
    (code / "score.py").write_text("edited")
    (code / "lib" / "util.py").unlink()
    again = snapshots.ensure(applied)
    assert again == first
    assert Path(again.code, "score.py").read_text() == "one"
    assert Path(again.code, "lib", "util.py").read_text() == "two"
    assert not Path(again.code, "old.log").exists()
    # Applied, it is another snapshot, beside the one that still runs.
    new = snapshots.ensure(source_of(code))
    assert Path(new.code, "score.py").read_text() == "edited"
    assert kept(snapshots) == sorted({applied.snapshot, source_of(code).snapshot})


def test_packages_are_those_that_were_applied(code: Path, snapshots: Snapshots) -> None:
    conda = code.parent / "conda.yml"
    conda.write_text("dependencies: [{pip: [joblib==1.4.2]}]\n")
    applied = source_of(code, conda_file=str(conda))
    snapshots.ensure(applied)
    conda.write_text("dependencies: [{pip: [joblib==9]}]\n")
    assert snapshots.ensure(applied).conda == "dependencies: [{pip: [joblib==1.4.2]}]\n"
    assert source_of(code, conda_file=str(conda)).snapshot != applied.snapshot


def test_a_changed_model_is_another_source_with_the_same_code(code: Path) -> None:
    model = code.parent / "model.bin"
    model.write_text("1")
    first = source_of(code, model=str(model))
    model.write_text("2")
    second = source_of(code, model=str(model))
    assert first.revision != second.revision
    assert first.snapshot == second.snapshot != ""


def test_what_was_edited_before_it_could_be_copied_is_refused(
    code: Path, snapshots: Snapshots
) -> None:
    applied = source_of(code)
    (code / "score.py").write_text("edited a moment later")
    with pytest.raises(SnapshotError, match="has changed since it was applied"):
        snapshots.ensure(applied)
    assert kept(snapshots) == []


def test_code_that_is_gone_or_cannot_be_kept_is_told(code: Path, snapshots: Snapshots) -> None:
    applied = source_of(code)
    snapshots.folder.parent.mkdir()
    snapshots.folder.write_text("a file stands in the way")
    with pytest.raises(SnapshotError, match=str(snapshots.folder)):
        snapshots.ensure(applied)
    snapshots.folder.unlink()
    (code / "score.py").rename(code.parent / "elsewhere")
    with pytest.raises(SnapshotError, match="has changed since"):
        snapshots.ensure(applied)


def test_without_a_revision_the_user_s_own_folder_runs(snapshots: Snapshots) -> None:
    source = ScriptSource(code="/c", script="s.py")
    assert snapshots.ensure(source) is source


def test_only_what_nobody_needs_and_is_not_new_is_removed(code: Path, snapshots: Snapshots) -> None:
    old = source_of(code)
    snapshots.ensure(old)
    (code / "score.py").write_text("newer")
    new = source_of(code)
    snapshots.ensure(new)
    (snapshots.folder / ".draft-killed").mkdir()
    later_s = snapshots.folder.stat().st_mtime + 100
    snapshots.sweep({old.snapshot, new.snapshot})
    assert len(kept(snapshots)) == 3, "a minute has not passed"
    snapshots.sweep({old.snapshot, new.snapshot}, now_s=later_s)
    assert kept(snapshots) == sorted({old.snapshot, new.snapshot})
    snapshots.sweep({new.snapshot}, now_s=later_s)
    assert kept(snapshots) == [new.snapshot]
    # Applied again, it is as if it were new.
    os.utime(snapshots.folder / new.snapshot, (0, 0))
    snapshots.ensure(new)
    snapshots.sweep(set())
    assert kept(snapshots) == [new.snapshot]


def test_a_sweep_without_a_folder_is_none(snapshots: Snapshots) -> None:
    snapshots.sweep(set())
