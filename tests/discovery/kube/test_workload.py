"""What an instance type adds to a container."""

import json
from typing import Any

import pytest

from trioroute.core.model import ContainerSource
from trioroute.discovery.kube.workload import InstanceType, read_instance_types, workload_of

IRIS = ContainerSource(image="i:1", resource="iris-blue", uid="u1")


def test_the_least_gets_the_default_instance_type() -> None:
    workload = workload_of(IRIS)
    assert workload.name == "iris-blue"
    assert workload.resources["limits"] == {"cpu": "2", "memory": "2Gi"}
    assert workload.node_selector == {}


def test_what_the_deployment_says_goes_over_its_instance_type() -> None:
    source = ContainerSource(
        image="i:1", instance_type="big", limits={"cpu": "4", "nvidia.com/gpu": "1"}
    )
    types = {
        "big": InstanceType(
            node_selector={"pool": "gpu"}, resources={"limits": {"cpu": "8", "memory": "1Gi"}}
        )
    }
    workload = workload_of(source, types)
    assert workload.resources == {"limits": {"cpu": "4", "memory": "1Gi", "nvidia.com/gpu": "1"}}
    assert workload.node_selector == {"pool": "gpu"}


def test_an_unknown_instance_type_says_which_are_known() -> None:
    source = ContainerSource(image="i:1", instance_type="big")
    with pytest.raises(ValueError, match="instance_type big is not known; known: none"):
        workload_of(source)
    with pytest.raises(ValueError, match="known: small"):
        workload_of(source, {"small": InstanceType()})


def test_instance_types_are_json() -> None:
    types = read_instance_types({"small": '{"nodeSelector": {"a": "b"}}'})
    assert types == {"small": InstanceType(node_selector={"a": "b"})}
    for text in ("{", "[]", "3"):
        with pytest.raises(ValueError, match="instance type odd: expected JSON"):
            read_instance_types({"odd": text})


def test_tolerations_go_to_the_workload() -> None:
    text = '{"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}'
    types = read_instance_types({"gpu": text})
    source = ContainerSource(image="i:1", instance_type="gpu")
    (one,) = workload_of(source, types).tolerations
    assert one == {"key": "nvidia.com/gpu", "operator": "Exists"}
    assert workload_of(IRIS, types).tolerations == ()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"nodeselector": {}}, "nodeselector: unknown field; there are nodeSelector, resources"),
        ({"tolerations": {"key": "a"}}, "tolerations: expected a list"),
        ({"tolerations": ["a"]}, r"tolerations\[0\]: expected an object"),
        ({"tolerations": [{"kex": "a", "operator": "Exists"}]}, r"\[0\].kex: unknown field"),
        (
            {"tolerations": [{"key": "a"}, {"key": "a", "operator": "In"}]},
            r"\[1\].operator: expected one of Exists, Equal, got In",
        ),
        ({"tolerations": [{"key": "a", "effect": "Never"}]}, "effect: expected one of NoSchedule"),
        ({"tolerations": [{"key": 1}]}, "key: expected text, got 1"),
        ({"tolerations": [{"value": "a"}]}, "key: only operator Exists does without one"),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
            "value: none with operator Exists",
        ),
        (
            {"tolerations": [{"key": "a", "tolerationSeconds": 5}]},
            "tolerationSeconds: only with effect NoExecute",
        ),
        (
            {"tolerations": [{"key": "a", "effect": "NoExecute", "tolerationSeconds": "5"}]},
            "tolerationSeconds: expected a whole number",
        ),
    ],
)
def test_a_wrong_instance_type_names_its_field(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"instance type odd: .*{message}"):
        read_instance_types({"fine": "{}", "odd": json.dumps(entry)})
