"""A fake cluster over HTTP with three front-ends' pods as `k8s/base` makes them, and its API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.kube.installation import install
from tests.k8s.cluster import NAMESPACE
from tests.k8s.running import RunningCluster, running_cluster
from trioroute.cli.kube.access import Access, open_access
from trioroute.client.saved.settings import find_settings


@pytest.fixture
def cluster() -> Iterator[RunningCluster]:
    with running_cluster() as opened:
        install(opened)
        yield opened


@pytest.fixture
def kubeconfig(cluster: RunningCluster, tmp_path: Path) -> Path:
    return cluster.write_kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture
def api(kubeconfig: Path) -> Access:
    return opened(kubeconfig)


@pytest.fixture
def poor_api(cluster: RunningCluster, tmp_path: Path) -> Access:
    """The same with the rights of the front-ends' own account."""
    return opened(cluster.write_kubeconfig(tmp_path / "poor", token="router"))


def opened(kubeconfig: Path) -> Access:
    named = {"TRIOROUTE_NAMESPACE": NAMESPACE, "TRIOROUTE_KUBECONFIG": str(kubeconfig)}
    return open_access(find_settings(None, None, named))
