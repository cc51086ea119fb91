"""Room on machines is counted as the scheduler would, were they empty."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.kubedoctor.test_requirements import doctor
from tests.k8s.rendered import documents_of
from tests.k8s.running import RunningCluster
from trioroute.cli.kubedoctor.capacity import most_pods, quantity

Json = dict[str, Any]


def machine(cpu: str = "4", memory: str = "8Gi", **spec: Any) -> Json:
    return {
        "metadata": {"name": "m", "labels": {"pool": "cpu"}},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
        },
    }


def template(**more: Any) -> Json:
    resources = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "2Gi"}}
    return {"containers": [{"resources": resources}], **more}


@pytest.mark.parametrize(
    ("text", "number"),
    [("2", 2), ("500m", 0.5), ("1.5Gi", 1.5 * 2**30), ("3k", 3000), ("many", 0), (None, 0)],
)
def test_quantities_are_numbers(text: object, number: float) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize(
    ("machines", "template", "most"),
    [
        ([machine()], template(), 4),  # by memory: a limit without a request asks for as much
        ([machine(memory="64Gi")], template(), 8),  # by CPU
        ([machine(), machine()], template(), 8),
        ([machine()], {"containers": [{}]}, 110),
        ([machine()], template(nodeSelector={"pool": "gpu"}), 0),
        ([machine()], template(nodeSelector={"pool": "cpu"}), 4),
        ([machine(unschedulable=True)], template(), 0),
        ([machine(taints=[{"key": "gpu", "effect": "NoSchedule"}])], template(), 0),
        ([machine(taints=[{"key": "gpu", "effect": "PreferNoSchedule"}])], template(), 4),
        (
            [machine(taints=[{"key": "gpu", "effect": "NoSchedule"}])],
            template(tolerations=[{"key": "gpu", "operator": "Exists"}]),
            4,
        ),
        (
            [machine(taints=[{"key": "gpu", "value": "a", "effect": "NoSchedule"}])],
            template(tolerations=[{"key": "gpu", "value": "b"}]),
            0,
        ),
        (
            [machine(taints=[{"key": "gpu", "effect": "NoSchedule"}])],
            template(tolerations=[{"operator": "Exists", "effect": "NoExecute"}]),
            0,
        ),
        ([{**machine(), "status": {}}], template(), 0),
    ],
)
def test_machines_hold_what_fits(machines: list[Json], template: Json, most: float) -> None:
    assert most_pods(machines, template) == most


def deploy(cluster: RunningCluster, most: int) -> None:
    scale = {"type": "target_utilization", "min_instances": 1, "max_instances": most}
    cluster.do(
        cluster.inner.change,
        "OnlineDeployment",
        "iris-blue",
        lambda old: {**old, "spec": {**old["spec"], "scale_settings": scale}},
    )
    labels = {"app.kubernetes.io/managed-by": "trioroute"}
    container = {"name": "model", "image": "i:1", **template()["containers"][0]}
    cluster.make(
        "Deployment",
        {
            "metadata": {"name": "iris-blue", "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        },
    )


@pytest.fixture
def installed(cluster: RunningCluster, environment: dict[str, str]) -> RunningCluster:
    del environment
    for document in documents_of("base"):
        if document["kind"] in ("StatefulSet", "ConfigMap"):
            document["metadata"].pop("namespace", None)
            cluster.make(document["kind"], document)
    return cluster


def test_more_instances_than_machines_could_ever_hold_are_told(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.make("Node", machine())
    deploy(installed, 5)
    rows = doctor(capsys)
    assert rows["capacity-iris-blue"]["verdict"] == "warning"
    assert "may have 5 replicas" in rows["capacity-iris-blue"]["text"]
    assert "hold 4 at most, even empty" in rows["capacity-iris-blue"]["text"]
    assert "capacity" not in rows
    installed.make("Node", {**machine(), "metadata": {"name": "another"}})
    assert doctor(capsys)["capacity"]["verdict"] == "good"


def test_who_may_not_look_at_machines_is_warned(
    installed: RunningCluster, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rule = {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get"]}
    installed.do(
        installed.inner.change,
        "Role",
        "trioroute",
        lambda old: {**old, "rules": [*old["rules"], rule]},
    )
    installed.write_kubeconfig(Path(environment["TRIOROUTE_KUBECONFIG"]), token="router")
    row = doctor(capsys)["capacity"]
    assert row["verdict"] == "warning"
    assert "you may not look at nodes" in row["text"]


def test_a_front_end_with_less_than_the_originals_limits_is_told(
    installed: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(capsys)["limits"]["verdict"] == "good"
    for limits, shown in (
        ({"cpu": "500m", "memory": "2Gi"}, "500m CPUs and 2Gi memory"),
        ({"cpu": "2", "memory": "512Mi"}, "2 CPUs and 512Mi memory"),
        ({"cpu": "1"}, "1 CPUs and any memory"),
    ):
        installed.do(installed.inner.change, "StatefulSet", "trioroute", _with_limits(limits))
        row = doctor(capsys)["limits"]
        assert row["verdict"] == "warning"
        assert shown in row["text"]
    installed.do(installed.inner.change, "StatefulSet", "trioroute", _with_limits({}))
    assert doctor(capsys)["limits"]["verdict"] == "good"


def _with_limits(limits: Json) -> Any:
    def change(old: Json) -> Json:
        pod = old["spec"]["template"]
        (container,) = pod["spec"]["containers"]
        limited = {**container, "resources": {"limits": limits}}
        inner = {**pod, "spec": {**pod["spec"], "containers": [limited]}}
        return {**old, "spec": {**old["spec"], "template": inner}}

    return change
