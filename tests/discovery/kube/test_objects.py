"""What a deployment is on Kubernetes, and which pods are replicas."""

from ipaddress import ip_network
from typing import Any

import attrs
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.model import ContainerSource, Deployment
from trioroute.discovery.kube.objects import (
    APPLIED,
    EPOCH,
    MADE_FROM,
    PODS,
    config_map_of,
    deployment_of,
    found_replica,
    other_scaler,
    person_who_scaled,
    pod_name_of,
    problem_of,
    service_of,
)
from trioroute.discovery.kube.workload import Workload

Json = dict[str, Any]

SOURCE = ContainerSource(
    image="registry.example/iris:1",
    environment={"GREETING": "hello"},
    code="iris-code",
    script="score.py",
    model_claim="models",
    model_path="iris/1",
    command=("serve", "--port", "{port}"),
    resource="iris-blue",
    uid="u1",
)
IRIS = Deployment(endpoint="iris", name="blue", source=SOURCE, request_timeout_s=30.0)
WORKLOAD = Workload(
    source=SOURCE, resources={"requests": {"cpu": "1"}}, node_selector={"pool": "gpu"}
)


def _applied(**changes: Any) -> Json:
    given = {"made_from": "m1", "epoch": 7, "replicas": 2, **changes}
    return deployment_of(WORKLOAD, IRIS, **given)


@pytest.mark.parametrize("version", ["1.30", "1.36"])
def test_what_is_applied_is_valid(version: str) -> None:
    for body in (_applied(), service_of(WORKLOAD, IRIS), config_map_of(WORKLOAD, IRIS)):
        kubernetes_validate.validate(body, version, strict=True)


def test_requests_may_end_before_the_model_server_is_told_to() -> None:
    spec = _applied()["spec"]["template"]["spec"]
    pause_s = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause_s > IRIS.request_max_s
    assert spec["terminationGracePeriodSeconds"] > pause_s


def test_a_server_with_tls_is_probed_with_it() -> None:
    for has_tls, scheme in ((False, None), (True, "HTTPS")):
        deployment = attrs.evolve(IRIS, replica_tls=has_tls)
        body = deployment_of(WORKLOAD, deployment, made_from="m1", epoch=7, replicas=2)
        (container,) = body["spec"]["template"]["spec"]["containers"]
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"].get("scheme") == scheme


def test_a_change_never_leaves_fewer_that_can_serve() -> None:
    rolling = _applied()["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


def test_code_and_model_are_mounted_and_the_script_is_told_where() -> None:
    spec = _applied()["spec"]["template"]["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["code", "model"]
    mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["model"]["subPath"] == "iris/1"
    variables = config_map_of(WORKLOAD, IRIS)["data"]
    assert variables["AZUREML_ENTRY_SCRIPT"] == "score.py"
    assert variables["AZUREML_MODEL_DIR"] == mounts["model"]["mountPath"]
    assert variables["GREETING"] == "hello"
    assert spec["containers"][0]["command"] == ["serve", "--port", "5001"]
    assert spec["nodeSelector"] == {"pool": "gpu"}


def test_what_a_secret_holds_is_neither_ours_nor_in_a_config_map() -> None:
    environment = {"GREETING": "hello", "TOKEN": "secret://hub/token"}
    source = attrs.evolve(SOURCE, environment=environment)
    workload = attrs.evolve(WORKLOAD, source=source)
    body = deployment_of(workload, IRIS, made_from="m1", epoch=7, replicas=2)
    kubernetes_validate.validate(body, "1.36", strict=True)
    (container,) = body["spec"]["template"]["spec"]["containers"]
    (token,) = container["env"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "hub", "key": "token"}
    data = config_map_of(workload, IRIS)["data"]
    assert data["GREETING"] == "hello"
    assert "TOKEN" not in data


def test_only_what_changes_pods_changes_the_hash() -> None:
    def mark(body: Json) -> str:
        return str(body["metadata"]["annotations"][APPLIED])

    assert mark(_applied()) == mark(_applied(replicas=9, epoch=8))
    assert mark(_applied()) != mark(_applied(made_from="m2"))
    assert _applied()["metadata"]["annotations"][EPOCH] == "7"
    assert _applied()["spec"]["template"]["metadata"]["labels"][MADE_FROM] == "m1"


def test_pods_are_selected_by_labels_that_we_write() -> None:
    key, _, value = PODS.partition("=")
    assert _applied()["metadata"]["labels"][key] == value
    assert _applied()["spec"]["template"]["metadata"]["labels"][key] == value


def _pod(**status: Any) -> Json:
    labels = {
        "trioroute.dev/endpoint": "iris",
        "trioroute.dev/deployment": "blue",
        MADE_FROM: "m1",
    }
    container = {"name": "model", "ports": [{"name": "scoring", "containerPort": 5001}]}
    return {
        "metadata": {"name": "iris-blue-x", "uid": "u9", "labels": labels},
        "spec": {"containers": [container]},
        "status": {
            "phase": "Running",
            "podIP": "10.1.0.7",
            "conditions": [{"type": "Ready", "status": "True"}],
            **status,
        },
    }


def _container(**state: Any) -> list[Json]:
    return [{"name": "model", "restartCount": 2, **state}]


def test_a_ready_pod_is_a_running_replica() -> None:
    started = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    found = found_replica(_pod(containerStatuses=_container(**started)))
    assert found is not None
    assert (found.id, found.state, found.host) == ("iris-blue-x.u9.2", "running", "10.1.0.7")
    assert (found.deployment, found.port, found.made_from) == ("iris/blue", 5001, "m1")
    assert (found.restarts, found.started_at) == (2, 1_767_225_600.0)
    assert pod_name_of(found.id) == "iris-blue-x"
    # A Deployment that is adopted may have any name that Kubernetes lets it have.
    assert pod_name_of("iris.v2-x.u9.2") == "iris.v2-x"


def test_a_restarted_container_is_another_replica() -> None:
    before, after = found_replica(_pod()), found_replica(_pod(containerStatuses=_container()))
    assert before is not None
    assert after is not None
    assert before.id != after.id


def test_a_pod_without_our_labels_is_none_of_ours() -> None:
    pod = _pod()
    pod["metadata"]["labels"] = {"app": "other"}
    assert found_replica(pod) is None


def test_a_terminating_pod_is_out_though_it_is_ready() -> None:
    pod = _pod()
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z"
    found = found_replica(pod)
    assert found is not None
    assert found.state == "stopped"


NOT_READY = [{"type": "Ready", "status": "False", "message": "containers not ready"}]
UNSCHEDULABLE = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        ({"conditions": NOT_READY}, "starting", "containers not ready"),
        ({"conditions": UNSCHEDULABLE}, "starting", "0/3 nodes are available"),
        ({"conditions": []}, "starting", "not ready yet"),
        (
            {
                "conditions": [],
                "containerStatuses": _container(
                    state={"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
                ),
            },
            "starting",
            "ImagePullBackOff: no such image",
        ),
        (
            {
                "conditions": [],
                "containerStatuses": _container(
                    state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
                ),
            },
            "backing-off",
            "back-off 10s",
        ),
        ({"phase": "Failed", "reason": "Evicted"}, "backing-off", "Evicted"),
        ({"podIP": ""}, "starting", "its address (none) is outside the pod networks"),
    ],
)
def test_what_is_not_ready_says_why(status: Json, state: str, reason: str) -> None:
    found = found_replica(_pod(**status))
    assert found is not None
    assert (found.state, found.reason) == (state, reason)
    assert found.host == ""


def test_the_last_words_of_a_container_are_kept() -> None:
    ended = _container(lastState={"terminated": {"message": "no module named x\nbye"}})
    found = found_replica(_pod(containerStatuses=ended))
    assert found is not None
    assert found.last_lines == ("no module named x", "bye")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "8.8.8.8", "::1", "fe80::1", "x"],
)
def test_addresses_that_pods_cannot_have_are_not_routed_to(address: str) -> None:
    found = found_replica(_pod(podIP=address))
    assert found is not None
    assert found.state == "starting"
    assert address in found.reason


