"""Certificate files that cannot work are refused at the start, each with a message of its own."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from consensus.certificates import write_throwaway_certificates
from trioroute.app.host.certificates import ListenerFiles, PeerFiles, load_peer_tls, replica_files
from trioroute.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_throwaway_certificates(tmp_path, ["fe-0", "fe-1"])
    return tmp_path


def files_of(folder: Path, name: str, **others: Path) -> PeerFiles:
    chosen = {
        "certificate": folder / f"{name}.pem",
        "key": folder / f"{name}.key",
        "authority": folder / "authority.pem",
        **others,
    }
    return PeerFiles(chosen["certificate"], chosen["key"], chosen["authority"])


def test_files_that_fit_are_loaded(folder: Path) -> None:
    tls = load_peer_tls(files_of(folder, "fe-0"), "fe-0")
    assert tls.accepting.cert_store_stats()["x509_ca"] == 1


def test_another_front_ends_certificate_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"--peer-certificate .*fe-1\.pem: .* as fe-0: .*fe-0"):
        load_peer_tls(files_of(folder, "fe-1"), "fe-0")


def test_a_certificate_of_another_authority_is_refused(folder: Path, tmp_path: Path) -> None:
    write_throwaway_certificates(tmp_path / "other", ["fe-0"])
    files = files_of(folder, "fe-0", authority=tmp_path / "other" / "authority.pem")
    with pytest.raises(ConfigError, match=r"peers would refuse it as fe-0"):
        load_peer_tls(files, "fe-0")


def test_an_authority_without_certificate_is_refused(folder: Path) -> None:
    (folder / "empty").write_text("")
    files = files_of(folder, "fe-0", authority=folder / "empty")
    with pytest.raises(ConfigError, match=r"--peer-authority .*empty holds no PEM certificate"):
        load_peer_tls(files, "fe-0")


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        ("none.pem", "fe-0.key", r"--tls-certificate .*none\.pem: No such file"),
        ("fe-0.pem", "none.key", r"--tls-key .*none\.key: No such file"),
        ("fe-0.pem", ".", r"--tls-key .*: Is a directory"),
        ("fe-0.key", "fe-0.key", r"--tls-certificate .*fe-0\.key holds no PEM certificate"),
        ("fe-0.pem", "fe-0.pem", r"--tls-key .*fe-0\.pem holds no unencrypted PEM key"),
        ("fe-0.pem", "fe-1.key", r"--tls-key .*fe-1\.key is not the key of .*fe-0\.pem"),
    ],
)
def test_each_mistake_of_a_pair_has_a_message(
    certificate: str, key: str, message: str, folder: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        ListenerFiles(folder / certificate, folder / key).check()


def test_a_key_with_a_password_is_refused_without_asking_for_it(folder: Path) -> None:
    secret = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    (folder / "sealed.key").write_bytes(secret)
    with pytest.raises(ConfigError, match="holds no unencrypted PEM key"):
        ListenerFiles(folder / "fe-0.pem", folder / "sealed.key").check()


def test_files_for_tls_to_replicas(folder: Path) -> None:
    authority, own = folder / "authority.pem", (folder / "fe-0.pem", folder / "fe-0.key")
    files = replica_files(authority, *own)
    files.check()
    assert files.tls().context().cert_store_stats()["x509_ca"] == 1
    replica_files(None, None, None).check()
    with pytest.raises(ConfigError, match="--replica-certificate and --replica-key go together"):
        replica_files(authority, own[0], None)
    with pytest.raises(ConfigError, match=r"--replica-key .* is not the key of"):
        replica_files(authority, own[0], folder / "fe-1.key").check()
    with pytest.raises(ConfigError, match=r"--replica-authority .* holds no PEM certificate"):
        replica_files(own[1], None, None).check()
