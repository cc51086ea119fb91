"""Who runs replicas for a front-end: a runner here, a cluster, or nobody."""

from typing import TYPE_CHECKING

from trioroute.app.settings import FrontEndConfig
from trioroute.discovery.local import LocalReplicaSource
from trioroute.discovery.source import ReplicaSource
from trioroute.errors import ConfigError

if TYPE_CHECKING:
    from trioroute.app.cluster.opening import Cluster

__all__ = ["cluster_of", "source_of"]


def cluster_of(config: FrontEndConfig) -> "Cluster | None":
    """The Kubernetes cluster that runs the replicas, if one does.

    Raises:
        ConfigError: it cannot be used, or its client is not installed.
    """
    if config.cluster is None:
        return None
    try:
        from trioroute.app.cluster.opening import open_cluster
    except ModuleNotFoundError as error:
        # An extra: a laptop does without its 20 MB and half a second of imports.
        message = f"--kubernetes-namespace: {error.name} is missing: pip install 'trioroute[k8s]'"
        raise ConfigError(message) from None
    return open_cluster(config.cluster)


def source_of(config: FrontEndConfig, cluster: "Cluster | None") -> ReplicaSource | None:
    """Who runs replicas, if anybody does besides those who wrote down fixed addresses."""
    if config.runner is not None:
        return LocalReplicaSource(config.runner)
    return None if cluster is None else cluster.source
