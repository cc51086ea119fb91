"""Ports of front-ends in a cluster, brought here through its API: what `kubectl port-forward` does.

Each listening socket stands for one port of one pod, and each connection to it is one WebSocket to
the API server, which passes the bytes on. Threads, since verbs are synchronous; they end with the
process. The official client has a port-forward of its own, which closes its end as soon as the
WebSocket is closed. So it may lose the end of an answer that a close follows at once, and one does
follow every answer of the admin API: hence only its way to open the WebSocket is used.
"""

import contextlib
import functools
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from kubernetes.client.exceptions import ApiException
from kubernetes.stream.ws_client import create_websocket, get_websocket_url
from websocket import ABNF, WebSocketException

from trioroute.cli.kube.access import Access, open_access
from trioroute.client.errors import UnreachableError
from trioroute.client.saved.settings import Settings
from trioroute.client.system import Reached

__all__ = [
    "DATA",
    "ERROR",
    "REFUSALS",
    "SCORING",
    "Forward",
    "Tunnel",
    "messages",
    "named_ports",
    "open_channel",
    "reach_cluster",
    "start",
]

Json = dict[str, Any]
Tell = Callable[[str], None]

#: What both ends speak: the first byte of a message is its channel.
_PROTOCOL: Final = "v4.channel.k8s.io"
DATA: Final = b"\0"
ERROR: Final = 1
#: Each channel begins with the number of its port.
_GREETING_BYTES: Final = 2
_CHUNK_BYTES: Final = 65_536
#: By these names the manifests call a front-end's ports.
_ADMIN: Final = "admin"
SCORING: Final = "scoring"
#: How the API server's client says that there is no way to a pod.
REFUSALS: Final = (ApiException, WebSocketException, OSError)


class Forward:
    """One port of one pod, as a port of this machine."""

    def __init__(self, access: Access, pod: str, port: int, tell: Tell) -> None:
        """Listen.

        Args:
            tell: is told why a connection came to nothing; whoever made it only sees it closed.
        """
        self._access = access
        self._pod = pod
        self._port = port
        self._tell = tell
        self._told: set[str] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        start(self._accept)

    @property
    def url(self) -> str:
        """Where it is here."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        """Take no more connections; those that are open go on."""
        # Closing alone would not wake who waits in accept().
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                start(functools.partial(self._serve, connection))

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                remote = open_channel(self._access, self._pod, self._port)
            except REFUSALS as error:
                self._say(getattr(error, "reason", None) or str(error))
                return
            sender = start(functools.partial(_send_all, connection, remote))
            with contextlib.suppress(WebSocketException, OSError):
                self._receive_all(connection, remote)
            remote.shutdown()
            # Its recv() returns then, and the thread ends.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            sender.join()

    def _receive_all(self, connection: socket.socket, remote: Any) -> None:
        """Pass on what the pod says until it ends, to the last byte."""
        for channel, data in messages(remote):
            if channel == ERROR:
                self._say(data.decode(errors="replace").strip())
                return
            connection.sendall(data)

    def _say(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            self._tell(f"port-forward to {self._pod}:{self._port}: {problem}")


class Tunnel:
    """The front-ends of one namespace, reached through forwards that are kept."""

    def __init__(self, access: Access, tell: Tell) -> None:
        self._access = access
        self._tell = tell
        self._forwards: dict[tuple[str, int], Forward] = {}

    def reach(self) -> Reached:
        """The front-ends that run now.

        Raises:
            UnreachableError: none does.
            ClusterRefusedError: pods cannot be listed.
        """
        pods = self._access.front_ends()
        named = {str(pod["metadata"]["name"]): named_ports(pod) for pod in pods}
        urls = {
            name: self._forward(name, ports[_ADMIN])
            for name, ports in named.items()
            if _ADMIN in ports
        }
        if not urls:
            namespace = self._access.namespace
            raise UnreachableError(
                f"no front-end runs in namespace {namespace} of {self._access.configuration.host}: "
                f"trioroute doctor says why, kubectl apply -k installs"
            )
        scoring = [(name, ports[SCORING]) for name, ports in named.items() if SCORING in ports]
        return Reached(admin_urls=urls, scoring_url=self._forward(*scoring[0]) if scoring else "")

    def close(self) -> None:
        """Stop listening."""
        for forward in self._forwards.values():
            forward.close()

    def _forward(self, pod: str, port: int) -> str:
        key = (pod, port)
        if key not in self._forwards:
            self._forwards[key] = Forward(self._access, pod, port, self._tell)
        return self._forwards[key].url


#: One for each system that this process has met: `status --watch` asks again and again.
_TUNNELS: Final[dict[tuple[str, str, str], Tunnel]] = {}


def reach_cluster(settings: Settings, tell: Tell) -> Reached:
    """Make the front-ends of a namespace reachable until this process ends.

    Raises:
        ConfigError: there is no kubeconfig for it.
        UnreachableError: no front-end runs there.
        ClusterRefusedError: the cluster does not let us look.
    """
    key = (settings.kubeconfig.value, settings.kube_context.value, settings.namespace.value)
    if key not in _TUNNELS:
        _TUNNELS[key] = Tunnel(open_access(settings), tell)
    return _TUNNELS[key].reach()


def open_channel(access: Access, pod: str, port: int) -> Any:
    """A WebSocket to one port of a pod. Raises what `REFUSALS` names.

    By two functions of the official client that have no types.
    """
    configuration = access.configuration
    path = f"/api/v1/namespaces/{access.namespace}/pods/{pod}/portforward"
    query = [("ports", str(port))]
    url = get_websocket_url(configuration.host + path, query)  # type: ignore[no-untyped-call]
    headers = {"sec-websocket-protocol": _PROTOCOL, **access.authorization()}
    return create_websocket(configuration, url, headers)  # type: ignore[no-untyped-call]


def messages(remote: Any) -> Iterator[tuple[int, bytes]]:
    """What comes of such a WebSocket until it ends: channel and content, never empty."""
    greeted: set[int] = set()
    while True:
        kind, message = remote.recv_data()
        if kind == ABNF.OPCODE_CLOSE:
            return
        if not message:
            continue
        channel, data = message[0], message[1:]
        if channel not in greeted:
            greeted.add(channel)
            data = data[_GREETING_BYTES:]
        if data:
            yield channel, data


def named_ports(pod: Json) -> Mapping[str, int]:
    """A pod's ports by their names."""
    return {
        port["name"]: int(port["containerPort"])
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("name")
    }


def _send_all(connection: socket.socket, remote: Any) -> None:
    """Pass on what is said here until it ends."""
    with contextlib.suppress(WebSocketException, OSError):
        while data := connection.recv(_CHUNK_BYTES):
            remote.send_binary(DATA + data)


def start(run: Callable[[], None]) -> threading.Thread:
    """A thread that ends with the process."""
    thread = threading.Thread(target=run, daemon=True, name="port-forward")
    thread.start()
    return thread
