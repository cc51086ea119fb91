"""What somebody outside the cluster reaches of the front-ends: the ports of their Service.

A Service is a table; what makes a way of it is the cluster's. Here it is read by its rules: a port
that it has not is closed, one that it has leads to the pods' port of that name, where the pods'
NetworkPolicies let strangers in.
"""

import http.client
import socket
import ssl
from functools import partial
from typing import Any, Final

import trio

from chaos.pods.system import ENDPOINT, FRONT_ENDS, PodSystem, is_ready
from chaos.sim.kubernetes_cluster.network import may_dial

__all__ = ["NAME", "Closed", "score"]

Json = dict[str, Any]

#: What clients call the system; its certificate says so.
NAME: Final = "scoring.example"
_SERVICE: Final = "trioroute"
_STRANGER: Final[Json] = {"metadata": {"labels": {}}, "spec": {"containers": []}}
_PATIENCE_S: Final = 20.0


class Closed(Exception):  # noqa: N818 - it is what a port is
    """Nobody takes connections from outside there."""


async def score(system: PodSystem, port: int, trust: ssl.SSLContext | None = None) -> int:
    """The status of one request to the Service's port, over HTTPS where somebody is trusted.

    Raises:
        Closed: the Service or the NetworkPolicies have no such way.
        OSError, http.client.HTTPException: what is there does not answer that.
    """
    address = await _door(system, port)
    ask = partial(_ask, address, trust, system.authorization())
    return await trio.to_thread.run_sync(ask)


async def _door(system: PodSystem, port: int) -> tuple[str, int]:
    """Where the Service's port leads."""
    kube, namespace = system.site.kube, system.site.namespace
    service = await kube.find("Service", namespace, _SERVICE)
    assert service is not None
    targets = [one["targetPort"] for one in service["spec"]["ports"] if one["port"] == port]
    if not targets:
        raise Closed(f"the Service has no port {port}")
    policies = await kube.list("NetworkPolicy", namespace)
    for pod in filter(is_ready, await kube.list("Pod", namespace, FRONT_ENDS)):
        for own in pod["spec"]["containers"][0]["ports"]:
            number: int = own["containerPort"]
            if own["name"] in targets and may_dial(policies, _STRANGER, pod, number):
                return pod["status"]["podIP"], number
    raise Closed(f"port {port}: no pod may be reached at {targets}")


def _ask(address: tuple[str, int], trust: ssl.SSLContext | None, authorization: str) -> int:
    connection = http.client.HTTPConnection(NAME)
    with socket.create_connection(address, timeout=_PATIENCE_S) as sock:
        connection.sock = sock if trust is None else trust.wrap_socket(sock, server_hostname=NAME)
        with connection.sock:
            headers = {"authorization": authorization, "connection": "close"}
            connection.request("POST", f"/api/v1/service/{ENDPOINT}/score", b"{}", headers)
            return connection.getresponse().status
