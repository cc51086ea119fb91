"""A fake cluster's API in a thread of its own, for synchronous tests, and a kubeconfig for it."""

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import attrs
import trio
import yaml

from chaos.sim.kubernetes_cluster.kubelet import Idle, Runtime
from chaos.sim.kubernetes_cluster.plane import kubeconfig_of
from chaos.sim.kubernetes_cluster.tls import make_server_tls
from tests.k8s.cluster import FakeCluster

__all__ = ["RunningCluster", "running_cluster"]

Json = dict[str, Any]
T = TypeVar("T")

_STARTED_S: Final = 10.0
_FRONT_END: Final = {
    "app.kubernetes.io/name": "trioroute",
    "app.kubernetes.io/component": "front-end",
}


@attrs.frozen
class RunningCluster:
    """What a synchronous test does with it; `inner` belongs to the other thread."""

    inner: FakeCluster
    _token: trio.lowlevel.TrioToken
    _nursery: trio.Nursery

    def do(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function where the cluster lives."""
        return trio.from_thread.run_sync(partial(function, *args, **kwargs), trio_token=self._token)

    def start(self, serve: Callable[..., Awaitable[None]]) -> Any:
        """Run this beside the cluster until it ends; returns what it says it started with."""
        return trio.from_thread.run(self._nursery.start, serve, trio_token=self._token)

    def make(self, kind: str, body: Json) -> Json:
        """Create an object, as an administrator."""
        return self.do(self.inner.make, kind, body)

    def get(self, kind: str, name: str) -> Json | None:
        """An object's newest state."""
        return self.do(self.inner.get, kind, name)

    def list(self, kind: str) -> list[Json]:
        """All of a kind."""
        return self.do(self.inner.list, kind)

    def make_front_end(self, name: str, admin_url: str) -> None:
        """A running pod whose admin port is where something listens on this machine."""
        listed = [{"name": "admin", "containerPort": urlsplit(admin_url).port}]
        container = {"name": "front-end", "image": "trioroute:0.1.0", "ports": listed}
        status = {"phase": "Running", "podIP": "127.0.0.1", "conditions": []}
        self.make(
            "Pod",
            {"metadata": {"name": name, "labels": _FRONT_END}, "spec": {"containers": [container]}},
        )
        self.do(
            self.inner.change,
            "Pod",
            name,
            lambda old: {**old, "status": status},
            subresource="status",
        )

    def stop(self) -> None:
        """End it, and what was started beside it."""
        self._token.run_sync_soon(self._nursery.cancel_scope.cancel)

    def write_kubeconfig(self, path: Path, *, token: str = "admin") -> Path:
        """A file with one context, `fake`, of this user."""
        config = kubeconfig_of(self.inner.server.cluster, token, name="fake")
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path


@contextmanager
def running_cluster(
    tls_folder: Path | None = None, *, is_alive: bool = False, runtime: Runtime | None = None
) -> Iterator[RunningCluster]:
    """An API server with our definitions and rights in namespace `models`.

    Args:
        tls_folder: for certificates; without it the server speaks plain HTTP.
        is_alive: whether there are controllers and a kubelet too.
        runtime: what that runs; nothing where it is not given.
    """
    tls = None if tls_folder is None else make_server_tls(tls_folder)
    started = threading.Event()
    kept: list[RunningCluster] = []

    async def serve() -> None:
        cluster = FakeCluster(runtime or Idle(), tls)
        async with trio.open_nursery() as nursery:
            if is_alive:
                await nursery.start(cluster.run)
            await nursery.start(cluster.serve_alone)
            kept.append(RunningCluster(cluster, trio.lowlevel.current_trio_token(), nursery))
            started.set()

    thread = threading.Thread(target=partial(trio.run, serve))
    thread.start()
    assert started.wait(_STARTED_S)
    (cluster,) = kept
    try:
        yield cluster
    finally:
        cluster.stop()
        thread.join(_STARTED_S)
        assert not thread.is_alive()
