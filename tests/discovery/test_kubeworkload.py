"""What an OnlineDeployment says about its container."""

from typing import Any

import pytest

from trioroute.discovery.kubeworkload import InstanceType, read_instance_types, read_workload


def _resource(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "trioroute.dev/v1alpha1",
        "kind": "OnlineDeployment",
        "metadata": {"name": "iris-blue", "uid": "u1"},
        "spec": {"name": "blue", "endpoint_name": "iris", "environment": {"image": "i:1"}, **spec},
    }


def test_the_least_gets_the_default_instance_type() -> None:
    workload = read_workload(_resource())
    assert (workload.name, workload.image, workload.uid) == ("iris-blue", "i:1", "u1")
    assert workload.resources["limits"] == {"cpu": "2", "memory": "2Gi"}
    assert (workload.code, workload.model_claim) == ("", "")


def test_everything_is_read() -> None:
    workload = read_workload(
        _resource(
            environment_variables={"N": 1},
            resources={"limits": {"gpu": 1, "cpu": "4"}},
            code_configuration={"code": "configmap://iris-code", "scoring_script": "score.py"},
            model={"path": "pvc://models/iris/1"},
            properties={"trioroute.command": "serve {port}"},
            instance_type="big",
        ),
        {"big": InstanceType(node_selector={"pool": "gpu"}, resources={"limits": {"cpu": "8"}})},
    )
    assert workload.variables == {"N": "1"}
    assert workload.resources == {"limits": {"nvidia.com/gpu": "1", "cpu": "4"}}
    assert (workload.code, workload.script) == ("iris-code", "score.py")
    assert (workload.model_claim, workload.model_path) == ("models", "iris/1")
    assert (workload.command, workload.node_selector) == ("serve {port}", {"pool": "gpu"})


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"environment": {}}, "environment.image is missing"),
        ({"environment": "azureml:env:1"}, "environment.image is missing"),
        ({"code_configuration": {"code": "./src"}}, "expected configmap://NAME"),
        ({"model": {"path": "./model"}}, "expected pvc://NAME"),
        ({"model": "azureml:iris:1"}, "expected pvc://NAME"),
        ({"instance_type": "big"}, "instance_type big is not known; known: none"),
    ],
)
def test_what_cannot_run_on_a_cluster_says_why(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="is") as raised:
        read_workload(_resource(**spec))
    assert words in str(raised.value)


def test_instance_types_are_json() -> None:
    types = read_instance_types({"small": '{"nodeSelector": {"a": "b"}}'})
    assert types == {"small": InstanceType(node_selector={"a": "b"})}
    for text in ("{", "[]", "3"):
        with pytest.raises(ValueError, match="instance type odd: expected JSON"):
            read_instance_types({"odd": text})
