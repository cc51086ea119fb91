"""A pod is parted and joined again, and whatever is left of it is found."""

import datetime as dt

import pytest

from tests.k8s.cluster import NAMESPACE
from tests.k8s.running import RunningCluster
from trioroute.cli.kube.access import Access
from trioroute.drills.kube.parting import Order, Parting, left_behind, remove_left, shown_time
from trioroute.drills.kube.policies import CUT_LABEL, cut_policy
from trioroute.drills.world import WorldError


def parting(
    cluster: RunningCluster, api: Access, *, until: str = "2999-01-01T00:00:00Z"
) -> Parting:
    pod = cluster.get("Pod", "trioroute-1")
    assert pod is not None
    order = Order(
        pod="trioroute-1",
        uid=pod["metadata"]["uid"],
        policy=cut_policy(pod, cluster.list("NetworkPolicy"), until=until),
        kubeconfig="",
        context="",
        namespace=NAMESPACE,
    )
    return Parting(api, order)


def labels(cluster: RunningCluster) -> list[str]:
    return [
        p["metadata"]["name"] for p in cluster.list("Pod") if CUT_LABEL in p["metadata"]["labels"]
    ]


def policies(cluster: RunningCluster) -> list[str]:
    return sorted(one["metadata"]["name"] for one in cluster.list("NetworkPolicy"))


def test_it_is_parted_and_joined_again(cluster: RunningCluster, api: Access) -> None:
    wound = parting(cluster, api)
    assert wound.keeper() is None
    wound.inflict()
    assert labels(cluster) == ["trioroute-1"]
    assert policies(cluster) == ["trioroute", "trioroute-drill-trioroute-1"]
    with pytest.raises(WorldError, match="drill undo"):
        wound.inflict()
    for _ in range(2):  # what is whole already is fine
        wound.heal()
        assert (labels(cluster), policies(cluster)) == ([], ["trioroute"])


def test_a_pod_that_has_gone_meanwhile_is_not_mistaken(
    cluster: RunningCluster, api: Access
) -> None:
    wound = parting(cluster, api)
    cluster.do(cluster.inner.delete, "Pod", "trioroute-1")
    pod = cluster.get("Pod", "trioroute-2")
    assert pod is not None
    with pytest.raises(WorldError, match="pod trioroute-1 has gone"):
        wound.inflict()
    wound.heal()
    assert policies(cluster) == ["trioroute"]


def test_what_is_left_is_found_and_removed(cluster: RunningCluster, api: Access) -> None:
    assert list(left_behind(api)) == []
    assert remove_left(api) == []
    wound = parting(cluster, api)
    wound.inflict()
    ((what, is_over),) = left_behind(api)
    assert (what.startswith("NetworkPolicy trioroute-drill-trioroute-1"), is_over) == (True, False)
    assert remove_left(api) == [
        f"label {CUT_LABEL} of pod trioroute-1",
        "NetworkPolicy trioroute-drill-trioroute-1",
    ]
    assert (labels(cluster), policies(cluster)) == ([], ["trioroute"])


def test_what_is_late_and_a_label_alone_are_nobodys_any_more(
    cluster: RunningCluster, api: Access
) -> None:
    late = shown_time(dt.datetime.now(dt.UTC) - dt.timedelta(seconds=2))
    wound = parting(cluster, api, until=late)
    wound.inflict()
    assert [is_over for _, is_over in left_behind(api)] == [True]
    cluster.do(cluster.inner.delete, "NetworkPolicy", "trioroute-drill-trioroute-1")
    assert [is_over for _, is_over in left_behind(api)] == [True]
    assert remove_left(api) == [f"label {CUT_LABEL} of pod trioroute-1"]
