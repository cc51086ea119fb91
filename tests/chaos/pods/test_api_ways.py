"""What is done to a fake's API server is over when the fault is."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from chaos.pods.api_ways import API_WAYS
from chaos.pods.site import Site
from chaos.pods.system import PodSystem
from chaos.sim.kubernetes.requests import Request
from chaos.sim.kubernetes_cluster.kube import LocalKube
from chaos.sim.kubernetes_cluster.plane import ControlPlane
from chaos.vocabulary import Fault


def site_of(plane: ControlPlane, folder: Path) -> Site:
    kube = LocalKube(plane.api)
    return Site(
        kube=kube, namespace="models", folder=folder, kubeconfig=plane.kubeconfig, plane=plane
    )


@pytest.mark.parametrize("name", API_WAYS)
async def test_it_is_whole_again(name: str, tmp_path: Path, autojump_clock: MockClock) -> None:
    plane = ControlPlane()
    site = site_of(plane, tmp_path)
    kube = site.kube
    for one in ("a", "b"):
        await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
    versions = plane.api.store.forgotten
    fault = Fault(kind=name, at_s=0, hold_s=0, pick=0, strength=0)
    faults = plane.server.faults
    request = Request(method="GET", target="/version", headers={}, body=b"")
    async with API_WAYS[name](PodSystem(site), fault) as hit:
        is_hurt = faults.is_frozen or faults.delay_s or faults.refuses(request) is not None
        assert hit.is_stopped == (name == "api-outage")
        assert bool(is_hurt) == (name in ("freeze-api", "throttle-api", "slow-api"))
    assert hit.felt == "", "nobody watched, and nobody asked for anything"
    assert (faults.is_frozen, faults.delay_s, faults.refuses(request)) == (False, 0.0, None)
    assert (plane.api.store.forgotten > versions) == (name in ("api-outage", "forget-versions"))


@pytest.mark.parametrize("name", ["freeze-api", "throttle-api", "slow-api"])
async def test_who_asks_meanwhile_feels_it(
    name: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    plane = ControlPlane()
    system = PodSystem(site_of(plane, tmp_path))
    fault = Fault(kind=name, at_s=0, hold_s=0, pick=0, strength=0)
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(plane.server.serve_stream, theirs)
        await ours.send_all(b"GET /version HTTP/1.1\r\n\r\n")
        assert b" 200 " in await ours.receive_some()
        # What is bad may cut connections that are open.
        async with API_WAYS[name](system, fault) as hit:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(plane.server.serve_stream, theirs)
            await ours.send_all(b"GET /version HTTP/1.1\r\n\r\n")
            await trio.sleep(1)
        assert hit.felt == "1 requests and events met it"
        nursery.cancel_scope.cancel()
