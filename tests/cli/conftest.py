"""The console that verbs are tested with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.console import Console, open_console


@pytest.fixture
def console(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Console]:
    with open_console(tmp_path, capsys) as opened:
        yield opened
