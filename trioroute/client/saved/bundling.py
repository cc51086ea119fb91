"""What a bug report needs of a system, without what nobody may see: `trioroute bundle`.

Everything goes through one `Redaction`; the cluster's secret, certificates' keys and the replicated
log, which holds sealed keys, are not read at all.
"""

import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec

from trioroute.client.http import AdminClient
from trioroute.client.resources import ResourceClient
from trioroute.client.saved.redaction import Redaction, redact_content
from trioroute.errors import TrioRouteError
from trioroute.spec.written.documents import Document
from trioroute.wire.resources import Resources

__all__ = ["collect", "redaction_for"]

#: Of each log, its end.
_LOG_BYTES: Final = 1024 * 1024
#: Of each front-end, in a file of its own.
_PAGES: Final = {
    "/readyz": "readyz.txt",
    "/livez": "livez.txt",
    "/metrics": "metrics.txt",
    "/v1/status": "status.json",
    "/v1/decisions": "decisions.json",
}
_PACKAGES: Final = (
    *("trioroute", "trio", "httptools", "h11", "hypercorn", "starlette", "attrs", "cattrs"),
    *("msgspec", "click", "rich", "pyyaml", "pysyncobj", "cryptography", "kubernetes"),
)


def redaction_for(client: ResourceClient) -> Redaction:
    """Knows every key that may be read, the admin token, and all environment variables' values."""
    secrets = [client.system.token or ""]
    try:
        registry = client.registry()
    except TrioRouteError:
        return Redaction.of(secrets)
    for content in _contents(registry):
        variables = content.get("environment_variables")
        if isinstance(variables, Mapping):
            secrets += [str(value) for value in variables.values()]
    for endpoint in registry.endpoints:
        try:
            keys = client.credentials(endpoint.name) if endpoint.has_keys else None
        except TrioRouteError:
            # Whoever may not read keys has none printed by this client either.
            continue
        secrets += [] if keys is None else [keys.primary_key, keys.secondary_key]
    return Redaction.of(secrets)


def collect(
    client: ResourceClient, redaction: Redaction, logs: Path | None
) -> Iterator[tuple[str, str]]:
    """Names and contents of the bundle's files; what cannot be had says why in its place.

    Args:
        logs: folder of the processes' logs, for a system on this machine.
    """
    yield "machine.json", _to_json(_machine())
    for name, url in client.system.named_urls().items():
        front_end = AdminClient(url, token=client.system.token)
        for page, file in _PAGES.items():
            path = f"front-ends/{_file_name(name)}/{file}"
            yield path, redaction.clean(_tried(partial(_get, front_end, page)))
    yield "registry.json", redaction.clean(_tried(partial(_registry, client)))
    for path, lines in _replica_logs(client):
        yield path, redaction.clean(lines)
    for path, text in _local_logs(logs):
        yield path, redaction.clean(text)


def _get(front_end: AdminClient, page: str) -> str:
    return front_end.ask("GET", page).decode(errors="replace")


def _tried(read: Callable[[], str]) -> str:
    try:
        return read()
    except TrioRouteError as error:
        return f"not to be had: {error}\n"


def _machine() -> dict[str, Any]:
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"python": sys.version, "platform": platform.platform(), "packages": packages}


def _registry(client: ResourceClient) -> str:
    registry = client.registry()

    def shown(text: str) -> dict[str, Any]:
        return redact_content(Document.decode(text).content) if text else {}

    return _to_json(
        {
            "index": registry.index,
            "endpoints": [
                msgspec.to_builtins(one) | {"document": shown(one.document)}
                for one in registry.endpoints
            ],
            "deployments": [
                msgspec.to_builtins(one) | {"document": shown(one.document)}
                for one in registry.deployments
            ],
        }
    )


def _contents(registry: Resources) -> Iterator[Mapping[str, Any]]:
    for deployment in registry.deployments:
        if deployment.document:
            yield Document.decode(deployment.document).content


def _replica_logs(client: ResourceClient) -> Iterator[tuple[str, str]]:
    try:
        deployments = client.registry().deployments
    except TrioRouteError:
        return
    for one in deployments:
        try:
            logs = client.logs(one.endpoint, one.name).items
        except TrioRouteError as error:
            yield f"replicas/{one.endpoint}-{one.name}.txt", f"not to be had: {error}\n"
            continue
        for log in logs:
            yield f"replicas/{_file_name(log.id)}.txt", "\n".join(log.lines) + "\n"


def _local_logs(folder: Path | None) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.log*")) if folder is not None else ():
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _LOG_BYTES))
                yield f"log/{path.name}", file.read().decode(errors="replace")
        except OSError as error:
            yield f"log/{path.name}", f"not to be had: {error.strerror}\n"


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in name)


def _to_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
