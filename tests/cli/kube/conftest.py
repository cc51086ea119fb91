"""A fake cluster that verbs of this process are pointed at."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.k8s.cluster import NAMESPACE
from tests.k8s.running import RunningCluster, running_cluster
from trioroute.cli.kube import forward


@pytest.fixture
def cluster() -> Iterator[RunningCluster]:
    with running_cluster() as opened:
        yield opened
        for tunnel in forward._TUNNELS.values():
            tunnel.close()
        forward._TUNNELS.clear()


@pytest.fixture
def environment(
    cluster: RunningCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """What names it, set."""
    found = {
        "TRIOROUTE_CONFIG": str(tmp_path / "contexts.json"),
        "TRIOROUTE_NAMESPACE": NAMESPACE,
        "TRIOROUTE_KUBECONFIG": str(cluster.write_kubeconfig(tmp_path / "kubeconfig")),
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found
