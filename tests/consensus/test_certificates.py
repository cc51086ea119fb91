"""Throw-away certificates work for both ends, and their keys are nobody else's to read."""

import ssl
from pathlib import Path

import pytest

from consensus.certificates import load_tls, write_throwaway_certificates


def test_every_front_end_gets_a_key_that_only_its_user_reads(tmp_path: Path) -> None:
    made = write_throwaway_certificates(tmp_path / "new", ["fe-0", "fe-1"])
    assert sorted(made) == ["fe-0", "fe-1"]
    keys = sorted((tmp_path / "new").glob("*.key"))
    assert [key.name for key in keys] == ["fe-0.key", "fe-1.key"]
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    for tls in made.values():
        assert tls.accepting.verify_mode is ssl.CERT_REQUIRED
        assert tls.dialling.verify_mode is ssl.CERT_REQUIRED
        assert tls.dialling.check_hostname
        assert tls.accepting.minimum_version is ssl.TLSVersion.TLSv1_3


def test_they_can_be_made_again_and_loaded_by_another_process(tmp_path: Path) -> None:
    write_throwaway_certificates(tmp_path, ["fe-0"])
    write_throwaway_certificates(tmp_path, ["fe-0"])
    load_tls(
        certificate=tmp_path / "fe-0.pem",
        key=tmp_path / "fe-0.key",
        authority=tmp_path / "authority.pem",
    )


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    write_throwaway_certificates(tmp_path, ["fe-0", "fe-1"])
    with pytest.raises(ssl.SSLError):
        load_tls(
            certificate=tmp_path / "fe-0.pem",
            key=tmp_path / "fe-1.key",
            authority=tmp_path / "authority.pem",
        )
