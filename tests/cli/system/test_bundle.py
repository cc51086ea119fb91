"""The bundle as a file."""

import tarfile
from pathlib import Path

from tests.cli.console import Console


def test_a_bundle_is_private_and_holds_no_key(console: Console, tmp_path: Path) -> None:
    console(f"apply {console.write('blue')}")
    key = console("credentials fraud -o tsv --query primaryKey").strip()
    target = tmp_path / "b.tar.gz"
    out = console(f"bundle -f {target}")
    assert out.startswith(f"wrote {target}: ")
    assert "look through it" in console.err
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as archive:
        texts = {
            entry.name: archive.extractfile(entry).read().decode()  # type: ignore[union-attr]
            for entry in archive.getmembers()
        }
    assert "b/registry.json" in texts
    assert "b/settings.txt" in texts
    assert not [name for name, text in texts.items() if key in text]
    console(f"bundle -f {tmp_path / 'none' / 'b.tar.gz'}", status=2)
    assert "cannot be written" in console.err
