"""One scoring address here for all front-ends of a cluster: a Service made of port-forwards.

Each new connection goes to the next front-end that is ready; one that refuses it is passed over, as
by a client that tries a refused connect again. When a front-end's pod is told to end, connections
with nothing under way are closed, as a load balancer does. Nothing else is ever sent twice.
"""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import attrs
from websocket import WebSocketException

from trioroute.cli.kube.access import Access, ClusterRefusedError
from trioroute.cli.kube.forward import (
    DATA,
    ERROR,
    REFUSALS,
    SCORING,
    messages,
    named_ports,
    open_channel,
    start,
)

__all__ = ["Spread"]

Json = dict[str, Any]

#: How often to look which front-ends are ready, seconds.
_LOOK_S: Final = 0.25
#: A connection that has been quiet for so long after an answer has nothing under way, seconds.
_QUIET_S: Final = 0.25
_CHUNK_BYTES: Final = 65_536
#: A look at the API server that is under way has to end first, seconds.
_END_MAX_S: Final = 5.0
#: How kubelets and their runtimes say that nobody listens on a pod's port.
_REFUSED: Final = re.compile(r"refused|dial|attempts to connect", re.IGNORECASE)


@attrs.define(eq=False)
class _Link:
    """One connection of a client, and the pod that it goes to at present."""

    client: socket.socket
    pod: str = ""
    remote: Any = None
    #: What has been sent before the first answer: all that a refusing pod has missed.
    early: bytearray = attrs.field(factory=bytearray)
    has_answered: bool = False
    is_owed: bool = False
    heard_at: float = 0.0
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    def send(self, data: bytes) -> None:
        """What the client says."""
        with self.lock:
            self.is_owed = True
            if not self.has_answered:
                self.early += data
            # A pod that is gone is found out by whoever listens to it.
            with contextlib.suppress(WebSocketException, OSError):
                self.remote.send_binary(DATA + data)

    def turn_to(self, pod: str, remote: Any) -> None:
        """Go to this pod, with all that the one before has missed."""
        with self.lock:
            self.pod, self.remote = pod, remote
            if self.early:
                remote.send_binary(DATA + bytes(self.early))

    def hear(self, data: bytes) -> None:
        """What the pod says."""
        self.client.sendall(data)
        with self.lock:
            self.has_answered, self.is_owed = True, False
            self.early.clear()
            self.heard_at = time.monotonic()

    def retire(self) -> None:
        """Close it if nothing is under way: the client sees that before it sends again."""
        with self.lock:
            is_quiet = self.has_answered and not self.is_owed
            if is_quiet and time.monotonic() > self.heard_at + _QUIET_S and not self._has_news():
                _shut(self.client)

    def _has_news(self) -> bool:
        try:
            return bool(self.client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False


class Spread:
    """Listens until it is closed; threads, which end with the process."""

    def __init__(self, access: Access, tell: Callable[[str], None]) -> None:
        """Listen.

        Args:
            tell: is told why a connection came to nothing.
        """
        self._access = access
        self._tell = tell
        self._links: dict[int, _Link] = {}
        self._lock = threading.Lock()
        self._pods: dict[str, int] = {}
        self._turn = 0
        self._threads: list[threading.Thread] = []
        self._is_closed = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._look()
        self._acceptor = start(self._accept)
        self._threads.append(start(self._keep_looking))

    @property
    def url(self) -> str:
        """Where it is here."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def held(self, pod: str) -> frozenset[int]:
        """Client ports of the connections that go to a pod now."""
        with self._lock:
            return frozenset(port for port, link in self._links.items() if link.pod == pod)

    def close(self) -> None:
        """End it with all connections; returns when nothing runs any more."""
        self._is_closed.set()
        # Closing alone would not wake who waits in accept() or recv().
        _shut(self._listening)
        self._listening.close()
        self._acceptor.join(_END_MAX_S)
        with self._lock:
            links = list(self._links.values())
        for link in links:
            _shut(link.client)
        for thread in self._threads:
            thread.join(_END_MAX_S)

    def _keep_looking(self) -> None:
        while not self._is_closed.wait(_LOOK_S):
            self._look()

    def _look(self) -> None:
        try:
            pods = self._access.front_ends()
        except ClusterRefusedError:
            return  # those that were ready are believed to be
        self._pods = {
            str(pod["metadata"]["name"]): named_ports(pod)[SCORING]
            for pod in pods
            if _is_ready(pod) and SCORING in named_ports(pod)
        }
        ending = {
            str(pod["metadata"]["name"]) for pod in pods if "deletionTimestamp" in pod["metadata"]
        }
        with self._lock:
            links = [link for link in self._links.values() if link.pod in ending]
        for link in links:
            link.retire()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self._listening.accept()
                self._threads = [thread for thread in self._threads if thread.is_alive()]
                self._threads.append(start(partial(self._serve, connection, peer[1])))

    def _serve(self, connection: socket.socket, port: int) -> None:
        link = _Link(connection)
        with self._lock:
            self._links[port] = link
        with connection:
            sender: threading.Thread | None = None
            for pod, number in self._order():
                why = ""
                try:
                    remote = open_channel(self._access, pod, number)
                    link.turn_to(pod, remote)
                except REFUSALS as error:
                    why = str(getattr(error, "reason", None) or error)
                else:
                    sender = sender or start(partial(_send_all, link))
                    why = self._receive_all(link, remote)
                    remote.shutdown()
                if not why:
                    break
                self._tell(f"port-forward to {pod}:{number}: {why}")
                if sender is not None and not sender.is_alive():
                    break  # the client has left meanwhile
            _shut(connection)
            if sender is not None:
                sender.join()
        with self._lock:
            del self._links[port]

    def _receive_all(self, link: _Link, remote: Any) -> str:
        """Pass on what the pod says; why it never had the connection, empty when it had."""
        said = ""
        with contextlib.suppress(WebSocketException, OSError):
            for channel, data in messages(remote):
                if channel == ERROR:
                    said = data.decode(errors="replace").strip()
                    break
                link.hear(data)
        if said and not link.has_answered and _REFUSED.search(said):
            return said
        if said:
            self._tell(f"port-forward to {link.pod}: {said}")
        return ""

    def _order(self) -> list[tuple[str, int]]:
        """Ready front-ends, each call beginning at another."""
        pods = list(self._pods.items())
        with self._lock:
            self._turn += 1
            at = self._turn % max(len(pods), 1)
        return pods[at:] + pods[:at]


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    is_told = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return is_told and "deletionTimestamp" not in pod["metadata"]


def _send_all(link: _Link) -> None:
    """Pass on what the client says until it ends."""
    with contextlib.suppress(OSError):
        while data := link.client.recv(_CHUNK_BYTES):
            link.send(data)
    # Closing alone would not wake the thread that listens to the pod.
    with link.lock, contextlib.suppress(OSError, AttributeError):
        link.remote.sock.shutdown(socket.SHUT_RDWR)
