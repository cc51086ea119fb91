"""What users of the original count on: HTTP only where it is allowed, a default that moves."""

import base64
import contextlib
import http.client
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

import trioroute
from chaos.pods.system import ENDPOINT, endpoint
from tests.e2e.cluster.outside import NAME, Closed, score
from tests.e2e.cluster.stage import Stage, failed, open_stage
from tests.k8s.rendered import needs_kustomize
from trioroute.client.shapes.aks import AksEndpoint
from trioroute.errors import ConfigError
from trioroute.spec import v1

pytestmark = [needs_kustomize, pytest.mark.slow, pytest.mark.timeout(300)]

#: What each version is given by name; the default one also gets the rest.
GIVEN = 20.0


async def test_http_is_refused_until_it_is_allowed_and_a_default_moves(tmp_path: Path) -> None:
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with open_stage(
        tmp_path, instances=1, overlay="tls", kept=[_certificate(authority)]
    ) as stage:
        async with stage.offered(rate=60):
            await stage.system.apply(stage.deployment("green", instance_count=1))
            await _allow_http(stage, trust)
            await _move_default(stage)
        assert failed(stage.system.clients.requests) == []


def _certificate(authority: trustme.CA) -> dict[str, Any]:
    """As `kubectl create secret tls trioroute-tls` makes it."""
    issued = authority.issue_cert(NAME)
    files = {"tls.crt": issued.cert_chain_pems[0], "tls.key": issued.private_key_pem}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "trioroute-tls"},
        "type": "kubernetes.io/tls",
        "data": {name: base64.b64encode(pem.bytes()).decode() for name, pem in files.items()},
    }


async def _allow_http(stage: Stage, trust: ssl.SSLContext) -> None:
    """The original's allowInsecureConnections: False first, then True."""
    system = stage.system
    assert await score(system, 443, trust) == 200
    with pytest.raises(Closed, match="the Service has no port 80"):
        await score(system, 80)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        await score(system, 443)
    await system.apply(*await system.rendered("tls", components=["allow-insecure"]))
    assert await score(system, 80) == 200
    assert await score(system, 443, trust) == 200


async def _move_default(stage: Stage) -> None:
    """By the older SDK from blue to green, and back by a write of the resource, as kubectl's."""
    system = stage.system
    await system.wait_condition("OnlineDeployment", "iris-green", "Ready", "Succeeded")
    await system.apply(_versions(default="blue"))
    await _wait_default(stage, "blue")
    urls = ",".join(await system.admin_urls())
    await trio.to_thread.run_sync(_make_default, urls, "green")
    found = await system.site.kube.find("OnlineEndpoint", system.site.namespace, ENDPOINT)
    assert found is not None
    assert found["spec"]["traffic"] == {"blue": 20, "green": 80}
    marks = {one["name"]: one["is_default"] for one in _written(found)}
    assert marks == {"blue": False, "green": True}
    await _wait_shares(stage, blue=0.2, green=0.8)
    await system.apply(_versions(default="blue"))
    await _wait_default(stage, "blue")
    await _wait_shares(stage, blue=0.8, green=0.2)


def _versions(default: str) -> dict[str, Any]:
    """The OnlineEndpoint as the older SDK writes it."""
    versions = tuple(
        v1.Version(name=name, traffic_percentile=GIVEN, is_default=name == default)
        for name in ("blue", "green")
    )
    made = endpoint(v1.to_traffic(versions))
    made["spec"]["properties"] = {"aksendpoint.versions": v1.encode_versions(versions)}
    return made


def _written(resource: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(resource["spec"]["properties"]["aksendpoint.versions"])
    return rows


def _make_default(urls: str, name: str) -> None:
    AksEndpoint(trioroute.connect(urls), ENDPOINT).update_version(name, is_default=True)


async def _wait_default(stage: Stage, name: str) -> None:
    """Return when the older SDK says so at each front-end."""
    with trio.fail_after(60):
        for url in await stage.system.admin_urls():
            while await trio.to_thread.run_sync(_default, url) != name:
                await trio.sleep(0.1)


def _default(url: str) -> str:
    """Which version is the default; none while the versions have not come there."""
    with contextlib.suppress(ConfigError):
        versions = AksEndpoint(trioroute.connect(url), ENDPOINT).versions
        return next(name for name, one in versions.items() if one.is_default)
    return ""


async def _wait_shares(stage: Stage, **wanted: float) -> None:
    """Return when the requests of a while have been shared out so."""
    if not stage.has_records:
        print("SKIPPED: which deployment served: replicas' records are not on this machine")
        return
    shares: dict[str, float] = {}
    with trio.move_on_after(60):
        while True:
            since = len(stage.system.clients.requests)
            await trio.sleep(1)
            shares = await stage.shares(since)
            if all(abs(shares.get(name, 0) - part) < 0.12 for name, part in wanted.items()):
                return
    raise trio.TooSlowError(f"wanted {wanted}, but requests go by {shares}")
