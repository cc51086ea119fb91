"""HTTPS for the fake: an authority and a certificate of the run's own, good on loopback."""

import base64
import ssl
from pathlib import Path
from typing import Any

import attrs

from consensus.certificates import write_throwaway_certificates

__all__ = ["ServerTls", "make_server_tls"]

_NAME = "kubernetes"


@attrs.frozen
class ServerTls:
    """What the server listens with, and who signed it.

    Attributes:
        authority: PEM.
    """

    context: ssl.SSLContext
    authority: bytes

    def trust(self) -> dict[str, Any]:
        """What a kubeconfig's cluster says beside the address."""
        return {"certificate-authority-data": base64.b64encode(self.authority).decode()}


def make_server_tls(folder: Path) -> ServerTls:
    """Make a new authority and a certificate for 127.0.0.1.

    Args:
        folder: for their files; made when missing.
    """
    write_throwaway_certificates(folder, [_NAME])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{_NAME}.pem", folder / f"{_NAME}.key")
    return ServerTls(context, (folder / "authority.pem").read_bytes())
