"""Certificate files from the command line: checked before anything starts, one message each."""

import contextlib
import ssl
from pathlib import Path
from typing import Final

import attrs

from consensus.certificates import PeerTls, load_tls
from trioroute.errors import ConfigError
from trioroute.net.tls import ClientTls

__all__ = [
    "ListenerFiles",
    "PeerFiles",
    "ReplicaFiles",
    "listener_files",
    "load_peer_tls",
    "peer_files",
    "replica_files",
]

#: A handshake of TLS 1.3 takes three flights; one more brings the alert that refuses it.
_FLIGHTS_MAX: Final = 4


@attrs.frozen
class _Pair:
    """A certificate and its key, and the options that name them."""

    certificate_option: str
    certificate: Path
    key_option: str
    key: Path

    def options(self) -> dict[str, object]:
        return {self.certificate_option: self.certificate, self.key_option: self.key}


@attrs.frozen
class ListenerFiles:
    """The scoring port's certificate, with its chain if any, and its key: PEM files."""

    certificate: Path
    key: Path

    def options(self) -> dict[str, object]:
        """The command line that says the same."""
        return self._pair().options()

    def check(self) -> None:
        """Find out early that they cannot be used.

        Raises:
            ConfigError: one is missing or no such thing, or the key is another certificate's.
        """
        _check_pair(self._pair())

    def _pair(self) -> _Pair:
        return _Pair("--tls-certificate", self.certificate, "--tls-key", self.key)


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
        return {**self.pair().options(), "--peer-authority": self.authority}

    def pair(self) -> _Pair:
        """Certificate and key."""
        return _Pair("--peer-certificate", self.certificate, "--peer-key", self.key)


@attrs.frozen
class ReplicaFiles:
    """Whose replicas' certificates are believed, and who we are to them: PEM files.

    Attributes:
        authority: who signs replicas' certificates, or such a certificate itself; None: whom the
            system trusts.
        certificate, key: shown to replicas that ask; None for neither.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def options(self) -> dict[str, object]:
        """The command line that says the same."""
        files = {"--replica-authority": self.authority}
        if self.certificate is not None:
            files |= {"--replica-certificate": self.certificate, "--replica-key": self.key}
        return {option: file for option, file in files.items() if file is not None}

    def check(self) -> None:
        """Find out early that they cannot be used.

        Raises:
            ConfigError: one is missing or no such thing, or the key is another certificate's.
        """
        if self.authority is not None:
            _check_authority(self.authority, "--replica-authority")
        if self.certificate is not None and self.key is not None:
            _check_pair(_Pair("--replica-certificate", self.certificate, "--replica-key", self.key))

    def tls(self) -> ClientTls:
        """What opens connections with them; it follows the files."""
        return ClientTls(self.authority, self.certificate, self.key)


def listener_files(certificate: Path | None, key: Path | None) -> ListenerFiles | None:
    """The scoring port's files as named on a command line, None when there are none.

    Raises:
        ConfigError: only one is named.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("--tls-certificate and --tls-key go together: name both or none")
    return ListenerFiles(certificate, key)


def peer_files(
    certificate: Path | None, key: Path | None, authority: Path | None
) -> PeerFiles | None:
    """The peers port's files as named on a command line, None when there are none.

    Raises:
        ConfigError: only some are named.
    """
    if certificate is None and key is None and authority is None:
        return None
    if certificate is None or key is None or authority is None:
        raise ConfigError(
            "--peer-certificate, --peer-key and --peer-authority go together: name all or none"
        )
    return PeerFiles(certificate, key, authority)


def replica_files(
    authority: Path | None, certificate: Path | None, key: Path | None
) -> ReplicaFiles:
    """The files for TLS to replicas as named on a command line.

    Raises:
        ConfigError: a certificate without its key, or the other way round.
    """
    if (certificate is None) != (key is None):
        raise ConfigError("--replica-certificate and --replica-key go together: name both or none")
    return ReplicaFiles(authority, certificate, key)


def load_peer_tls(files: PeerFiles, name: str) -> PeerTls:
    """Load a front-end's files and try them on themselves.

    A mistake would otherwise show only as a group that never comes together: the peers refuse the
    handshake and tell nobody why.

    Raises:
        ConfigError: a file is missing, or they do not make `name` a peer of its own.
    """
    authority = files.authority
    _check_pair(files.pair())
    _check_authority(authority, "--peer-authority")
    tls = load_tls(certificate=files.certificate, key=files.key, authority=authority)
    try:
        _greet_oneself(tls, name)
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason or str(error)
        raise ConfigError(
            f"--peer-certificate {files.certificate}: peers would refuse it as {name}: {why}"
        ) from None
    return tls


def _check_pair(pair: _Pair) -> None:
    certificate, key = pair.certificate, pair.key
    _check_readable(certificate, pair.certificate_option)
    _check_readable(key, pair.key_option)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Public part first: it tells which of the two files is wrong.
        context.load_verify_locations(certificate)
    except ssl.SSLError:
        message = f"{pair.certificate_option} {certificate} holds no PEM certificate"
        raise ConfigError(message) from None
    try:
        # With an empty password, or OpenSSL would ask a terminal that nobody watches.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        is_other = error.reason == "KEY_VALUES_MISMATCH"
        why = f"is not the key of {certificate}" if is_other else "holds no unencrypted PEM key"
        raise ConfigError(f"{pair.key_option} {key} {why}") from None


def _check_authority(path: Path, option: str) -> None:
    _check_readable(path, option)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise ConfigError(f"{option} {path} holds no PEM certificate") from None


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
