"""Keys are made once, stay private, and only their digests travel."""

import hashlib
import stat
from pathlib import Path

import pytest

from trioroute.app.laptop.keys import give_keys
from trioroute.core.model import AuthMode, Endpoint
from trioroute.errors import ConfigError


def test_digests_are_those_of_the_two_keys(tmp_path: Path) -> None:
    (endpoint,), keys = give_keys([Endpoint(name="wine")], tmp_path / "keys")
    made = keys["wine"]

    assert made.primary != made.secondary
    assert endpoint.key_digests == (
        hashlib.sha256(made.primary.encode()).digest(),
        hashlib.sha256(made.secondary.encode()).digest(),
    )
    assert made.primary not in repr(made)


def test_the_second_apply_keeps_the_keys(tmp_path: Path) -> None:
    first = give_keys([Endpoint(name="wine")], tmp_path / "keys")
    assert give_keys([Endpoint(name="wine")], tmp_path / "keys") == first


def test_others_cannot_read_them(tmp_path: Path) -> None:
    give_keys([Endpoint(name="wine")], tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / "wine.json").stat().st_mode) == 0o600


def test_endpoints_without_key_auth_get_none(tmp_path: Path) -> None:
    endpoints = (
        Endpoint(name="open", anonymous=True),
        Endpoint(name="tokens", auth_mode=AuthMode.AML_TOKEN),
    )
    assert give_keys(endpoints, tmp_path / "keys") == (endpoints, {})


def test_a_damaged_key_file_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "wine.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"wine\.json is no key file: delete it"):
        give_keys([Endpoint(name="wine")], tmp_path / "keys")
