"""`trioroute certs`: the authority and the certificates by which front-ends know one another.

Certificates of the elliptic curve P-256, as short-lived as somebody renews them. Who keeps the
authority's file can add front-ends and renew one by one; who does not makes all of them anew.
"""

import base64
import datetime as dt
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trioroute.cli.options import tell
from trioroute.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["PEERS_SECRET", "SEAL_SECRET", "Authority", "certs"]

Json = dict[str, Any]

#: What the StatefulSet mounts.
PEERS_SECRET: Final = "trioroute-peers"  # noqa: S105 - the name of one
SEAL_SECRET: Final = "trioroute-secret"  # noqa: S105 - the name of one
_NAMESPACE: Final = "trioroute-system"

#: Clocks of machines differ; a certificate from the future is refused.
_BACKDATED: Final = dt.timedelta(hours=1)
#: The longest that public authorities gave, and long enough to forget about: doctor reminds.
_DAYS: Final = 825
_AUTHORITY_DAYS: Final = 3650
_SEAL_BYTES: Final = 32
_CONFLICT: Final = 409


class Authority:
    """Who signs front-ends' certificates: a certificate and its key."""

    def __init__(self, certificate: "x509.Certificate", key: "EllipticCurvePrivateKey") -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def make(cls) -> "Authority":
        """A new one."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"trioroute peers {secrets.token_hex(4)}")
        builder = _builder(name, name, key, days=_AUTHORITY_DAYS)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(_usage(is_authority=True), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        return cls(_sign(builder, key), key)

    @classmethod
    def read(cls, path: Path) -> "Authority":
        """One that `write` has kept.

        Raises:
            ConfigError: the file holds no certificate with its key.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            data = path.read_bytes()
            certificate = x509.load_pem_x509_certificate(data)
            key = load_pem_private_key(data, None)
        except (OSError, ValueError, TypeError) as error:
            why = getattr(error, "strerror", None) or "it holds no PEM certificate with its key"
            raise ConfigError(f"--authority {path}: {why}") from None
        if not isinstance(key, EllipticCurvePrivateKey):
            raise ConfigError(f"--authority {path}: expected a key of an elliptic curve")
        return cls(certificate, key)

    def write(self, path: Path) -> None:
        """Keep it, readable by its owner only.

        Raises:
            ConfigError: it cannot be written.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ConfigError(f"--authority {path}: {error.strerror}") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(self.certificate() + _key_pem(self._key))

    def certificate(self) -> bytes:
        """By which its signatures are judged, PEM."""
        return _certificate_pem(self._certificate)

    def issue(self, name: str, *, days: int) -> tuple[bytes, bytes]:
        """A certificate with its key for one front-end, PEM."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), self._certificate.subject, key, days=days)
        # Peers compare the name that they dial with this one.
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
            (names, False),
            (signer, False),
            (x509.ExtendedKeyUsage(both), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(is_authority=False), True),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return _certificate_pem(_sign(builder, self._key)), _key_pem(key)


