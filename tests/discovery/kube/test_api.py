"""Connections to an API server, and calls that go through."""

from pathlib import Path

import pytest
import trio

from tests.k8s.cluster import NAMESPACE, open_cluster
from trioroute.discovery.kube.api import KubeSettings, connect
from trioroute.discovery.kube.calls import KubeError


async def test_a_call_to_nobody_fails_at_once() -> None:
    (api,) = connect(KubeSettings(namespaces=(NAMESPACE,), host="http://127.0.0.1:9"))
    with trio.fail_after(10), pytest.raises(KubeError) as raised:
        await trio.to_thread.run_sync(api.read_config_map, "x")
    assert raised.value.reason == "Unreachable"


def test_outside_of_a_cluster_somebody_has_to_say_which() -> None:
    with pytest.raises(KubeError, match="host"):
        connect(KubeSettings(namespaces=(NAMESPACE,)))


def test_a_kubeconfig_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KubeError):
        connect(KubeSettings(namespaces=(NAMESPACE,), kubeconfig=tmp_path / "none"))


@pytest.mark.slow
async def test_reading_and_annotating_go_through() -> None:
    async with open_cluster() as cluster:
        cluster.make("ConfigMap", {"metadata": {"name": "a"}, "data": {"x": "1"}})
        cluster.api.tokens["router"] = cluster.api.tokens["admin"]
        settings = KubeSettings(
            namespaces=(NAMESPACE,),
            host=f"http://127.0.0.1:{cluster.server.port}",
            token="router",
        )
        (api,) = connect(settings)
        found = await trio.to_thread.run_sync(api.read_config_map, "a")
        assert found["data"] == {"x": "1"}
        with pytest.raises(KubeError) as raised:
            await trio.to_thread.run_sync(api.read_config_map, "none")
        assert (raised.value.status, raised.value.reason) == (404, "NotFound")
        assert "token=" not in repr(settings)
