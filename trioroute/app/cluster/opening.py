"""What a front-end needs of Kubernetes, opened together: one client for all of it."""

from collections.abc import Callable, Sequence

import attrs

from consensus import Member, PeerAddress, boottime
from trioroute.admin.resources.vault import EndpointKeys, KeyVault
from trioroute.app.cluster.deaths import FrontEndDeaths
from trioroute.app.cluster.desk import KubeDesk
from trioroute.app.desk import RegistryDesk
from trioroute.app.settings import ClusterSettings
from trioroute.core.status import ClusterStatus
from trioroute.discovery.kube.api import KubeApi, KubeSettings, connect
from trioroute.discovery.kube.calls import KubeError
from trioroute.discovery.kube.objects import POD_NETWORKS
from trioroute.discovery.kube.registry import KubeRegistry, ResourceLog
from trioroute.discovery.kube.source import KubeReplicaSource
from trioroute.discovery.kube.sources import KubeSources
from trioroute.discovery.kube.writer import ResourceWriter
from trioroute.errors import ConfigError

__all__ = ["Cluster", "open_cluster"]


@attrs.frozen
class Cluster:
    """The Kubernetes cluster that a front-end works with.

    Attributes:
        apis: one for each of the models' namespaces.
        own: where front-ends are pods, None where they are not or nobody is to look.
    """

    apis: tuple[KubeApi, ...]
    source: KubeSources
    own: KubeApi | None = None

    def registry(
        self, log: ResourceLog, vault: KeyVault, system: Callable[[], ClusterStatus]
    ) -> KubeRegistry:
        """What copies custom resources into the registry, in the coordinator's office."""

        def new_keys(endpoint: str) -> tuple[tuple[bytes, ...], bytes]:
            keys = EndpointKeys.fresh()
            return keys.digests, vault.seal(endpoint, keys)

        return KubeRegistry(
            self.apis,
            log,
            new_keys=new_keys,
            system=system,
            problems=lambda: self.source.problems,
        )

    def deaths(self, log: ResourceLog, peers: Sequence[PeerAddress]) -> FrontEndDeaths | None:
        """What proves that front-ends have ended, in the coordinator's office; see `own`."""
        if self.own is None:
            return None
        names = [peer.name for peer in peers]
        return FrontEndDeaths(self.own, log, front_ends=names, clock=boottime)

    def desk(self, inner: RegistryDesk, member: Member) -> KubeDesk:
        """The admin API's way to change what is registered."""
        return KubeDesk(inner, member, ResourceWriter(self.apis))


def open_cluster(settings: ClusterSettings) -> Cluster:
    """Connect; nothing is asked yet.

    Raises:
        ConfigError: this is no pod and no kubeconfig is named, or it cannot be used.
    """
    own = settings.front_ends_namespace
    namespaces = tuple(dict.fromkeys((*settings.namespaces, *filter(None, (own,)))))
    try:
        found = connect(KubeSettings(namespaces=namespaces, kubeconfig=settings.kubeconfig))
    except KubeError as error:
        names = ",".join(settings.namespaces)
        raise ConfigError(f"--kubernetes-namespace {names}: {error}") from None
    by_name = {api.namespace: api for api in found}
    apis = tuple(by_name[name] for name in settings.namespaces)
    networks = settings.pod_networks or POD_NETWORKS
    sources = {api.namespace: KubeReplicaSource(api, networks=networks) for api in apis}
    return Cluster(apis, KubeSources(sources), by_name.get(own))
