"""What an instance type adds to a container."""

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
