"""What `doctor` says of front-ends that are installed, well or not."""

import json
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from chaos.sim.kubernetes.objects import Write
from tests.cli.kubedoctor.test_requirements import Rows, doctor
from tests.k8s.rendered import documents_of
from tests.k8s.running import RunningCluster

Json = dict[str, Any]

_LABELS = {
    "app.kubernetes.io/name": "trioroute",
    "app.kubernetes.io/component": "front-end",
}


@pytest.fixture
def door() -> Iterator[int]:
    """Where a load balancer would listen."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def install(
    cluster: RunningCluster, machines: Sequence[int] = (0, 1, 2), *, door: int = 80
) -> None:
    """The base's objects, and what a cluster makes of them when all is well.

    Args:
        machines: where each front-end runs.
        door: the load balancer's port.
    """
    for document in documents_of("base"):
        if document["kind"] not in ("Namespace", "Role", "RoleBinding", "ServiceAccount"):
            document["metadata"].pop("namespace", None)
            cluster.make(document["kind"], document)
    status(cluster, "StatefulSet", "trioroute", {"readyReplicas": 3, "replicas": 3})
    balancer = {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}
    status(cluster, "Service", "trioroute", balancer)
    respec(cluster, "Service", "trioroute", {"ports": [{"name": "http", "port": door}]})
    for number, machine in enumerate(machines):
        name = f"trioroute-{number}"
        container = {"name": "front-end", "image": "trioroute:0.1.0"}
        spec = {"containers": [container], "nodeName": f"machine-{machine}"}
        cluster.make("Pod", {"metadata": {"name": name, "labels": _LABELS}, "spec": spec})
        ready = {"type": "Ready", "status": "True"}
        status(cluster, "Pod", name, {"phase": "Running", "conditions": [ready]})
        cluster.make("PersistentVolumeClaim", {"metadata": {"name": f"data-{name}"}})
        cluster.do(
            cluster.inner.change,
            "PersistentVolumeClaim",
            f"data-{name}",
            lambda old: {**old, "status": {"phase": "Bound"}},
        )
    endpoints = [{"hostname": f"trioroute-{n}", "addresses": [f"10.0.0.{n}"]} for n in range(3)]
    labels = {"kubernetes.io/service-name": "trioroute-peers"}
    metadata = {"name": "trioroute-peers-x", "labels": labels}
    cluster.make("EndpointSlice", {"metadata": metadata, "endpoints": endpoints})
    cluster.do(cluster.inner.delete, "OnlineDeployment", "iris-blue")


def status(cluster: RunningCluster, kind: str, name: str, new: Json) -> None:
    cluster.do(
        cluster.inner.change,
        kind,
        name,
        lambda old: {**old, "status": {**(old.get("status") or {}), **new}},
        subresource="status",
    )


def respec(cluster: RunningCluster, kind: str, name: str, new: Json) -> None:
    cluster.do(
        cluster.inner.change, kind, name, lambda old: {**old, "spec": {**old["spec"], **new}}
    )


def bad(rows: Rows) -> dict[str, str]:
    """What is not well, besides the Secrets that no test made here."""
    secrets = ("trioroute-peers", "trioroute-secret")
    return {
        name: row["verdict"]
        for name, row in rows.items()
        if row["verdict"] != "good" and name not in secrets
    }


@pytest.fixture
def installed(cluster: RunningCluster, environment: dict[str, str], door: int) -> RunningCluster:
    del environment
    install(cluster, door=door)
    return cluster


def test_nothing_installed_is_one_failure(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    del environment
    rows = doctor(capsys)
    assert bad(rows) == {"stateful-set": "bad"}
    assert "kubectl apply -k" in rows["stateful-set"]["fix"]


def test_all_well(installed: RunningCluster, capsys: pytest.CaptureFixture[str]) -> None:
    del installed
    rows = doctor(capsys)
    assert bad(rows) == {}
    assert "127.0.0.1" in rows["service"]["text"]
    assert any(name.startswith("door-") for name in rows)


def test_each_fault_is_named_with_what_to_do(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    status(installed, "StatefulSet", "trioroute", {"readyReplicas": 1})
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    container = {"name": "front-end", "state": {"waiting": waiting}}
    status(installed, "Pod", "trioroute-1", {"conditions": [], "containerStatuses": [container]})
    no_room = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    status(installed, "Pod", "trioroute-2", {"conditions": [no_room]})
    installed.do(installed.inner.delete, "PersistentVolumeClaim", "data-trioroute-2")
    installed.do(installed.inner.delete, "EndpointSlice", "trioroute-peers-x")
    installed.do(installed.inner.delete, "NetworkPolicy", "trioroute")
    installed.do(
        installed.inner.change,
        "PodDisruptionBudget",
        "trioroute",
        lambda old: {**old, "spec": {**old["spec"], "maxUnavailable": 2}},
    )
    installed.do(
        installed.inner.change,
        "ConfigMap",
        "trioroute",
        lambda old: {**old, "data": {**old["data"], "VOTERS": "2", "PEERS": "a=b:1,c=d:1"}},
    )
    status(installed, "Service", "trioroute", {"loadBalancer": {}})
    rows = doctor(capsys)
    assert bad(rows) == {
        "stateful-set": "bad",
        "peers-list": "bad",
        "voters": "warning",
        "trioroute-1": "bad",
        "trioroute-2": "bad",
        "data-trioroute-2": "bad",
        "peers-dns": "warning",
        "budget": "warning",
        "policy": "warning",
        "service": "warning",
    }
    assert "may nodes pull it" in rows["trioroute-1"]["fix"]
    assert "0/3 nodes are available" in rows["trioroute-2"]["text"]


def test_endpoints_their_pods_and_a_rival_scaler(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("iris", "wine", "seen"):
        said = {"name": name, "auth_mode": "key"}
        installed.make("OnlineEndpoint", {"metadata": {"name": name}, "spec": said})
    refused = {
        "type": "Accepted",
        "status": "False",
        "reason": "Invalid",
        "message": "traffic: too much",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    fine = {**refused, "status": "True", "reason": "Accepted", "message": "in the registry"}
    degraded = {**fine, "type": "Degraded", "reason": "CanaryHalted", "message": "green failed"}
    status(installed, "OnlineEndpoint", "iris", {"conditions": [refused]})
    status(installed, "OnlineEndpoint", "wine", {"conditions": [fine, degraded]})
    labels = {"app.kubernetes.io/managed-by": "trioroute"}
    container = {"name": "model", "image": "i:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    installed.make(
        "Deployment",
        {
            "metadata": {"name": "iris-blue", "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    )
    target = {"kind": "Deployment", "name": "iris-blue", "apiVersion": "apps/v1"}
    installed.make(
        "HorizontalPodAutoscaler",
        {"metadata": {"name": "mine"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}},
    )
    installed.make(
        "Pod",
        {
            "metadata": {"name": "iris-blue-x", "labels": labels},
            "spec": {"containers": [container]},
        },
    )
    crash = {"waiting": {"reason": "CrashLoopBackOff"}}
    ended = {"terminated": {"message": "no module named numpy"}}
    container_status = {"name": "model", "state": crash, "lastState": ended}
    status(installed, "Pod", "iris-blue-x", {"containerStatuses": [container_status]})
    rows = doctor(capsys)
    assert bad(rows) == {
        "endpoint-iris": "bad",
        "endpoint-wine": "warning",
        "endpoint-seen": "bad",
        "hpa-mine": "warning",
        "replica-iris-blue-x": "bad",
    }
    assert "traffic: too much" in rows["endpoint-iris"]["text"]
    assert "no module named numpy" in rows["replica-iris-blue-x"]["text"]
    wanted = "kubectl -n models logs --previous iris-blue-x"
    assert wanted in rows["replica-iris-blue-x"]["fix"]


def test_models_in_several_namespaces_are_all_looked_at(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the component `models-in-several` puts them; the other namespace has no Role yet."""

    def elsewhere(old: Json) -> Json:
        changed: Json = json.loads(json.dumps(old))
        (container,) = changed["spec"]["template"]["spec"]["containers"]
        others = [one for one in container["env"] if one["name"] != "MODELS_NAMESPACE"]
        said = {"name": "MODELS_NAMESPACE", "value": "models,team-b"}
        container["env"] = [*others, said]
        return changed

    installed.do(installed.inner.change, "StatefulSet", "trioroute", elsewhere)
    installed.make("Namespace", {"metadata": {"name": "team-b"}})
    rose = {"metadata": {"name": "rose"}, "spec": {"name": "rose", "auth_mode": "key"}}
    kind = installed.inner.kind("OnlineEndpoint")
    create = installed.inner.api.objects.create
    installed.do(create, kind, "team-b", rose, Write(manager="admin"))
    rows = doctor(capsys)
    assert bad(rows) == {"rights": "bad", "endpoint-rose": "bad"}
    assert "in team-b" in rows["rights"]["text"]
    assert "in models" not in rows["rights"]["text"]


