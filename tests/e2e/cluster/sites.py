"""Which cluster the suite runs on: a fake one of its own, or the one that KUBECONFIG names.

`make test-cluster` sets TRIOROUTE_TEST_CLUSTER; then nothing is made but a namespace, which is
removed afterwards, and the definitions of the custom resources, which stay. TOY_KUBELET=1: the
cluster has no nodes, pods become processes here. Without it TRIOROUTE_IMAGE names an image with
front-ends that the cluster can pull, and pods' addresses have to be reachable from here.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from chaos.pods.site import Site, fake_site, run_pods
from chaos.sim.kubernetes_cluster.plane import kubeconfig_of
from tests.e2e.cluster.remote import RemoteKube, open_remote

__all__ = ["is_remote", "open_site"]


def is_remote() -> bool:
    """Whether the suite runs on a cluster of somebody else's."""
    return bool(os.environ.get("TRIOROUTE_TEST_CLUSTER"))


@asynccontextmanager
async def open_site(folder: Path) -> AsyncIterator[Site]:
    """The cluster, with a namespace that is ours."""
    if not is_remote():
        async with fake_site(folder) as site:
            yield site
        return
    has_toy = os.environ.get("TOY_KUBELET") == "1"
    image = os.environ.get("TRIOROUTE_IMAGE", "trioroute" if has_toy else "")
    if not image:
        pytest.fail("TRIOROUTE_IMAGE: name an image that the cluster can pull, or TOY_KUBELET=1")
    http, cluster = open_remote()
    async with http:
        site = Site(
            kube=RemoteKube(http),
            namespace=f"trioroute-test-{secrets.token_hex(4)}",
            folder=folder,
            kubeconfig=partial(kubeconfig_of, cluster),
            image=image,
        )
        try:
            if has_toy:
                async with run_pods(site):
                    yield site
            else:
                yield site
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 60):
                await _remove(site)


async def _remove(site: Site) -> None:
    """Whatever was made. Pods without a node would wait for ever for somebody to end them."""
    for kind in ("OnlineDeployment", "OnlineEndpoint", "StatefulSet", "Deployment"):
        for one in await site.kube.list(kind, site.namespace):
            await site.kube.delete(kind, site.namespace, one["metadata"]["name"])
    while pods := await site.kube.list("Pod", site.namespace):
        for pod in pods:
            await site.kube.delete("Pod", site.namespace, pod["metadata"]["name"], grace_s=0)
    await site.kube.delete("Namespace", "", site.namespace)
