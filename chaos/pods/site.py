"""Where pods run: a control plane, the namespace that is ours there, and who runs our pods."""

import contextlib
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from chaos.sim.kubernetes_cluster.containers import Containers, Image
from chaos.sim.kubernetes_cluster.kube import Kube, LocalKube
from chaos.sim.kubernetes_cluster.kubelet import Addresses, Kubelet
from chaos.sim.kubernetes_cluster.network import Network
from chaos.sim.kubernetes_cluster.plane import ControlPlane
from chaos.sim.kubernetes_cluster.tls import ServerTls

__all__ = ["LOOPBACK_NETWORK", "Site", "fake_site", "run_pods"]

Json = dict[str, Any]

#: Where pods have their addresses when a toy kubelet runs them.
LOOPBACK_NETWORK: Final = "127.0.0.0/8"
_TRIES: Final = 100


@attrs.define(kw_only=True)
class Site:
    """A cluster to be used.

    Attributes:
        kube: with all rights there.
        kubeconfig: what a service account with that token needs.
        image: of front-ends and replicas.
        plane: the control plane when it is a fake of this process: it can be hurt.
        kubelet, containers: when our pods are processes of this machine.
        admin_urls: asks for those of the front-ends that run, where pods have a loopback of their
            own: through the API server. None where theirs is their address.
    """

    kube: Kube
    namespace: str
    folder: Path
    kubeconfig: Callable[[str], Json]
    image: str = "trioroute"
    plane: ControlPlane | None = None
    kubelet: Kubelet | None = None
    containers: Containers | None = None
    admin_urls: Callable[[], Sequence[str]] | None = None


@asynccontextmanager
async def fake_site(
    folder: Path, namespace: str = "models", tls: ServerTls | None = None
) -> AsyncIterator[Site]:
    """A fake control plane with a toy kubelet, all in this process but the containers.

    Args:
        namespace: whose pods run; empty for all.
        tls: to be reached by HTTPS, as `kubectl` has to.
    """
    plane = ControlPlane(tls)
    async with trio.open_nursery() as nursery:
        await nursery.start(plane.run)
        kube = LocalKube(plane.api)
        site = Site(
            kube=kube,
            namespace=namespace,
            folder=folder,
            kubeconfig=plane.kubeconfig,
            plane=plane,
        )
        async with run_pods(site):
            assert site.containers is not None
            plane.api.logs = site.containers.log
            yield site
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def run_pods(site: Site) -> AsyncIterator[None]:
    """Run the pods of a site's namespace as processes of this machine meanwhile."""
    with _own_addresses() as prefix:
        addresses = Addresses(prefix)
        site.containers = Containers(
            site.kube,
            site.folder,
            images={site.image.rpartition("/")[2].partition(":")[0]: _FRONT_END},
            addresses=addresses,
            kubeconfig=site.kubeconfig,
        )
        site.kubelet = Kubelet(site.kube, site.containers, addresses, namespace=site.namespace)
        network = Network(site.kube, site.namespace, site.containers.pid)
        async with trio.open_nursery() as nursery:
            await nursery.start(site.kubelet.run)
            nursery.start_soon(network.run)
            yield
            nursery.cancel_scope.cancel()


#: The image's entry point, and what a process needs to be told that a pod finds by itself.
_FRONT_END: Final = Image(
    entrypoint=(sys.executable, "-P", "-m", "trioroute.cli.main"),
    arguments=lambda account: (f"--kubeconfig={account}", f"--pod-network={LOOPBACK_NETWORK}"),
)


@contextmanager
def _own_addresses() -> Iterator[str]:
    """The first two numbers of loopback addresses that no run beside this one uses."""
    rng = random.Random()
    for _ in range(_TRIES):
        prefix = f"127.{rng.randint(16, 254)}"
        with contextlib.ExitStack() as stack:
            mark = stack.enter_context(socket.socket())
            try:
                mark.bind((f"{prefix}.255.254", 7946))
            except OSError:
                continue
            mark.listen()
            yield prefix
            return
    raise OSError("no loopback addresses are free")
