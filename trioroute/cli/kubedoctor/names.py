"""Hosts outside a cluster that what is deployed there needs: registries, issuers, downloads."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from trioroute.cli.kube.access import Access
from trioroute.cli.kubedoctor.looking import Look
from trioroute.cli.system.names import Named, issuer_hosts
from trioroute.cli.system.verdicts import Verdict
from trioroute.discovery.kube.calls import KubeError

__all__ = ["Outside", "names_of_cluster", "outside_hosts", "registry_of"]

_HTTP: Final = 80
_HTTPS: Final = 443
#: Where an image comes from whose name begins with no host.
_DEFAULT_REGISTRY: Final = "registry-1.docker.io"
_CLUSTERS: Final = "the cluster's DNS is asked there, not this machine's: --deep looks from inside"


@attrs.frozen(kw_only=True)
class Outside:
    """A place outside, and who goes there."""

    host: str
    port: int
    why: str
    is_tls: bool = True


def names_of_cluster(access: Access) -> Iterator[Named]:
    """What this machine, machines of the cluster and pods have to find."""
    fix = "kubectl version has to work first: VPN, DNS of that name"
    host = urlsplit(access.configuration.host).hostname or ""
    yield Named(host=host, why="the API server", bad=Verdict.BAD, fix=fix)
    try:
        for one in outside_hosts(Look(access)):
            yield Named(host=one.host, why=one.why, bad=Verdict.WARNING, fix=_CLUSTERS)
    except KubeError:
        return  # the group kubernetes says so


def outside_hosts(look: Look) -> Iterator[Outside]:
    """By what is deployed; a host may come more than once. Raises KubeError."""
    found = look.get(look.stateful_set) or {}
    template = (found.get("spec") or {}).get("template") or {}
    for container in (template.get("spec") or {}).get("containers") or ():
        yield _registry(str(container.get("image") or ""), "front-ends")
    for one in look.of_models("apis/trioroute.dev/v1alpha1", "onlineendpoints"):
        name = one["metadata"]["name"]
        for host in issuer_hosts(one["spec"].get("properties") or {}):
            yield Outside(host=host, port=_HTTPS, why=f"issuer of tokens for {name}")
    for one in look.of_models("apis/trioroute.dev/v1alpha1", "onlinedeployments"):
        name, spec = one["metadata"]["name"], one["spec"]
        environment = spec.get("environment")
        image = environment.get("image") if isinstance(environment, dict) else None
        if image:
            yield _registry(str(image), name)
        yield from _downloads(spec.get("environment_variables") or {}, name)


def _registry(image: str, who: str) -> Outside:
    host, port = registry_of(image)
    return Outside(host=host, port=port, why=f"registry of the image of {who}")


def registry_of(image: str) -> tuple[str, int]:
    """Host and port that an image is pulled from, as container runtimes read its name."""
    first, slash, _ = image.partition("/")
    if not slash or not (set(first) & {".", ":"} or first == "localhost"):
        return _DEFAULT_REGISTRY, _HTTPS
    host, _, port = first.partition(":")
    host = _DEFAULT_REGISTRY if host in ("docker.io", "index.docker.io") else host
    return host, int(port) if port.isdigit() else _HTTPS


def _downloads(variables: dict[str, Any], who: str) -> Iterator[Outside]:
    """URLs that a model server is given: what it fetches its model from, as a rule."""
    for name, value in variables.items():
        try:
            parts = urlsplit(str(value))
            port = parts.port or (_HTTPS if parts.scheme == "https" else _HTTP)
        except ValueError:
            continue  # like a URL and none
        if parts.scheme in ("http", "https") and parts.hostname:
            yield Outside(
                host=parts.hostname,
                port=port,
                why=f"{name} of {who}",
                is_tls=parts.scheme == "https",
            )
