"""Code folders as ConfigMaps: what fits, what it is called, what is refused."""

from base64 import b64decode
from pathlib import Path

import pytest

from trioroute.spec.cluster.packing import CODE_OF, PACK_BYTES_MAX, UnpackableError, pack_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "score.py").write_text("def run(data): return data\n", "utf-8")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / ".secret").write_text("left out")
    return tmp_path


def test_text_stays_readable_and_the_rest_survives(folder: Path) -> None:
    (folder / "table.bin").write_bytes(b"\xff\x00")
    made = pack_folder(folder, "iris-blue").manifest()
    assert made["data"] == {"score.py": "def run(data): return data\n"}
    assert b64decode(made["binaryData"]["table.bin"]) == b"\xff\x00"
    assert made["metadata"]["labels"] == {CODE_OF: "iris-blue"}
    assert made["immutable"] is True


def test_other_content_has_another_name_and_the_same_has_the_same(folder: Path) -> None:
    name = pack_folder(folder, "iris-blue").name
    assert name.startswith("iris-blue-code-")
    assert pack_folder(folder, "iris-blue").name == name
    (folder / "score.py").rename(folder / "other.py")
    assert pack_folder(folder, "iris-blue").name != name
    assert len(pack_folder(folder, "e" * 32 + "-" + "d" * 32).name) <= 63


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("inner/score.py", b"", "has a folder in it, inner"),
        ("a b.py", b"", "only letters, digits"),
        ("large", b"x" * PACK_BYTES_MAX, "larger than the 1 MiB"),
    ],
)
def test_what_does_not_fit_says_why(folder: Path, name: str, content: bytes, says: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(UnpackableError, match=says):
        pack_folder(folder, "iris-blue")
