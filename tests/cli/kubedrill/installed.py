"""An order for the guard, as a drill writes it."""

from tests.k8s.cluster import NAMESPACE
from tests.k8s.running import RunningCluster
from trioroute.drills.kube.parting import Order
from trioroute.drills.kube.policies import cut_policy


def order_for(cluster: RunningCluster, environment: dict[str, str]) -> Order:
    """To part trioroute-1."""
    pod = cluster.get("Pod", "trioroute-1")
    assert pod is not None
    return Order(
        pod="trioroute-1",
        uid=pod["metadata"]["uid"],
        policy=cut_policy(pod, cluster.list("NetworkPolicy"), until="2999-01-01T00:00:00Z"),
        kubeconfig=environment["TRIOROUTE_KUBECONFIG"],
        context="fake",
        namespace=NAMESPACE,
    )
