"""The cluster secret in its file."""

import stat
from pathlib import Path

import pytest

from trioroute.app.secret import SECRET_NAME, VARIABLE, ensure_secret, load_secret
from trioroute.errors import ConfigError


def test_a_secret_is_made_once_and_is_its_owner_s_only(tmp_path: Path) -> None:
    ensure_secret(tmp_path)
    first = load_secret(tmp_path, {})
    ensure_secret(tmp_path)
    assert load_secret(tmp_path, {}) == first
    assert first is not None
    assert len(first) == 32
    assert stat.S_IMODE((tmp_path / SECRET_NAME).stat().st_mode) == 0o600


def test_there_may_be_none(tmp_path: Path) -> None:
    assert load_secret(tmp_path, {}) is None


def test_the_environment_names_another(tmp_path: Path) -> None:
    ensure_secret(tmp_path)
    other = tmp_path / "mounted"
    other.write_bytes(b"0123456789abcdef")
    other.chmod(0o640)
    assert load_secret(tmp_path, {VARIABLE: str(other)}) == b"0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [(None, 0, "no such file"), (b"short", 0o600, "5 bytes"), (b"s" * 32, 0o604, "chmod 600")],
)
def test_a_secret_that_cannot_be_used_says_why(
    tmp_path: Path, content: bytes | None, mode: int, says: str
) -> None:
    path = tmp_path / "mounted"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(ConfigError, match=says):
        load_secret(tmp_path, {VARIABLE: str(path)})
