"""export and import, as a user types them."""

from pathlib import Path

import pytest
import yaml

from tests.cli.console import Console, open_console


def test_what_was_exported_is_imported_elsewhere(
    console: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console(f"apply {console.write('blue', 'green')}")
    console("traffic fraud blue=70 green=30")
    key = console("credentials fraud -o tsv --query primaryKey")
    saved = tmp_path / "saved.yml"
    assert console(f"export --with-keys -f {saved}") == ""
    assert saved.stat().st_mode & 0o777 == 0o600
    with open_console(tmp_path, capsys) as other:
        assert "endpoint fraud create\n" in other(f"import {saved} --dry-run")
        assert not other.desk.state.endpoints
        assert "deployment fraud/green created" in other(f"import {saved}")
        assert other("credentials fraud -o tsv --query primaryKey") == key
        assert other("traffic fraud") == "blue=70 green=30\n"
        assert "unchanged" in other(f"import {saved} -o tsv --query [0].action")


def test_files_are_written_for_apply(console: Console, tmp_path: Path) -> None:
    console(f"apply {console.write('blue')}")
    console(f"export --folder {tmp_path / 'out'}")
    assert "unchanged" in console(f"apply {tmp_path / 'out'}")
    assert yaml.safe_load((tmp_path / "out" / "endpoint-fraud.yml").read_text())["name"] == "fraud"
    console(f"export --folder {tmp_path} --with-keys", status=2)
    assert "--folder" in console.err


def test_a_place_that_cannot_be_written_is_named(console: Console, tmp_path: Path) -> None:
    console(f"export -f {tmp_path / 'none' / 'saved.yml'}", status=2)
    assert "cannot be written" in console.err


def test_keys_stay_out_unless_asked_for(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    key = console("credentials fraud -o tsv --query primaryKey").strip()
    assert key not in console("export")
    assert key in console("export --with-keys")
