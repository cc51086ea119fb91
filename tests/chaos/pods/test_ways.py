"""Every kind of fault that a cluster has can be done, and what is done is undone."""

from pathlib import Path

from trio.testing import MockClock

from chaos.pods.api_ways import API_WAYS
from chaos.pods.kinds import POD_KINDS
from chaos.pods.rivals import RIVAL_WAYS
from chaos.pods.site import Site
from chaos.pods.system import PodSystem
from chaos.pods.ways import NEEDS_CONTAINERS, POD_WAYS
from chaos.sim.kubernetes_cluster.kube import LocalKube
from chaos.sim.kubernetes_cluster.plane import ControlPlane
from chaos.vocabulary import Fault
from tests.k8s.rendered import documents_of


def test_every_kind_has_a_way_and_every_way_a_kind() -> None:
    every = [*POD_WAYS, *API_WAYS, *RIVAL_WAYS]
    assert sorted(every) == sorted(kind.name for kind in POD_KINDS)
    assert POD_WAYS.keys() >= NEEDS_CONTAINERS


async def test_rights_come_back(tmp_path: Path, autojump_clock: MockClock) -> None:
    plane = ControlPlane()
    kube = LocalKube(plane.api)
    await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}})
    for document in documents_of("base"):
        if document["kind"] in ("Role", "RoleBinding"):
            document["metadata"]["namespace"] = "models"
            await kube.apply(document, "models")
    site = Site(
        kube=kube, namespace="models", folder=tmp_path, kubeconfig=plane.kubeconfig, plane=plane
    )
    before = await kube.find("RoleBinding", "models", "trioroute")
    fault = Fault(kind="forbid-api", at_s=0, hold_s=0, pick=0, strength=0)
    async with POD_WAYS["forbid-api"](PodSystem(site), fault) as hit:
        assert await kube.find("RoleBinding", "models", "trioroute") is None
    assert hit.felt == "", "nobody asked for anything meanwhile"
    after = await kube.find("RoleBinding", "models", "trioroute")
    assert before is not None
    assert after is not None
    assert (after["roleRef"], after["subjects"]) == (before["roleRef"], before["subjects"])
