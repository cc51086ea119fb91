"""What `trioroute doctor` looks at, one function for each group (ux.md, 2.8).

A check says what was found and, when something is wrong, what to do. It changes nothing.
"""

import importlib.util
import os
import resource
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs

from trioroute.app.host.ports import describe_port_owner
from trioroute.cli.system.verdicts import Check, Verdict, judge
from trioroute.client.errors import UnreachableError
from trioroute.client.http import AdminClient
from trioroute.client.local import LOCK_NAME, lock_owner
from trioroute.client.resources import ResourceClient
from trioroute.client.saved.settings import Settings
from trioroute.client.scoring import invoke_endpoint
from trioroute.core.status import ClusterStatus
from trioroute.errors import ConfigError, TrioRouteError

__all__ = ["GROUPS", "PRE", "Patient"]

_MIB: Final = 1024 * 1024
#: A front-end's connections, two descriptors for each exchange, and the pools.
_DESCRIPTORS_MIN: Final = 4096
#: What azureml-fe asks for (azure-reference.md, 3.16): 2 vCPU, 1.2 G.
_CPUS_MIN: Final = 2
_MEMORY_MIN: Final = 1200 * _MIB
#: A runtime for a model server takes 300 MiB, the log little.
_DISK_MIN: Final = 1024 * _MIB
_CONNECT_S: Final = 1.0
_ADMIN_S: Final = 2.0
_PORTS: Final = {8080: "--port", 9090: "--admin-port", 9091: "--admin-port", 9092: "--admin-port"}


@attrs.frozen(kw_only=True)
class Patient:
    """What is looked at.

    Attributes:
        data: data folder of an `up`; None when admin addresses were named.
        client: of the running system; None when there is none, and `why_not` says why.
        endpoint: to send one real request to; empty for none.
        cluster: settings whose namespace is of front-ends in a Kubernetes cluster; None for none.
        is_pre: whether only what can be looked at before is.
    """

    data: Path | None
    client: ResourceClient | None = None
    why_not: str = ""
    endpoint: str = ""
    cluster: Settings | None = None
    is_pre: bool = False

    def status(self) -> ClusterStatus | None:
        """What the coordinator sees."""
        return None if self.client is None else self.client.system.status()


