"""Opens a cluster for a drill: its API with the operator's rights, its front-ends, its scoring."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from trioroute.cli.kube.access import open_access
from trioroute.cli.kube.forward import reach_cluster
from trioroute.cli.kubedrill.spread import Spread
from trioroute.client.resources import ResourceClient
from trioroute.client.saved.settings import Settings
from trioroute.client.system import System
from trioroute.drills.kube.lock import break_lock, lock_drills
from trioroute.drills.kube.parting import remove_left
from trioroute.drills.kube.system import KubeWorld, Place

__all__ = ["open_world", "undo_left"]

_GUARD = "trioroute.cli.kubedrill.guard"


@contextlib.contextmanager
def open_world(
    settings: Settings, tell: Callable[[str], None]
) -> Iterator[tuple[KubeWorld, ResourceClient]]:
    """The world of an installation, and its admin API; nobody else drills it meanwhile.

    Requests go to the context's scoring address where there is one, otherwise through port-forwards
    to all front-ends in turn.

    Raises:
        ConfigError: there is no kubeconfig for it.
        UnreachableError: no front-end runs there.
        ClusterRefusedError, WorldError: the cluster refuses something, or somebody else drills.
    """
    access = open_access(settings)
    reached = reach_cluster(settings, tell)
    with lock_drills(access):
        spread = None if settings.url.value else Spread(access, tell)
        try:
            place = Place(
                api=access,
                admin_urls=reached.admin_urls,
                host=urlsplit(access.configuration.host).netloc,
                kubeconfig=settings.kubeconfig.value,
                context=settings.kube_context.value,
                guard=(sys.executable, "-P", "-m", _GUARD),
                held=spread.held if spread else lambda _: None,
            )
            system = System(
                admin_urls=tuple(reached.admin_urls.values()),
                names=tuple(reached.admin_urls),
                scoring_url=spread.url if spread else settings.url.value.rstrip("/"),
                token=settings.read_token(),
            )
            yield KubeWorld.open(place), ResourceClient(system)
        finally:
            if spread is not None:
                spread.close()


def undo_left(settings: Settings) -> list[str]:
    """Mend what drills have left behind in an installation; returns what it was.

    Raises:
        ConfigError: there is no kubeconfig for it.
        WorldError: something is still left.
    """
    access = open_access(settings)
    done = remove_left(access)
    if break_lock(access):
        done.append("the Lease of a drill that had not ended")
    return done