def test_a_network_of_everything_does_not_mean_this_machine() -> None:
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    for address in ("127.0.0.1", "169.254.169.254", "::1"):
        found = found_replica(_pod(podIP=address), everything)
        assert found is not None
        assert found.state == "starting"
    allowed = found_replica(_pod(podIP="127.1.0.9"), (ip_network("127.1.0.0/16"),))
    assert allowed is not None
    assert allowed.state == "running"


@given(st.ip_addresses())
def test_only_private_addresses_are_routed_to(address: Any) -> None:
    found = found_replica(_pod(podIP=str(address)))
    assert found is not None
    assert found.state == "starting" or address.is_private or str(address).startswith("100.")


def managed(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries)}}


def test_somebody_else_who_scales_is_named() -> None:
    ours = {"manager": "trioroute", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    hpa = {**ours, "manager": "kube-controller-manager"}
    label = {"manager": "flux", "fieldsV1": {"f:metadata": {}}}
    for is_adopted in (False, True):
        assert other_scaler(managed(ours, label), is_adopted=is_adopted) == ""
    assert other_scaler(managed(ours, hpa), is_adopted=False) == "kube-controller-manager"
    assert other_scaler(managed(ours, hpa), is_adopted=True) == "", "it may be who made it"
    scaled = managed(ours, {**hpa, "subresource": "scale"})
    assert other_scaler(scaled, is_adopted=True) == "kube-controller-manager"


def test_a_person_who_scaled_is_no_scaler() -> None:
    number: dict[str, Any] = {"fieldsV1": {"f:spec": {"f:replicas": {}}}}
    scaled = {**number, "manager": "kubectl", "subresource": "scale"}
    edited = {**number, "manager": "kubectl-edit"}
    for entry, is_adopted in ((scaled, False), (scaled, True), (edited, False)):
        deployment = managed(entry)
        assert other_scaler(deployment, is_adopted=is_adopted) == ""
        assert person_who_scaled(deployment, is_adopted=is_adopted) == entry["manager"]
    assert person_who_scaled(managed(edited), is_adopted=True) == "", "it may be who made it"
    hpa = {**scaled, "manager": "kube-controller-manager"}
    assert person_who_scaled(managed(hpa), is_adopted=False) == ""


def test_a_quota_that_keeps_pods_away_is_told() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}
    assert problem_of({"status": {"conditions": [failure]}}) == "exceeded quota: pods"
    assert problem_of({}) == ""


def test_without_code_and_model_nothing_is_mounted() -> None:
    source = attrs.evolve(SOURCE, code="", model_claim="", command=())
    bare = attrs.evolve(WORKLOAD, source=source, node_selector={})
    body = deployment_of(bare, IRIS, made_from="m", epoch=1, replicas=1)
    spec = body["spec"]["template"]["spec"]
    assert "volumes" not in spec
    assert not {"volumeMounts", "command"} & spec["containers"][0].keys()
