"""Mutual TLS between front-ends: contexts, the peer's name, and throw-away certificates.

A certificate's DNS names say which front-end it is; the hello must claim one of them. TLS 1.3 only:
both ends are this library. Files that change on disk are taken for the next connection; sessions
that are open go on with what they began with, so rotating costs no session and no leader.
"""

import datetime as dt
import ipaddress
import logging
import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    import trio

__all__ = ["PeerTls", "load_tls", "peer_names", "write_throwaway_certificates"]

_LOG: Final = logging.getLogger(__name__)

#: A laptop's group is started anew at least once in this time; a cluster brings its own.
_THROWAWAY_DAYS: Final = 365
_AUTHORITY_FILE: Final = "authority.pem"


#: What tells one version of a file from another: a file that was written or replaced differs.
_Stamp = tuple[int, int, int]


@attrs.frozen
class _Files:
    certificate: Path
    key: Path
    authority: Path

    def stamps(self) -> tuple[_Stamp, ...]:
        """Which versions of the three files are there. Through links, so a swapped link counts."""
        found = (path.stat() for path in (self.certificate, self.key, self.authority))
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)

    def contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """New ones: an old context never forgets an authority that it once trusted."""
        accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        dialling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for context in (accepting, dialling):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority)
            # With an empty password, or OpenSSL would ask a terminal that nobody watches.
            context.load_cert_chain(self.certificate, self.key, password="")
        return accepting, dialling


class PeerTls:
    """What one front-end needs to accept and to dial, as its files are when it is asked.

    A set that does not load (half written, a key of another certificate) leaves the earlier one in
    force until the files change again; `problem` and one line of the log say why. Asking costs
    three stat(2).
    """

    def __init__(self, files: _Files) -> None:
        self.problem = ""
        self._files = files
        self._stamps = files.stamps()
        self._accepting, self._dialling = files.contexts()

    @property
    def accepting(self) -> ssl.SSLContext:
        """For the next connection that is accepted."""
        self._refresh()
        return self._accepting

    @property
    def dialling(self) -> ssl.SSLContext:
        """For the next connection that is dialled."""
        self._refresh()
        return self._dialling

    def _refresh(self) -> None:
        stamps: tuple[_Stamp, ...] = ()
        try:
            stamps = self._files.stamps()
            if stamps == self._stamps:
                return
            self._accepting, self._dialling = self._files.contexts()
            self.problem = ""
        except OSError as error:  # ssl.SSLError is one
            problem = f"{self._files.certificate.parent}: new files do not load: {error}"
            if problem != self.problem:
                _LOG.error("%s; the earlier ones stay in force until they change again", problem)
            self.problem = problem
        self._stamps = stamps


def load_tls(*, certificate: Path, key: Path, authority: Path) -> PeerTls:
    """Contexts from PEM files, which are read again whenever they change.

    Args:
        certificate: this front-end's, with its name among the DNS names, and the chain if any.
        key: its private key.
        authority: who must have signed the peers' certificates.

    Raises:
        OSError: a file is missing.
        ssl.SSLError: a file is not what it should be.
    """
    return PeerTls(_Files(certificate, key, authority))


def peer_names(stream: "trio.SSLStream[trio.SocketStream]") -> frozenset[str]:
    """The DNS names in the certificate that the other end proved to hold."""
    certificate = stream.getpeercert() or {}
    names: Iterable[tuple[str, str]] = certificate.get("subjectAltName", ())
    return frozenset(value for kind, value in names if kind == "DNS")


def write_throwaway_certificates(folder: Path, names: Iterable[str]) -> dict[str, PeerTls]:
    """Make an authority and one certificate for each name; its own key is not kept anywhere.

    Args:
        folder: gets `authority.pem`, and `NAME.pem` and `NAME.key` for each name, keys mode 0600.
        names: the front-ends.

    Returns:
        Loaded contexts by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("trioroute throw-away authority", authority_key, None)
    (folder / _AUTHORITY_FILE).write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    made = {}
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, (authority, authority_key))
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(paths[1], key)
        made[name] = load_tls(
            certificate=paths[0], key=paths[1], authority=folder / _AUTHORITY_FILE
        )
    return made


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    data = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _key_identifier(issuer_key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    """One certificate: an authority when nobody issues it, else a leaf for both TLS roles."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=_THROWAWAY_DAYS))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        # While authorities rotate two of the same name are trusted; these tell which one signed.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_key_identifier(issuer[1] if issuer else key), critical=False)
    )
    if issuer is None:
        return builder.sign(key, hashes.SHA256())
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), loopback]), critical=False
        )
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(issuer[1], hashes.SHA256())
    )