def _check_runtime(patient: Patient) -> Iterator[Check]:  # noqa: ARG001 - one signature for all
    release = sys.version.partition(" ")[0]
    is_right = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield judge("runtime.python", is_right, f"Python {release}", "use Python 3.11, 3.12 or 3.13")
    missing = [name for name in ("trio", "httptools", "hypercorn", "pysyncobj") if not _has(name)]
    shown = f"trio {version('trio')}" if _has("trio") else "packages"
    yield judge(
        "runtime.packages",
        not missing,
        f"{shown}, trioroute {version('trioroute')}" if not missing else f"no {missing[0]}",
        "install trioroute again: pip install --force-reinstall trioroute",
    )
    yield judge(
        "runtime.venv",
        importlib.util.find_spec("ensurepip") is not None,
        "virtual environments can be made for model servers",
        "on Debian or Ubuntu: apt-get install python3-venv",
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge(
        "runtime.descriptors",
        hard >= _DESCRIPTORS_MIN,
        f"{hard} descriptors a process",
        f"raise the hard limit (ulimit -Hn {16 * _DESCRIPTORS_MIN})",
        bad=Verdict.WARNING,
    )
    yield from _check_machine()


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _check_machine() -> Iterator[Check]:
    cpus = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield judge(
        "runtime.cpus",
        cpus >= _CPUS_MIN,
        f"{cpus} processors",
        f"three front-ends and their model servers want {_CPUS_MIN}; try --front-ends 1",
        bad=Verdict.WARNING,
    )
    yield judge(
        "runtime.memory",
        memory >= _MEMORY_MIN,
        f"{memory // _MIB} MiB of memory",
        f"a system wants {_MEMORY_MIN // _MIB} MiB besides its models",
        bad=Verdict.WARNING,
    )
    try:
        time.clock_gettime(time.CLOCK_BOOTTIME)
        has_clock = True
    except (AttributeError, OSError):
        has_clock = False
    fix = "leases need Linux' CLOCK_BOOTTIME: run on Linux 2.6.39 or newer"
    yield judge("runtime.clock", has_clock, "the clock counts time in suspend", fix)


def _check_data(patient: Patient) -> Iterator[Check]:
    if patient.data is None:
        yield Check("data.folder", Verdict.SKIPPED, "the system is not on this machine")
        return
    folder = patient.data
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    yield judge(
        "data.folder",
        os.access(there, os.W_OK | os.X_OK),
        f"{folder} can be written" if there == folder else f"{folder} can be made",
        f"give yourself the right to write in {there}, or choose another with --data DIR",
    )
    free = shutil.disk_usage(there).free
    yield judge(
        "data.space",
        free >= _DISK_MIN,
        f"{free // _MIB} MiB free",
        "make room: the log and model servers' environments are kept there",
        bad=Verdict.WARNING,
    )
    for name in ("secret.key",):
        path = folder / name
        if path.exists():
            is_private = not stat.S_IMODE(path.stat().st_mode) & 0o077
            fix = f"chmod 600 {path}, then replace the keys: others could read them"
            yield judge("data.secret", is_private, f"{name} is its owner's only", fix)


def _check_ports(patient: Patient) -> Iterator[Check]:
    if patient.client is not None or patient.data is None:
        yield Check("ports", Verdict.SKIPPED, "a running system has its ports")
        return
    if _owner(patient.data) is not None:
        yield Check("ports", Verdict.SKIPPED, "a system is starting, and takes its ports")
        return
    for port, option in _PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                by = describe_port_owner(port) or error.strerror or "somebody"
                fix = f"end that, or start with {option} N (0 takes any)"
                yield Check(f"ports.{port}", Verdict.BAD, f"port {port} is taken: {by}", fix)
            else:
                yield Check(f"ports.{port}", Verdict.GOOD, f"port {port} is free")


def _owner(data: Path) -> int | None:
    try:
        return lock_owner((data / LOCK_NAME).read_bytes())
    except OSError:
        return None


def _check_system(patient: Patient) -> Iterator[Check]:
    if patient.client is None:
        yield Check("system.running", Verdict.SKIPPED, patient.why_not)
        return
    system = patient.client.system
    seen: dict[str, ClusterStatus] = {}
    for name, url in system.named_urls().items():
        try:
            seen[name] = AdminClient(url, timeout_s=_ADMIN_S, token=system.token).status()
        except TrioRouteError as error:
            fix = "look into its log; `up` starts it again by itself"
            yield Check(f"system.{name}", Verdict.BAD, f"{name}: {error}", fix)
        else:
            yield Check(f"system.{name}", Verdict.GOOD, f"{name} answers at {url}")
    if seen:
        yield from _check_agreement(seen)


def _check_agreement(seen: Mapping[str, ClusterStatus]) -> Iterator[Check]:
    offices = {
        "nobody" if s.coordinator is None else f"{s.coordinator.name}, epoch {s.coordinator.epoch}"
        for s in seen.values()
    }
    text = f"all see one coordinator: {next(iter(offices))}"
    yield judge(
        "system.coordinator",
        len(offices) == 1 and "nobody" not in offices,
        text if len(offices) == 1 else f"they see different ones: {', '.join(sorted(offices))}",
        "wait for an election (a second); if it stays so, the peers' ports do not reach each other",
    )
    for name, status in seen.items():
        raft = status.raft
        if raft is not None:
            yield judge(
                f"system.{name}-peers",
                raft.connected == raft.voters,
                f"{name} is connected to {raft.connected} of {raft.voters} voters",
                "start the missing front-ends, or let the peers' ports through between them",
                bad=Verdict.WARNING if 2 * raft.connected > raft.voters else Verdict.BAD,
            )
    releases = {status.version for status in seen.values() if status.version}
    yield judge(
        "system.versions",
        len(releases) <= 1,
        f"all run version {', '.join(sorted(releases)) or 'unknown'}",
        "finish the update: neighbouring versions understand each other, others do not",
        bad=Verdict.WARNING,
    )


def _check_replicas(patient: Patient) -> Iterator[Check]:
    status = patient.status()
    if status is None:
        yield Check("replicas", Verdict.SKIPPED, "no system answers")
        return
    if patient.cluster is not None:
        text = "pods have addresses of the cluster's own: front-ends probe them, see config"
        yield Check("replicas", Verdict.SKIPPED, text)
        return
    for deployment in (each for endpoint in status.endpoints for each in endpoint.deployments):
        for replica in deployment.replicas:
            if replica.address:
                yield _check_address(f"replicas.{replica.id}", replica.address, deployment.key)
                continue
            text = f"{replica.id}: {replica.reason or 'it has no address yet'}"
            fix = f"trioroute logs {deployment.key}"
            yield Check(f"replicas.{replica.id}", Verdict.WARNING, text, fix)


def _check_address(name: str, address: str, deployment: str) -> Check:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except TimeoutError:
        fix = "packets are dropped on the way: a firewall or a network policy"
        return Check(name, Verdict.BAD, f"{deployment} at {address}: no answer", fix)
    except OSError as error:
        fix = f"nothing listens there: trioroute logs {deployment}"
        return Check(name, Verdict.BAD, f"{deployment} at {address}: {error.strerror}", fix)
    return Check(name, Verdict.GOOD, f"{deployment} listens at {address}")


def _check_config(patient: Patient) -> Iterator[Check]:
    status = patient.status()
    if status is None:
        yield Check("config", Verdict.SKIPPED, "no system answers")
        return
    problems = list(status.problems())
    for number, problem in enumerate(problems, 1):
        fix = "trioroute status shows it in full"
        yield Check(f"config.{number}", Verdict.BAD, problem, fix)
    for number, note in enumerate(status.notes(), 1):
        fix = "wait; if it stays so, trioroute status names the front-end that is away"
        yield Check(f"config.note-{number}", Verdict.WARNING, note, fix)
    count = len(status.front_ends)
    yield judge(
        "config.front-ends",
        count % 2 == 1,
        f"{count} front-ends",
        "an even number tolerates no more deaths than one fewer",
        bad=Verdict.WARNING,
    )
    if not problems:
        yield Check(
            "config.endpoints", Verdict.GOOD, f"{len(status.endpoints)} endpoints, all well"
        )


def _check_edge(patient: Patient) -> Iterator[Check]:
    if patient.client is None:
        yield Check("edge.scoring", Verdict.SKIPPED, "no system answers")
        return
    url = patient.client.system.find_scoring_url()
    parts = urlsplit(url)
    if not parts.hostname:
        fix = "set TRIOROUTE_URL"
        yield Check("edge.scoring", Verdict.WARNING, "no front-end says where it scores", fix)
        return
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), _CONNECT_S).close()
    except OSError as error:
        fix = "is that address meant for this machine? TRIOROUTE_URL names another"
        yield Check("edge.scoring", Verdict.BAD, f"{url}: {error.strerror or error}", fix)
        return
    yield Check("edge.scoring", Verdict.GOOD, f"{url} takes connections")
    yield _invoke(patient.client, patient.endpoint)


