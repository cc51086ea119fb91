"""The user's own way to the API: what it asks, and how its refusals read."""

from pathlib import Path

import pytest

from tests.k8s.running import RunningCluster
from trioroute.cli.kube.access import open_access
from trioroute.client.saved.settings import find_settings
from trioroute.discovery.kube.calls import KubeError
from trioroute.errors import ConfigError


def test_answers_and_refusals_come_through(
    cluster: RunningCluster, environment: dict[str, str]
) -> None:
    access = open_access(find_settings(None, None, environment))
    assert access.ask("GET", "/version")["major"] == "1"
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}
    path = f"/api/v1/namespaces/{access.namespace}/configmaps"
    assert access.send("POST", path, config_map)["metadata"]["uid"]
    assert cluster.get("ConfigMap", "one") is not None
    with pytest.raises(KubeError) as raised:
        access.send("POST", path, config_map)
    assert (raised.value.status, raised.value.reason) == (409, "AlreadyExists")


def test_a_kubeconfig_that_cannot_be_used_is_named(
    cluster: RunningCluster, environment: dict[str, str], tmp_path: Path
) -> None:
    del cluster
    missing = environment | {"TRIOROUTE_KUBECONFIG": str(tmp_path / "none")}
    with pytest.raises(ConfigError, match=f"{tmp_path}/none cannot be used"):
        open_access(find_settings(None, None, missing))
    other = environment | {"TRIOROUTE_KUBE_CONTEXT": "prod"}
    with pytest.raises(ConfigError, match="prod"):
        open_access(find_settings(None, None, other))


def test_nobody_at_the_servers_address_is_told_with_what_to_do(
    cluster: RunningCluster, environment: dict[str, str]
) -> None:
    file = Path(environment["TRIOROUTE_KUBECONFIG"])
    file.write_text(file.read_text().replace(str(cluster.inner.server.port), "9"))
    access = open_access(find_settings(None, None, environment))
    with pytest.raises(KubeError) as raised:
        access.ask("GET", "/version")
    error = access.refusal("cannot look", raised.value)
    assert "cannot look at http://127.0.0.1:9" in str(error)
    assert "is the context of the kubeconfig the right one?" in str(error)