def test_requests_that_take_longer_than_a_front_end_waits_are_told(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(capsys)["drain"]["text"] == "a front-end that ends gives requests 20 s"
    slow = {"name": "blue", "endpoint_name": "slow", "environment": {"image": "i:1"}}
    cases: list[Json] = [
        {"request_settings": {"request_timeout_ms": 60000}},
        {"properties": {"trioroute.stream_max_s": "600"}},
        {},
    ]
    for number, said in enumerate(cases):
        body = {"metadata": {"name": f"slow-{number}"}, "spec": {**slow, **said}}
        installed.make("OnlineDeployment", body)
    row = doctor(capsys)["drain"]
    assert row["verdict"] == "warning"
    assert "those of slow-1 may take 600 s" in row["text"]
    for knob, wanted in (("601", "good"), ("20", "warning")):
        installed.do(
            installed.inner.change,
            "ConfigMap",
            "trioroute",
            lambda old, knob=knob: {**old, "data": {**old["data"], "DRAIN_S": knob}},
        )
        assert doctor(capsys)["drain"]["verdict"] == wanted
        # 45 s of grace are enough for 20 s and for no ten minutes.
        assert doctor(capsys)["grace"]["verdict"] == ("good" if knob == "20" else "warning")


def test_voters_on_one_machine_are_told(
    cluster: RunningCluster,
    environment: dict[str, str],
    door: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del environment
    install(cluster, (0, 0, 2), door=door)
    assert bad(doctor(capsys)) == {"spread": "warning"}


def test_a_front_end_without_a_vote_may_stand_beside_a_voter(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = {"containers": [{"name": "front-end", "image": "i"}], "nodeName": "machine-0"}
    installed.make("Pod", {"metadata": {"name": "trioroute-3", "labels": _LABELS}, "spec": beside})
    assert doctor(capsys)["spread"]["verdict"] == "good"


def test_a_number_of_voters_that_is_none_is_a_finding_and_no_crash(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.do(
        installed.inner.change,
        "ConfigMap",
        "trioroute",
        lambda old: {**old, "data": {**old["data"], "VOTERS": "three"}},
    )
    assert bad(doctor(capsys)) == {"voters": "warning", "budget": "warning"}


def test_a_door_that_nobody_opens_is_told(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    respec(installed, "Service", "trioroute", {"ports": [{"name": "http", "port": 9}]})
    rows = doctor(capsys)
    assert bad(rows) == {"door-9": "warning"}
    assert "from this machine: Connection refused" in rows["door-9"]["text"]
    installed.do(installed.inner.delete, "Service", "trioroute")
    assert doctor(capsys)["service"]["verdict"] == "bad"


def test_peers_that_only_find_the_ready_ones_never_get_ready(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    respec(installed, "Service", "trioroute-peers", {"publishNotReadyAddresses": False})
    rows = doctor(capsys)
    assert bad(rows) == {"peers-service": "bad"}
    assert "has to be headless with publishNotReadyAddresses" in rows["peers-service"]["text"]


def test_a_replica_that_waits_for_its_image_and_a_budget_that_is_gone(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.do(installed.inner.delete, "PodDisruptionBudget", "trioroute")
    rows = doctor(capsys)
    assert bad(rows) == {"budget": "warning"}
    assert rows["budget"]["text"] == "nothing keeps evictions from taking the majority"
