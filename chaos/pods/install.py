"""What is installed: the manifests of `k8s/` as kustomize renders them, and what they ask for."""

import base64
import json
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from trioroute.app.laptop.front_ends import make_peer_files

__all__ = ["MANIFESTS", "REPLICA_COMMAND", "definitions", "overlay", "secrets_of"]

Json = dict[str, Any]

MANIFESTS: Final = Path(__file__).resolve().parents[2] / "k8s"

#: A model server that records what it does (`chaos.processes.replica`), in the router's own image.
REPLICA_COMMAND: Final = "python -P -m chaos.processes.replica /tmp/record 0.0.0.0:{port}"


def definitions() -> list[Json]:
    """The custom resources' definitions, as `kubectl apply -k k8s/crds` takes them."""
    files = sorted((MANIFESTS / "crds").glob("online*.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def overlay(
    name: str,
    namespace: str,
    folder: Path,
    *,
    image: str = "trioroute",
    knobs: Mapping[str, str],
    components: Sequence[str] = (),
) -> list[Json]:
    """An overlay's documents, by `kubectl kustomize`, in a namespace of one's own. Blocking.

    Args:
        folder: for the overlay that is laid over it.
        image: of front-ends, with its tag.
        knobs: entries of the ConfigMap that are other than by default.
        components: of `k8s/components`, on top of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base, _, tag = image.partition(":")
    patch = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "trioroute"},
        "data": dict(knobs),
    }
    laid_over = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(MANIFESTS / "overlays" / name, folder)],
        "components": [
            os.path.relpath(MANIFESTS / "components" / one, folder) for one in components
        ],
        "images": [{"name": "trioroute", "newName": base, **({"newTag": tag} if tag else {})}],
        "patches": [{"patch": json.dumps(patch)}],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(laid_over))
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, check=True, text=True
    ).stdout
    documents: list[Json] = list(yaml.safe_load_all(rendered))
    # The namespace is the caller's; kustomize renames what is in it, not the Namespace itself.
    return [one for one in documents if one["kind"] != "Namespace"]


def secrets_of(names: Sequence[str], folder: Path) -> list[Json]:
    """The Secrets that `k8s/README.md` has the operator make: peers' certificates, and the key."""
    files = make_peer_files(folder, names)
    authority = next(iter(files.values())).authority
    peers = {"ca.crt": authority.read_bytes()}
    for name, own in files.items():
        peers |= {f"{name}.crt": own.certificate.read_bytes(), f"{name}.key": own.key.read_bytes()}
    return [
        _secret("trioroute-peers", peers),
        _secret("trioroute-secret", {"secret.key": secrets.token_hex(32).encode()}),
    ]


def _secret(name: str, data: Mapping[str, bytes]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
