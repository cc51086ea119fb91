"""Whether there is a cluster to work with is found out at the start."""

from pathlib import Path

import pytest

from trioroute.app.cluster.opening import open_cluster
from trioroute.app.settings import ClusterSettings
from trioroute.errors import ConfigError

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {token: secret}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
"""


def test_outside_of_a_cluster_the_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="--kubernetes-namespace models"):
        open_cluster(ClusterSettings(namespaces=("models",)))


def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No configuration found"):
        open_cluster(ClusterSettings(namespaces=("models",), kubeconfig=tmp_path / "nowhere"))


def test_with_a_kubeconfig_it_opens_without_asking_anything(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECONFIG)
    cluster = open_cluster(ClusterSettings(namespaces=("models",), kubeconfig=file))
    assert [api.namespace for api in cluster.apis] == ["models"]
    assert cluster.own is None, "nobody said where front-ends are"


@pytest.mark.parametrize("own", ["models", "front-ends"])
def test_front_ends_are_looked_at_where_they_are(own: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECONFIG)
    settings = ClusterSettings(
        namespaces=("more", "models"), kubeconfig=file, front_ends_namespace=own
    )
    cluster = open_cluster(settings)
    assert [api.namespace for api in cluster.apis] == ["more", "models"], "their order counts"
    assert cluster.own is not None
    assert cluster.own.namespace == own
    assert (cluster.own in cluster.apis) == (own == "models")
