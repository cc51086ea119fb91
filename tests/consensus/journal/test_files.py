"""Real files do what the journal asks of them."""

from pathlib import Path

from consensus.journal.files import RealFiles


def test_a_file_is_allocated_written_synced_renamed_and_deleted(tmp_path: Path) -> None:
    files = RealFiles(tmp_path / "new" / "folder")
    assert files.names() == []
    files.allocate("a.tmp", 100)
    files.write("a.tmp", 10, b"hello")
    files.sync("a.tmp")
    files.rename("a.tmp", "a")
    files.sync_directory()
    assert files.names() == ["a"]
    assert files.read("a") == bytes(10) + b"hello" + bytes(85)
    files.write("a", 0, b"still open")
    assert files.read("a")[:10] == b"still open"
    files.allocate("b", 1)
    files.rename("b", "a")
    assert files.read("a") == b"\0"
    files.delete("a")
    assert files.names() == []
    files.close()