@click.command("certs")
@click.argument("names", nargs=-1)
@click.option("--count", type=click.IntRange(1), help="For trioroute-0 to trioroute-(N-1).")
@click.option("-n", "--namespace", help=f"Of the front-ends [default: the context's, {_NAMESPACE}]")
@click.option(
    "--authority",
    type=click.Path(path_type=Path),
    help="File of the authority: used when it is there, made when not. Without: thrown away.",
)
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM: another authority to believe too, while one replaces the other.",
)
@click.option("--days", default=_DAYS, show_default=True, type=click.IntRange(1))
@click.option("--seal", is_flag=True, help=f"Also make {SEAL_SECRET}, which seals endpoints' keys.")
@click.option("--write", is_flag=True, help="Into the context's cluster, instead of printing.")
def certs(
    *,
    names: tuple[str, ...],
    count: int | None,
    namespace: str | None,
    authority: Path | None,
    trust: tuple[Path, ...],
    days: int,
    seal: bool,
    write: bool,
) -> None:
    """Make the Secret by which front-ends know one another, for pods NAMES.

    Prints it for `kubectl apply -f -`, or writes it with --write. Restart the front-ends after a
    change: kubectl rollout restart statefulset/trioroute.
    """
    if bool(names) == (count is not None):
        raise click.UsageError("name the pods, as trioroute-0 trioroute-1, or say --count N")
    pods = names or tuple(f"trioroute-{number}" for number in range(count or 0))
    signer = _authority(authority)
    bundle = [signer.certificate(), *(_trusted(path) for path in trust)]
    data: dict[str, bytes] = {"ca.crt": b"".join(bundle)}
    for pod in pods:
        data[f"{pod}.crt"], data[f"{pod}.key"] = signer.issue(pod, days=days)
    where = namespace or _namespace_in_use() or _NAMESPACE
    made = [_secret(PEERS_SECRET, where, data)]
    if seal:
        seal_data = {"secret.key": secrets.token_hex(_SEAL_BYTES).encode()}
        made.append(_secret(SEAL_SECRET, where, seal_data))
    if write:
        _write(made, where)
    else:
        from trioroute.spec.written.documents import to_yaml

        click.echo("---\n".join(map(to_yaml, made)), nl=False)


def _authority(path: Path | None) -> Authority:
    if path is None:
        return Authority.make()
    if path.exists():
        return Authority.read(path)
    made = Authority.make()
    made.write(path)
    tell(f"wrote {path}: whoever has it can become a front-end. Keep it away from the cluster")
    return made


def _trusted(path: Path) -> bytes:
    """Only the certificates of a file that may hold a key as well."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        raise ConfigError(f"--trust {path} holds no PEM certificate") from None
    return b"".join(map(_certificate_pem, found))


def _namespace_in_use() -> str:
    from trioroute.client.saved.settings import find_settings

    return find_settings(None, None, os.environ).namespace.value


def _secret(name: str, namespace: str, data: Mapping[str, bytes]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def _write(made: Sequence[Json], namespace: str) -> None:
    """By server-side apply; what seals keys is only ever made, never replaced.

    Raises:
        ConfigError: the settings name no cluster.
        ClusterRefusedError: not written.
    """
    from trioroute.cli.kube.access import open_access
    from trioroute.client.saved.settings import find_settings
    from trioroute.discovery.kube.calls import KubeError

    settings = find_settings(None, None, os.environ)
    if not settings.namespace.value:
        raise ConfigError(
            "--write: no cluster is in use: trioroute config set NAME --namespace "
            f"{namespace}, or TRIOROUTE_NAMESPACE"
        )
    access = open_access(settings)
    for body in made:
        name = body["metadata"]["name"]
        path = f"/api/v1/namespaces/{namespace}/secrets"
        try:
            if name == SEAL_SECRET:
                access.send("POST", path, body, fieldManager="trioroute-cli")
            else:
                access.send(
                    "PATCH",
                    f"{path}/{name}",
                    body,
                    content_type="application/apply-patch+yaml",
                    fieldManager="trioroute-cli",
                    force="true",
                )
        except KubeError as error:
            if name == SEAL_SECRET and error.status == _CONFLICT:
                tell(f"secret {name} is there already and stays: with another one keys are lost")
                continue
            what = f"cannot write Secret {name} in namespace {namespace}"
            raise access.refusal(what, error) from None
        tell(f"wrote secret {name}")


def _name(text: str) -> "x509.Name":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: "x509.Name", issuer: "x509.Name", key: "EllipticCurvePrivateKey", *, days: int
) -> "x509.CertificateBuilder":
    from cryptography import x509

    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _usage(*, is_authority: bool) -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(builder: "x509.CertificateBuilder", key: "EllipticCurvePrivateKey") -> "x509.Certificate":
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA256())


def _certificate_pem(certificate: "x509.Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: "EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
