"""Which files are code: ignore files, links, what never counts, and how much is too much."""

import socket
from pathlib import Path

import pytest

from trioroute.spec.written import code_files as module
from trioroute.spec.written.code_files import CodeFolderError, code_files


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def names(folder: Path) -> list[str]:
    return [file.name for file in code_files(folder)]


def test_files_of_all_folders_by_name(tmp_path: Path) -> None:
    write(tmp_path, score_dot_py="", lib__b="", lib__a="", _dot_env="")
    assert names(tmp_path) == [".env", "lib/a", "lib/b", "score.py"]


def test_caches_and_a_data_folder_of_ours_never_count(tmp_path: Path) -> None:
    for skipped in ("__pycache__", ".git", ".venv", "node_modules", ".trioroute"):
        write(tmp_path / skipped, some="")
    write(tmp_path / "data", lock="", boot="", journal="")
    write(tmp_path / "other", lock="")
    assert names(tmp_path) == ["other/lock"]


def test_an_ignore_file_leaves_out_what_git_would(tmp_path: Path) -> None:
    write(tmp_path, score_dot_py="", a_dot_bin="", keep_dot_bin="", data__big="", lib__data__x="")
    (tmp_path / ".gitignore").write_text("*.bin\n!keep.bin\n/data/\n")
    assert names(tmp_path) == [".gitignore", "keep.bin", "lib/data/x", "score.py"]
    # Azure's own wins, as a whole.
    (tmp_path / ".amlignore").write_text("# nothing but\nlib\n.*\n")
    assert names(tmp_path) == ["a.bin", "data/big", "keep.bin", "score.py"]


def test_an_ignore_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".amlignore").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(CodeFolderError, match=r"\.amlignore"):
        code_files(tmp_path)


def test_links_are_followed_and_have_an_end(tmp_path: Path) -> None:
    code = write(tmp_path / "code", score_dot_py="")
    write(tmp_path / "shared", common_dot_py="")
    (code / "shared").symlink_to(tmp_path / "shared")
    (code / "one.py").symlink_to(tmp_path / "shared" / "common.py")
    (code / "round").symlink_to(code)
    (code / "nowhere").symlink_to(tmp_path / "gone")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(code / "socket"))
        assert names(code) == ["one.py", "score.py", "shared/common.py"]


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [("CODE_FILES_MAX", 2, "2 files"), ("CODE_BYTES_MAX", 2**20, "1 MiB")],
)
def test_too_much_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, said: str
) -> None:
    write(tmp_path, a="", b="", c="x" * (2**20 + 1))
    monkeypatch.setattr(module, limit, value)
    with pytest.raises(CodeFolderError, match=f"more than {said} of code: .* .amlignore"):
        code_files(tmp_path)
    # What is ignored does not count.
    (tmp_path / ".amlignore").write_text("c\n.amlignore\n")
    assert names(tmp_path) == ["a", "b"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CodeFolderError, match="gone cannot be read: No such file"):
        code_files(tmp_path / "gone")
