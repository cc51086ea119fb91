"""`doctor`'s group dns: names that the system needs, as this machine resolves them."""

import ipaddress
import json
import queue
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from trioroute.cli.system.patient import Patient
from trioroute.cli.system.verdicts import Check, Verdict, judge
from trioroute.client.resources import ResourceClient
from trioroute.errors import ConfigError, TrioRouteError

__all__ = ["Named", "check_names", "issuer_hosts", "resolve_all"]

#: A resolver that asks two silent servers twice takes longer; by then nobody waits for its name.
_RESOLVE_S: Final = 3.0


@attrs.frozen(kw_only=True)
class Named:
    """A host that somebody has to find.

    Attributes:
        why: who needs it, and for what.
        bad: the verdict where this machine cannot find it.
        fix: what to do then.
    """

    host: str
    why: str
    bad: Verdict
    fix: str


def check_names(patient: Patient) -> Iterator[Check]:
    """Each name once; numbers need no looking up."""
    named = {
        one.host: one for one in reversed([*_of(patient)]) if one.host and not _is_number(one.host)
    }
    if not named:
        text = "nothing has a name here: all addresses are numbers"
        yield Check("dns", Verdict.SKIPPED, text)
        return
    found = resolve_all(named, _RESOLVE_S)
    for host, one in sorted(named.items()):
        answer = found.get(host, f"no answer within {_RESOLVE_S:g} s")
        is_found = isinstance(answer, list)
        text = (
            f"{host} is {', '.join(answer)} from this machine ({one.why})"
            if is_found
            else f"{host} is not found from this machine ({one.why}): {answer}"
        )
        yield judge(f"dns.{host}", is_found, text, one.fix, bad=one.bad)


def resolve_all(hosts: Iterable[str], timeout_s: float) -> dict[str, list[str] | str]:
    """Each host's addresses, or why there are none; those without answer in time are left out.

    Side by side, since one that is not found may take as long as all the others together.
    """
    answers: queue.SimpleQueue[tuple[str, list[str] | str]] = queue.SimpleQueue()
    waiting = set(hosts)
    for host in waiting:
        # Daemons: the system's resolver cannot be told to stop.
        threading.Thread(target=partial(_resolve, host, answers), daemon=True).start()
    found: dict[str, list[str] | str] = {}
    deadline = time.monotonic() + timeout_s
    while len(found) < len(waiting):
        try:
            host, answer = answers.get(timeout=max(deadline - time.monotonic(), 0.001))
        except queue.Empty:
            break
        found[host] = answer
    return found


def issuer_hosts(properties: Mapping[str, Any]) -> Iterator[str]:
    """Where an endpoint's tokens have their keys from, by its properties."""
    for name in ("trioroute.oidc.issuer", "trioroute.oidc.jwks"):
        host = urlsplit(str(properties.get(name) or "")).hostname
        if host:
            yield host


def _resolve(host: str, answers: "queue.SimpleQueue[tuple[str, list[str] | str]]") -> None:
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        answers.put((host, sorted({str(info[4][0]) for info in infos})))
    except (OSError, UnicodeError) as error:
        answers.put((host, getattr(error, "strerror", None) or str(error)))


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _of(patient: Patient) -> Iterator[Named]:
    if patient.cluster is not None:
        try:
            from trioroute.cli.kube.access import open_access
            from trioroute.cli.kubedoctor.names import names_of_cluster

            yield from names_of_cluster(open_access(patient.cluster))
        except (ModuleNotFoundError, ConfigError):
            return  # the group kubernetes says so
    elif patient.client is not None:
        yield from _of_system(patient.client, is_here=patient.data is not None)


def _of_system(client: ResourceClient, *, is_here: bool) -> Iterator[Named]:
    fix = "name it in DNS or /etc/hosts, or give its number: --admin, TRIOROUTE_URL"
    for name, url in client.system.named_urls().items():
        host = urlsplit(url).hostname or ""
        yield Named(host=host, why=f"{name}'s admin port", bad=Verdict.BAD, fix=fix)
    scoring = urlsplit(client.system.find_scoring_url()).hostname or ""
    yield Named(host=scoring, why="scoring", bad=Verdict.BAD, fix=fix)
    try:
        endpoints = client.registry().endpoints
    except TrioRouteError:
        return  # the group system says so
    for endpoint in endpoints:
        document = json.loads(endpoint.document or "{}")
        for host in issuer_hosts(document.get("properties") or {}):
            yield Named(
                host=host,
                why=f"issuer of tokens for {endpoint.name}",
                # Front-ends elsewhere may know what this machine does not.
                bad=Verdict.BAD if is_here else Verdict.WARNING,
                fix="front-ends have to reach it for its keys: is the name right, is DNS up?",
            )