def _invoke(client: ResourceClient, endpoint: str) -> Check:
    if not endpoint:
        text = "no request was sent: --endpoint NAME sends one"
        return Check("edge.invoke", Verdict.SKIPPED, text)
    try:
        invoke_endpoint(client, endpoint, b"{}")
    except UnreachableError as error:
        return Check("edge.invoke", Verdict.BAD, str(error), "trioroute status")
    except TrioRouteError as error:
        # A model that refuses an empty request has been reached all the same.
        return Check("edge.invoke", Verdict.WARNING, str(error), f"trioroute logs {endpoint}/…")
    return Check("edge.invoke", Verdict.GOOD, f"{endpoint} answered a request")


def _check_kubernetes(patient: Patient) -> Iterator[Check]:
    if patient.cluster is None:
        text = "no cluster is named: trioroute config set NAME --namespace NAMESPACE does it"
        yield Check("kubernetes", Verdict.SKIPPED, text)
        return
    try:
        from trioroute.cli.kube.access import open_access
        from trioroute.cli.kube.installed import check_installed
        from trioroute.cli.kube.requirements import check_requirements
    except ModuleNotFoundError as error:
        text = f"the package {error.name} is missing"
        yield Check("kubernetes.client", Verdict.BAD, text, "pip install 'trioroute[k8s]'")
        return
    try:
        access = open_access(patient.cluster)
    except ConfigError as error:
        fix = "kubectl config get-contexts shows what there is; trioroute config chooses"
        yield Check("kubernetes.kubeconfig", Verdict.BAD, str(error), fix)
        return
    found = list(check_requirements(access, pre=patient.is_pre))
    yield from found
    if not patient.is_pre and found[0].verdict is not Verdict.BAD:
        yield from check_installed(access)


Group = Callable[[Patient], Iterator[Check]]

#: In the order in which they are shown.
GROUPS: Final[Mapping[str, Group]] = {
    "runtime": _check_runtime,
    "data": _check_data,
    "ports": _check_ports,
    "system": _check_system,
    "replicas": _check_replicas,
    "config": _check_config,
    "edge": _check_edge,
    "kubernetes": _check_kubernetes,
}
#: What can be looked at before anything runs.
PRE: Final = ("runtime", "data", "ports", "kubernetes")
