"""Certificate files from the command line: checked before anything starts, one message each."""

import contextlib
import ssl
from pathlib import Path
from typing import Final

import attrs

from consensus.certificates import PeerTls, load_tls
from trioroute.errors import ConfigError

__all__ = ["PairOptions", "PeerFiles", "check_pair", "load_peer_tls"]

#: A handshake of TLS 1.3 takes three flights; one more brings the alert that refuses it.
_FLIGHTS_MAX: Final = 4


@attrs.frozen
class PairOptions:
    """The options that name a certificate and its key, for messages."""

    certificate: str
    key: str


_PEER_OPTIONS: Final = PairOptions("--peer-certificate", "--peer-key")


@attrs.frozen
class PeerFiles:
    """What one front-end shows its peers, and what it judges theirs by: PEM files.

    Attributes:
        certificate: with this front-end's name among its DNS names; the chain may follow.
        authority: who must have signed the peers' certificates.
    """

    certificate: Path
    key: Path
    authority: Path

    def options(self) -> dict[str, object]:
        """The command line that says the same."""
        return {
            _PEER_OPTIONS.certificate: self.certificate,
            _PEER_OPTIONS.key: self.key,
            "--peer-authority": self.authority,
        }


def load_peer_tls(files: PeerFiles, name: str) -> PeerTls:
    """Load a front-end's files and try them on themselves.

    A mistake would otherwise show only as a group that never comes together: the peers refuse the
    handshake and tell nobody why.

    Raises:
        ConfigError: a file is missing, or they do not make `name` a peer of its own.
    """
    authority = files.authority
    check_pair(files.certificate, files.key, _PEER_OPTIONS)
    _check_readable(authority, "--peer-authority")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(authority)
    except ssl.SSLError:
        raise ConfigError(f"--peer-authority {authority} holds no PEM certificate") from None
    tls = load_tls(certificate=files.certificate, key=files.key, authority=authority)
    try:
        _greet_oneself(tls, name)
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason or str(error)
        raise ConfigError(
            f"--peer-certificate {files.certificate}: peers would refuse it as {name}: {why}"
        ) from None
    return tls


def check_pair(certificate: Path, key: Path, options: PairOptions) -> None:
    """Find out early that a certificate and key cannot be used together.

    Raises:
        ConfigError: one is missing or is no such thing, or the key is another certificate's.
    """
    _check_readable(certificate, options.certificate)
    _check_readable(key, options.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Public part first: it tells which of the two files is wrong.
        context.load_verify_locations(certificate)
    except ssl.SSLError:
        raise ConfigError(f"{options.certificate} {certificate} holds no PEM certificate") from None
    try:
        # With an empty password, or OpenSSL would ask a terminal that nobody watches.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        is_other = error.reason == "KEY_VALUES_MISMATCH"
        why = f"is not the key of {certificate}" if is_other else "holds no unencrypted PEM key"
        raise ConfigError(f"{options.key} {key} {why}") from None


def _check_readable(path: Path, option: str) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(f"{option} {path}: {error.strerror}") from None


def _greet_oneself(tls: PeerTls, name: str) -> None:
    """A handshake in memory, by both contexts: whatever a peer would refuse is refused here.

    Raises:
        ssl.SSLError: signed by somebody else, another's name, expired, not for this use.
    """
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        tls.dialling.wrap_bio(to_client, to_server, server_hostname=name),
        tls.accepting.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(_FLIGHTS_MAX):
        for side in sides:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
