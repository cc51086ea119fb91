"""What is done to a fake's API server is over when the fault is."""

from pathlib import Path

import pytest

from chaos.pods.api_ways import API_WAYS
from chaos.pods.site import Site
from chaos.pods.system import PodSystem
from chaos.sim.kubernetes.requests import Request
from chaos.sim.kubernetes_cluster.kube import LocalKube
from chaos.sim.kubernetes_cluster.plane import ControlPlane
from chaos.vocabulary import Fault


@pytest.mark.parametrize("name", API_WAYS)
async def test_it_is_whole_again(name: str, tmp_path: Path) -> None:
    plane = ControlPlane()
    kube = LocalKube(plane.api)
    site = Site(
        kube=kube, namespace="models", folder=tmp_path, kubeconfig=plane.kubeconfig, plane=plane
    )
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
    assert (faults.is_frozen, faults.delay_s, faults.refuses(request)) == (False, 0.0, None)
    assert (plane.api.store.forgotten > versions) == (name in ("api-outage", "forget-versions"))
