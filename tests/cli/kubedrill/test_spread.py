"""One address for all front-ends of a cluster: in turn, past who refuses, away from who ends."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import attrs
import pytest

from tests.drills.kube.installation import LABELS
from tests.k8s.running import RunningCluster
from trioroute.cli.kube.access import open_access
from trioroute.cli.kubedrill.spread import Spread
from trioroute.client.saved.settings import find_settings

#: A deadline for what takes milliseconds, on a busy machine.
_PATIENCE_S = 20.0


@attrs.frozen
class Server:
    """A front-end as far as connections go: answers whatever it hears with its name and that."""

    name: str
    listening: socket.socket
    threads: list[threading.Thread] = attrs.field(factory=list)

    def start(self) -> None:
        self._start(self._run)

    def close(self) -> None:
        """Whoever was connected has left already."""
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.threads[0].join(_PATIENCE_S)
        for thread in self.threads:
            thread.join(_PATIENCE_S)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        self.threads.append(threading.Thread(target=target, args=args, daemon=True))
        self.threads[-1].start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1000):
                connection.sendall(f"{self.name}:{data.decode()}".encode())


@contextlib.contextmanager
def served(cluster: RunningCluster, *names: str) -> Iterator[None]:
    """Ready pods of these names."""
    with contextlib.ExitStack() as stack:
        for name in names:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            server = Server(name, listening)
            server.start()
            stack.callback(server.close)
            make_pod(cluster, name, listening.getsockname()[1])
        yield


def make_pod(cluster: RunningCluster, name: str, port: int) -> None:
    ports = [{"name": "scoring", "containerPort": port}]
    spec = {"containers": [{"name": "f", "image": "trioroute:1", "ports": ports}], "nodeName": "a"}
    cluster.make("Pod", {"metadata": {"name": name, "labels": LABELS}, "spec": spec})
    ready = {"type": "Ready", "status": "True"}
    status = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [ready]}
    cluster.do(
        cluster.inner.change,
        "Pod",
        name,
        lambda old: {**old, "status": status},
        subresource="status",
    )


@pytest.fixture
def told() -> list[str]:
    return []


@contextlib.contextmanager
def spread_over(environment: dict[str, str], told: list[str]) -> Iterator[Spread]:
    spread = Spread(open_access(find_settings(None, None, environment)), told.append)
    yield spread
    spread.close()


@contextlib.contextmanager
def connected(spread: Spread) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", urlsplit(spread.url).port or 0)) as connection:
        connection.settimeout(_PATIENCE_S)
        yield connection


def ask(connection: socket.socket, text: str) -> str:
    connection.sendall(text.encode())
    return connection.recv(1000).decode()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_connections_go_to_all_in_turn_and_are_known(
    cluster: RunningCluster, environment: dict[str, str], told: list[str]
) -> None:
    with served(cluster, "fe-0", "fe-1"), spread_over(environment, told) as spread:
        with connected(spread) as one, connected(spread) as other:
            answers = {ask(one, "a"), ask(other, "a")}
            assert answers == {"fe-0:a", "fe-1:a"}
            for connection in (one, other):
                name, _, said = ask(connection, "b").partition(":")
                assert said == "b"
                assert spread.held(name) == {connection.getsockname()[1]}
        wait_until(lambda: not spread.held("fe-0") and not spread.held("fe-1"))
    assert told == []


def test_who_refuses_is_passed_over_with_what_was_said(
    cluster: RunningCluster, environment: dict[str, str], told: list[str]
) -> None:
    with served(cluster, "fe-0"), spread_over(environment, told) as spread:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        make_pod(cluster, "fe-1", port)
        wait_until(lambda: len(spread._pods) == 2)
        for _ in range(2):
            with connected(spread) as connection:
                assert ask(connection, "a") == "fe-0:a"
    assert any(f"port-forward to fe-1:{port}: error forwarding" in line for line in told)


def test_nothing_is_sent_twice_to_who_breaks_off(
    cluster: RunningCluster, environment: dict[str, str], told: list[str]
) -> None:
    """It had the request: whether it worked on it, nobody knows."""
    with socket.create_server(("127.0.0.1", 0)) as rude:
        make_pod(cluster, "fe-1", rude.getsockname()[1])
        with spread_over(environment, told) as spread, connected(spread) as connection:
            connection.sendall(b"a")
            there, _ = rude.accept()
            assert there.recv(10) == b"a"
            with served(cluster, "fe-0"):
                wait_until(lambda: len(spread._pods) == 2)
                there.close()
                assert connection.recv(10) == b""


def test_who_ends_keeps_what_is_under_way_and_nothing_else(
    cluster: RunningCluster, environment: dict[str, str], told: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as slow:
        make_pod(cluster, "fe-1", slow.getsockname()[1])
        with spread_over(environment, told) as spread, contextlib.ExitStack() as clients:
            here, ends = [], []
            for _ in range(2):  # one after the other: else either may come first to the pod
                here.append(clients.enter_context(connected(spread)))
                here[-1].sendall(b"a")
                ends.append(slow.accept()[0])
                ends[-1].recv(10)
            idle, busy = here
            ends[0].sendall(b"done")
            assert idle.recv(10) == b"done"
            cluster.do(cluster.inner.delete, "Pod", "fe-1")
            assert idle.recv(10) == b"", "closed, and before it is used again"
            ends[1].sendall(b"late")
            assert busy.recv(10) == b"late"
            for one in ends:
                one.close()
