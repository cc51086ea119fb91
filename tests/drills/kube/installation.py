"""What `k8s/base` leaves of front-ends in a cluster, as far as drills look at it."""

from typing import Any

from tests.k8s.rendered import documents_of
from tests.k8s.running import RunningCluster

Json = dict[str, Any]

LABELS = {
    "app.kubernetes.io/name": "trioroute",
    "app.kubernetes.io/component": "front-end",
}


def base(kind: str) -> Json:
    """A document of the base."""
    return next(one for one in documents_of("base") if one["kind"] == kind)


def policy() -> Json:
    """The base's NetworkPolicy; kustomize adds our labels to selectors, which it has already."""
    return {key: value for key, value in base("NetworkPolicy").items() if key != "status"}


def front_end(name: str, **labels: str) -> Json:
    """Its pod, as the StatefulSet makes it."""
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "trioroute", "uid": "u"}
    return {
        "metadata": {
            "name": name,
            "labels": {**LABELS, **labels},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": base("StatefulSet")["spec"]["template"]["spec"],
    }


def install(cluster: RunningCluster) -> None:
    """Three front-ends and their NetworkPolicy."""
    stateful = {"metadata": {"name": "trioroute"}, "spec": {"template": {}, "selector": {}}}
    made = cluster.make("StatefulSet", stateful)
    cluster.make("NetworkPolicy", policy())
    for number in range(3):
        pod = front_end(f"trioroute-{number}")
        # The garbage collector looks whether owners are there.
        pod["metadata"]["ownerReferences"][0]["uid"] = made["metadata"]["uid"]
        cluster.make("Pod", pod)
