"""What `trioroute doctor` looks at, one function for each group (ux.md, 2.8).

A check says what was found and, when something is wrong, what to do. It changes nothing.
"""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from trioroute.cli.system.machine import check_data, check_ports, check_runtime
from trioroute.cli.system.names import check_names
from trioroute.cli.system.patient import Patient
from trioroute.cli.system.verdicts import Check, Verdict, judge
from trioroute.client.errors import UnreachableError
from trioroute.client.http import AdminClient
from trioroute.client.resources import ResourceClient
from trioroute.client.scoring import invoke_endpoint
from trioroute.core.status import ClusterStatus
from trioroute.errors import ConfigError, TrioRouteError

__all__ = ["GROUPS", "PRE"]

_CONNECT_S: Final = 1.0
_ADMIN_S: Final = 2.0
#: Above what rounding and the way there explain. Nothing in the system compares wall clocks of two
#: front-ends but what has to: see the fix.
_SKEW_MAX_S: Final = 3.0


def _check_system(patient: Patient) -> Iterator[Check]:
    if patient.client is None:
        if not patient.is_silent:
            yield Check("system.running", Verdict.SKIPPED, patient.why_not)
            return
        fix = "start it (trioroute up), or name the one that is meant: --admin, --data, a context"
        yield Check("system.running", Verdict.BAD, patient.why_not, fix)
        return
    system = patient.client.system
    seen: dict[str, ClusterStatus] = {}
    ahead_s: dict[str, float] = {}
    for name, url in system.named_urls().items():
        asked = AdminClient(url, timeout_s=_ADMIN_S, token=system.token)
        began_at = time.monotonic()
        try:
            seen[name] = asked.status()
            took_ms = (time.monotonic() - began_at) * 1000
            ahead = asked.clock_ahead_s()
        except TrioRouteError as error:
            fix = "look into its log; `up` starts it again by itself"
            yield Check(f"system.{name}", Verdict.BAD, f"{name}: {error}", fix)
            continue
        text = f"{name} answers at {url} in {took_ms:.0f} ms"
        yield Check(f"system.{name}", Verdict.GOOD, text)
        if ahead is not None:
            ahead_s[name] = ahead
    if seen:
        yield from _check_agreement(seen)
    if len(ahead_s) > 1:
        yield _check_clocks(ahead_s)


def _check_clocks(ahead_s: Mapping[str, float]) -> Check:
    """Of the front-ends, with each other: how far the one here is off is no matter of theirs."""
    first, last = (pick(ahead_s, key=ahead_s.__getitem__) for pick in (min, max))
    apart_s = ahead_s[last] - ahead_s[first]
    is_near = apart_s <= _SKEW_MAX_S
    return judge(
        "system.clocks",
        is_near,
        f"clocks of {len(ahead_s)} front-ends are within {_SKEW_MAX_S:g} s of each other"
        if is_near
        else f"the clock of {last} is {apart_s:.0f} s ahead of that of {first}",
        "set them by NTP. Slots, leases and elections count no wall clock; tokens' and "
        "certificates' ends do, so one front-end may refuse what another takes, and logs do not "
        "fit together",
        bad=Verdict.WARNING,
    )


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
    # house: Raft's own word, of its own members
    terms = {name: status.raft.term for name, status in seen.items() if status.raft}
    shown = ", ".join(f"{name} {number}" for name, number in terms.items())
    is_one = len(set(terms.values())) <= 1
    yield judge(
        "system.term",  # house: as `trioroute raft status` calls it
        is_one,
        "all are in one Raft term" if is_one else f"they are in different Raft terms: {shown}",
        "wait a second; one that stays behind or ahead does not reach the others' peers ports",
        bad=Verdict.WARNING,
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
        from trioroute.cli.kubedoctor.installed import check_installed
        from trioroute.cli.kubedoctor.requirements import check_requirements
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
    if patient.deep_s is not None and found[0].verdict is not Verdict.BAD:
        from trioroute.cli.kubedoctor.deep import check_deep

        yield from check_deep(access, image=patient.image, timeout_s=patient.deep_s)


Group = Callable[[Patient], Iterator[Check]]

#: In the order in which they are shown.
GROUPS: Final[Mapping[str, Group]] = {
    "runtime": check_runtime,
    "data": check_data,
    "ports": check_ports,
    "dns": check_names,
    "system": _check_system,
    "replicas": _check_replicas,
    "config": _check_config,
    "edge": _check_edge,
    "kubernetes": _check_kubernetes,
}
#: What can be looked at before anything runs.
PRE: Final = ("runtime", "data", "ports", "dns", "kubernetes")
