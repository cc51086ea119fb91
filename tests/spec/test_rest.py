"""Bodies that no public file covers; the others are in test_cases and test_azure_client."""

import pytest

from trioroute.spec import azure
from trioroute.spec.problems import Problems
from trioroute.spec.reading import read_text
from trioroute.spec.rest import deployment_body, endpoint_body, iso_duration


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, None),
        (0, None),
        (1, "PT0.001S"),
        (100, "PT0.1S"),
        (3000, "PT3S"),
        (61_000, "PT1M1S"),
        (600_000, "PT10M"),
        (3_600_000, "PT1H"),
        (86_400_000, "P1D"),
        (90_061_001, "P1DT1H1M1.001S"),
    ],
)
def test_durations(milliseconds: int | None, text: str | None) -> None:
    assert iso_duration(milliseconds) == text


def test_an_endpoints_body() -> None:
    text = """
name: ABCdef
compute: azureml:k8s
auth_mode: AMLToken
traffic: {Blue: 90, green: "10", Zed: 0}
identity: {type: user_assigned, user_assigned_identities: [{resource_id: /a/b, client_id: x}]}
tags: {a: 1, b: null}
"""
    file = read_text(text, "f.yml", Problems())
    assert file is not None
    assert isinstance(file.spec, azure.Endpoint)
    assert endpoint_body(file.spec, "here") == {
        "location": "here",
        "properties": {
            "authMode": "AMLToken",
            "properties": {},
            "traffic": {"Blue": 90, "green": 10, "Zed": 0},
            "mirrorTraffic": {},
            "compute": "k8s",
        },
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {"/a/b": {}}},
        "tags": {"a": 1, "b": None},
    }


def test_a_deployments_body() -> None:
    text = """
name: blue
endpoint_name: fraud
instance_type: x
model: azureml:m:1
private_network_connection: yes
egress_public_network_access: Disabled
data_collector:
  collections: {a: {enabled: "True", data: {name: n}}, b: {enabled: "false"}}
  sampling_rate: 0.5
  request_logging: {capture_headers: [h]}
"""
    file = read_text(text, "f.yml", Problems())
    assert file is not None
    assert isinstance(file.spec, azure.Deployment)
    assert deployment_body(file.spec, "here") == {
        "location": "here",
        "properties": {
            "endpointComputeType": "Managed",
            "model": "m:1",
            "properties": {"private-network-connection": True},
            "environmentVariables": {},
            "appInsightsEnabled": False,
            "instanceType": "x",
            "egressPublicNetworkAccess": "disabled",
            "dataCollector": {
                "collections": {
                    "a": {
                        "dataCollectionMode": "enabled",
                        "samplingRate": 0.5,
                        "dataId": "azureml:n:1",
                    },
                    "b": {"dataCollectionMode": "disabled", "samplingRate": 0.5},
                },
                "requestLogging": {"captureHeaders": ["h"]},
            },
        },
        "tags": {},
        "sku": {"name": "Default"},
    }
