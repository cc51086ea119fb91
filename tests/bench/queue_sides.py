"""Who is compared in `bench queue`: three front-ends of each kind before the same replicas.

Ours share one line; those of the others know nothing of each other, which is how they are run: each
holds one connection to each replica at most and queues by itself.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from tests.bench.processes import choose_cores, free_port, running, wait_until_answering
from tests.bench.sides import envoy_command, envoy_manager, program

__all__ = ["QUEUE_SIDES", "QueueSide"]


@attrs.frozen
class QueueSide:
    """One kind of router.

    Attributes:
        is_shared: whether all front-ends answer on one port.
        command: given a folder, a port, the replicas' ports and how many front-ends.
    """

    name: str
    is_shared: bool
    command: Callable[[Path, int, Sequence[int], int], list[str]]

    @contextlib.contextmanager
    def start(self, folder: Path, replicas: Sequence[int], front_ends: int) -> Iterator[list[int]]:
        """Run the front-ends until the block is left; gives the ports to ask, each equally often.

        Raises:
            NotInstalledError: there is nothing to run.
        """
        ports = [free_port() for _ in range(1 if self.is_shared else front_ends)]
        with contextlib.ExitStack() as stack:
            for number, port in enumerate(ports):
                own = folder / f"{self.name}-{number}"
                own.mkdir(parents=True, exist_ok=True)
                command = self.command(own, port, replicas, front_ends)
                everyone = choose_cores().everyone
                process = stack.enter_context(running(command, cores=everyone, log=own / "log"))
                wait_until_answering(port, process)
            yield ports


def _trioroute(folder: Path, port: int, replicas: Sequence[int], front_ends: int) -> list[str]:
    (folder / "endpoint.yml").write_text(
        "name: bench\nauth_mode: key\ntraffic:\n  blue: 100\nproperties:\n"
        '  trioroute.mount: "/"\n  trioroute.anonymous: "true"\n',
        encoding="utf-8",
    )
    addresses = ",".join(f"127.0.0.1:{replica}" for replica in replicas)
    (folder / "deployment.yml").write_text(
        "name: blue\nendpoint_name: bench\ntype: kubernetes\nrequest_settings:\n"
        "  max_concurrent_requests_per_instance: 1\n  max_queue_wait_ms: 60000\n"
        f'  request_timeout_ms: 60000\nproperties:\n  trioroute.addresses: "{addresses}"\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-c", "from trioroute.cli.main import main; main()", "up"]
    command += [str(folder / "endpoint.yml"), str(folder / "deployment.yml"), "--dev"]
    command += ["--front-ends", str(front_ends), "--data", str(folder / "data")]
    return [*command, "--port", str(port), "--admin-port", "0"]


def _haproxy(folder: Path, port: int, replicas: Sequence[int], _front_ends: int) -> list[str]:
    servers = "\n".join(f"  server r{at} 127.0.0.1:{at} maxconn 1" for at in replicas)
    file = folder / "haproxy.cfg"
    file.write_text(
        f"""
global
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
  http-reuse always
frontend bench
  bind 127.0.0.1:{port}
  default_backend replicas
backend replicas
  balance leastconn
{servers}
""",
        encoding="utf-8",
    )
    return [program("haproxy"), "-db", "-f", str(file)]


def _envoy(folder: Path, port: int, replicas: Sequence[int], _front_ends: int) -> list[str]:
    addresses = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": at}}}}
        for at in replicas
    ]
    limits = {"max_pending_requests": 100_000, "max_connections": 100_000}
    cluster: dict[str, Any] = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {
            "thresholds": [limits],
            "per_host_thresholds": [{"max_connections": 1}],
        },
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": addresses}]},
    }
    bootstrap = envoy_manager(port, cluster)
    return envoy_command(folder, bootstrap)


#: One HAProxy is a single line for all: what it is above the ideal is the machine's part.
QUEUE_SIDES: Final = {
    side.name: side
    for side in (
        QueueSide("trioroute", True, _trioroute),
        QueueSide("one-line", True, _haproxy),
        QueueSide("haproxy", False, _haproxy),
        QueueSide("envoy", False, _envoy),
    )
}
