"""An installation in a cluster as a world to drill: what is done to its pods, what is refused."""

import sys
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from tests.drills.kube.installation import front_end, policy
from tests.drills.kube.test_parting import labels, parting, policies
from tests.k8s.cluster import NAMESPACE
from tests.k8s.running import RunningCluster
from trioroute.cli.kube.access import Access
from trioroute.drills.catalogue import Deed
from trioroute.drills.kube.system import KubeWorld, Place
from trioroute.drills.world import Target, WorldError

FIRST = Target("trioroute-0")


def strike(world: KubeWorld, deed: Deed, target: Target) -> None:
    trio.run(partial(world.strike, deed, target, lasts_s=1))


@pytest.fixture
def place(api: Access, kubeconfig: Path) -> Place:
    return Place(
        api=api,
        admin_urls={f"trioroute-{number}": "http://x" for number in range(3)},
        host="somewhere",
        kubeconfig=str(kubeconfig),
        context="",
        guard=(sys.executable, "-P", "-m", "trioroute.cli.kubedrill.guard"),
        held=lambda name: frozenset({7}) if name == "trioroute-0" else frozenset(),
    )


def test_pods_are_deleted_with_and_without_grace(cluster: RunningCluster, place: Place) -> None:
    world = KubeWorld.open(place)
    assert world.name == f"namespace {NAMESPACE} of somewhere"
    assert world.held_ports("trioroute-0", 80) == frozenset({7})
    for deed in (Deed.KILL, Deed.END):
        assert world.objection(deed, FIRST) == ""
    before = world.identity(FIRST)
    assert before.endswith(".0")
    strike(world, Deed.KILL, FIRST)
    assert cluster.get("Pod", "trioroute-0") is None
    world = attrs.evolve(world, asked={})
    assert world.identity(FIRST) == ""
    assert "no pod of trioroute-0" in world.objection(Deed.KILL, FIRST)
    with pytest.raises(WorldError, match="no pod of trioroute-0"):
        strike(world, Deed.KILL, FIRST)
    # No kubelet looks after it here: it waits for one to end it.
    cluster.do(cluster.inner.change, "Pod", "trioroute-1", _bound)
    strike(world, Deed.END, Target("trioroute-1"))
    ending = cluster.get("Pod", "trioroute-1")
    assert ending is not None
    assert ending["metadata"]["deletionGracePeriodSeconds"] == 45


def _bound(pod: dict[str, object]) -> dict[str, object]:
    spec = pod["spec"]
    assert isinstance(spec, dict)
    return {**pod, "spec": {**spec, "nodeName": "a"}}


def test_a_replica_is_the_pod_of_its_id(cluster: RunningCluster, place: Place) -> None:
    owned = front_end("iris.blue-1")
    uid = cluster.make("Pod", owned)["metadata"]["uid"]
    world = KubeWorld.open(place)
    assert world.objection(Deed.KILL, Target(f"iris.blue-1.{uid}.0", is_replica=True)) == ""
    gone = Target("iris.blue-1.another.0", is_replica=True)
    assert "no pod of iris.blue-1.another.0" in world.objection(Deed.KILL, gone)


def test_what_the_cluster_has_no_means_for_is_refused(place: Place) -> None:
    world = KubeWorld.open(place)
    assert "no means to stop" in world.objection(Deed.FREEZE, FIRST)
    assert "disk-full" in world.objection(Deed.FILL, FIRST)


def test_a_pod_that_nobody_would_make_again_is_spared(
    cluster: RunningCluster, place: Place
) -> None:
    alone = front_end("alone")
    del alone["metadata"]["ownerReferences"]
    cluster.make("Pod", alone)
    assert "nobody would make pod alone again" in KubeWorld.open(place).objection(
        Deed.KILL, Target("alone")
    )


def test_without_the_rights_nothing_is_begun(place: Place, poor_api: Access) -> None:
    world = KubeWorld(attrs.evolve(place, api=poor_api))
    said = world.objection(Deed.KILL, FIRST)
    assert said.startswith(f"you have no right in {NAMESPACE} to ")
    assert "create pods/portforward" in said


def test_a_guard_parts_and_joins(cluster: RunningCluster, place: Place) -> None:
    world = KubeWorld.open(place)
    assert world.objection(Deed.CUT, FIRST) == ""

    async def part() -> None:
        await world.strike(Deed.CUT, FIRST, lasts_s=60)
        await trio.to_thread.run_sync(look)
        await world.mend()
        await world.mend()  # nothing left is fine

    def look() -> None:
        assert labels(cluster) == ["trioroute-0"]
        with pytest.raises(WorldError, match="drill undo"):
            KubeWorld.open(place)

    trio.run(part)
    assert (labels(cluster), policies(cluster)) == ([], ["trioroute"])


def test_what_an_earlier_drill_left_too_long_ago_is_removed(
    cluster: RunningCluster, api: Access, place: Place
) -> None:
    parting(cluster, api, until="2020-01-01T00:00:00Z").inflict()
    KubeWorld.open(place)
    assert (labels(cluster), policies(cluster)) == ([], ["trioroute"])


def test_policies_that_would_make_nothing_of_it_are_named(
    cluster: RunningCluster, place: Place
) -> None:
    world = KubeWorld.open(place)
    wide = policy()
    wide["metadata"]["name"] = "wide"
    wide["spec"]["podSelector"] = {}
    cluster.make("NetworkPolicy", wide)
    assert "NetworkPolicy wide would go on being for it" in world.objection(Deed.CUT, FIRST)
    cluster.do(cluster.inner.delete, "NetworkPolicy", "wide")
    cluster.do(cluster.inner.delete, "NetworkPolicy", "trioroute")
    assert "trioroute-1 would go on taking peers" in world.objection(Deed.CUT, FIRST)
