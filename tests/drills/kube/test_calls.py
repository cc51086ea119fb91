"""What is not there is no error; what is refused says what was tried."""

import pytest

from tests.k8s.cluster import NAMESPACE
from tests.k8s.running import RunningCluster
from trioroute.cli.kube.access import Access
from trioroute.drills.kube.calls import delete, find, listed, merge, path_of
from trioroute.drills.world import WorldError

POD = path_of(NAMESPACE, "pods", "trioroute-0")


def test_another_pod_of_that_name_is_left_alone(cluster: RunningCluster, api: Access) -> None:
    found = find(api, POD)
    assert found is not None
    uid = found["metadata"]["uid"]
    label = {"labels": {"a": "b"}}
    assert not delete(api, POD, uid="another")
    assert merge(api, POD, {"metadata": {"uid": uid, **label}})
    assert [pod["metadata"]["name"] for pod in listed(api, POD[:-12], labelSelector="a")] == [
        "trioroute-0"
    ]
    assert delete(api, POD, uid=uid, grace_s=0)
    assert cluster.get("Pod", "trioroute-0") is None
    assert find(api, POD) is None
    assert not delete(api, POD)
    assert not merge(api, POD, {"metadata": label})


def test_a_refusal_says_what_was_tried(cluster: RunningCluster, api: Access) -> None:
    cluster.inner.server.faults.throttle()
    for call, word in ((find, "look at"), (listed, "list"), (delete, "delete")):
        with pytest.raises(WorldError, match=f"cannot {word} /api/v1/namespaces"):
            call(api, POD)
    with pytest.raises(WorldError, match="cannot change"):
        merge(api, POD, {})


def test_groups_have_paths_of_their_own() -> None:
    assert path_of("n", "leases", group="g/v1") == "/apis/g/v1/namespaces/n/leases"
    assert path_of("n", "pods", "p") == "/api/v1/namespaces/n/pods/p"
