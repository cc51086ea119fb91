"""What a cluster has to offer before front-ends are installed there, as `doctor`'s checks.

The original's connectivity requirements (ux.md, 2.8) as far as they can be looked at from outside:
the API server answers, in a version that has what we use; definitions, Secrets, rights and volumes
are there.
"""

import base64
import datetime as dt
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from trioroute.cli.kube.access import Access
from trioroute.cli.kube.certs import PEERS_SECRET, SEAL_SECRET
from trioroute.cli.kubecrd import KINDS, custom_resource_definition
from trioroute.cli.kubedoctor.looking import Look
from trioroute.cli.system.verdicts import Check, Verdict, judge
from trioroute.discovery.kube.calls import KubeError

__all__ = ["OWN_RIGHTS", "ROUTER_RIGHTS", "Right", "check_requirements"]

Json = dict[str, Any]
#: Verb, group, resource, and the one name that it is about or an empty one.
Right = tuple[str, str, str, str]

_OURS: Final = "trioroute.dev"
#: What k8s/base/rights grants; a test compares.
ROUTER_RIGHTS: Final[tuple[Right, ...]] = (
    *((verb, "", "pods", "") for verb in ("list", "watch", "patch")),
    *((verb, "apps", "deployments", "") for verb in ("list", "watch", "create", "patch")),
    ("patch", "apps", "deployments/scale", ""),
    *((verb, "", kind, "") for kind in ("services", "configmaps") for verb in ("create", "patch")),
    ("get", "", "configmaps", "trioroute-instance-types"),
    *(
        (verb, _OURS, kind, "")
        for kind in ("onlineendpoints", "onlinedeployments")
        for verb in ("list", "watch", "create", "update", "delete")
    ),
    *(("patch", _OURS, f"{kind}/status", "") for kind in ("onlineendpoints", "onlinedeployments")),
)
#: What k8s/base/own-rights.yaml grants where front-ends are; a test compares.
OWN_RIGHTS: Final[tuple[Right, ...]] = (("list", "", "pods", ""), ("watch", "", "pods", ""))
#: What the command line needs where it is used from outside.
_USER_RIGHTS: Final[tuple[Right, ...]] = (
    ("list", "", "pods", ""),
    ("get", "", "pods/portforward", ""),
    ("create", "", "pods/portforward", ""),
)
#: What `kubectl apply -k` makes.
_INSTALL_RIGHTS: Final[tuple[Right, ...]] = (
    ("create", "apps", "statefulsets", ""),
    *(("create", "", kind, "") for kind in ("services", "configmaps", "secrets")),
    ("create", "", "serviceaccounts", ""),
    ("create", "rbac.authorization.k8s.io", "roles", ""),
    ("create", "rbac.authorization.k8s.io", "rolebindings", ""),
    ("create", "policy", "poddisruptionbudgets", ""),
    ("create", "networking.k8s.io", "networkpolicies", ""),
)

#: Replicas' preStop hook sleeps, which 1.30 brought.
_MINOR_MIN: Final = 30
#: Wall clocks judge tokens and certificates; leases do not depend on them.
_SKEW_MAX_S: Final = 5.0
_EXPIRES_DAYS: Final = 30
_MACHINES_MIN: Final = 3
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_FORBIDDEN: Final = 403


def check_requirements(access: Access, *, pre: bool) -> Iterator[Check]:
    """Look at everything that has to be there before.

    Args:
        pre: whether front-ends are still to be installed.
    """
    look = Look(access)
    reached = list(_check_api(look))
    yield from reached
    if reached[0].verdict is Verdict.BAD:
        return
    parts = [_check_clock, _check_namespace, _check_definitions, _check_secrets]
    if pre:
        parts += [_check_machines, _check_storage]
    for part in parts:
        yield from look.carefully(part.__name__.removeprefix("_check_"), part)
    yield from look.carefully("rights", partial(_check_rights, pre=pre))
    wanted = _INSTALL_RIGHTS if pre else _USER_RIGHTS
    yield from look.carefully("your-rights", lambda _: _check_own_rights(look, wanted))


def _check_api(look: Look) -> Iterator[Check]:
    began_at = time.monotonic()
    try:
        version = look.access.ask("GET", "/version")
    except KubeError as error:
        fix = "kubectl version has to work first: kubeconfig, its context, VPN, DNS of that name"
        text = f"the API server at {look.access.configuration.host}: {error}"
        yield Check("kubernetes.api", Verdict.BAD, text, fix)
        return
    took_ms = (time.monotonic() - began_at) * 1000
    host = look.access.configuration.host
    yield Check("kubernetes.api", Verdict.GOOD, f"{host} answers in {took_ms:.0f} ms")
    minor = int("".join(filter(str.isdigit, str(version.get("minor", "")))) or 0)
    yield judge(
        "kubernetes.version",
        minor >= _MINOR_MIN,
        f"Kubernetes {version.get('gitVersion', '')}",
        f"update to 1.{_MINOR_MIN} or newer: replicas end without the wait for their requests",
    )


def _check_clock(look: Look) -> Iterator[Check]:
    """A dry run is stamped with the server's time and makes nothing."""
    metadata = {"name": "trioroute-doctor-clock"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    made = look.access.send("POST", look.path("configmaps"), body, dryRun="All")
    stamp = dt.datetime.fromisoformat(made["metadata"]["creationTimestamp"]).timestamp()
    # Whole seconds, rounded down.
    skew_s = time.time() - stamp - 0.5
    yield judge(
        "kubernetes.clock",
        abs(skew_s) <= _SKEW_MAX_S,
        f"the API server's clock differs by {abs(skew_s):.0f} s from the one here",
        "set the clocks by NTP: tokens and certificates are judged by them",
        bad=Verdict.WARNING,
    )


def _check_namespace(look: Look) -> Iterator[Check]:
    name = look.access.namespace
    found = look.get(f"/api/v1/namespaces/{name}")
    if found is None:
        fix = f"kubectl create namespace {name}, or name the right one: trioroute config"
        yield Check("kubernetes.namespace", Verdict.BAD, f"there is no namespace {name}", fix)
        return
    labels = found["metadata"].get("labels") or {}
    level = labels.get("pod-security.kubernetes.io/enforce", "")
    yield judge(
        "kubernetes.namespace",
        level != "restricted",
        f"namespace {name}" + (f", pods have to be {level}" if level else ""),
        "images that run as root are refused there: enforce baseline, or use rootless images",
        bad=Verdict.WARNING,
    )


def _check_definitions(look: Look) -> Iterator[Check]:
    for kind, resource in KINDS.items():
        wanted = custom_resource_definition(kind)
        name = wanted["metadata"]["name"]
        where = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        found = look.get(f"{where}/{name}")
        fix = "an administrator runs: kubectl apply -k k8s/crds"
        if found is None:
            text = f"the definition of {resource} is missing"
            yield Check(f"kubernetes.crd-{kind}", Verdict.BAD, text, fix)
            continue
        (version,) = wanted["spec"]["versions"]
        served = {one["name"]: one for one in found["spec"]["versions"] if one["served"]}
        live = served.get(version["name"])
        is_same = live is not None and live["schema"] == version["schema"]
        text = f"{resource} is served as {', '.join(served) or 'nothing'}"
        yield judge(
            f"kubernetes.crd-{kind}",
            is_same,
            text if is_same else f"{text}, and not as this version of trioroute has it",
            fix,
            bad=Verdict.BAD if live is None else Verdict.WARNING,
        )


def _check_secrets(look: Look) -> Iterator[Check]:
    """Each with a way of its own: what mends one must not make the other anew."""
    where = look.access.namespace
    found = look.get(f"{look.path('secrets')}/{PEERS_SECRET}")
    if found is None:
        # Written, not applied: a seal that is there stays.
        fix = f"trioroute certs --count 3 --seal --write -n {where}"
        text = f"Secret {PEERS_SECRET} is missing"
        yield Check(f"kubernetes.{PEERS_SECRET}", Verdict.BAD, text, fix)
    else:
        yield from _check_certificates(found.get("data") or {})
    found = look.get(f"{look.path('secrets')}/{SEAL_SECRET}")
    has_key = "secret.key" in ((found or {}).get("data") or {})
    yield judge(
        f"kubernetes.{SEAL_SECRET}",
        has_key,
        f"Secret {SEAL_SECRET} holds secret.key"
        if has_key
        else f"Secret {SEAL_SECRET} " + ("is missing" if found is None else "has no secret.key"),
        "put back what sealed the endpoints' keys, if any are; else kubectl "
        f"-n {where} create secret generic {SEAL_SECRET} "
        '--from-literal=secret.key="$(openssl rand -hex 32)"',
    )


def _check_certificates(data: Json) -> Iterator[Check]:
    from cryptography import x509

    # Not by a fresh authority at once: front-ends with the old one would not know the others.
    fix = "renew them: k8s/README.md, Rotation (trioroute certs --count N --authority FILE --write)"
    ends = {}
    for name, value in data.items():
        if name.endswith(".crt"):
            try:
                found = x509.load_pem_x509_certificates(base64.b64decode(value))
            except ValueError:
                text = f"{name} of Secret {PEERS_SECRET} is no PEM certificate"
                yield Check(f"kubernetes.{PEERS_SECRET}", Verdict.BAD, text, fix)
                return
            ends[name] = min(one.not_valid_after_utc for one in found)
    if "ca.crt" not in ends or len(ends) == 1:
        text = f"Secret {PEERS_SECRET} has to hold ca.crt, and <pod>.crt and <pod>.key of each pod"
        yield Check(f"kubernetes.{PEERS_SECRET}", Verdict.BAD, text, fix)
        return
    name, end = min(ends.items(), key=lambda one: one[1])
    days = (end - dt.datetime.now(dt.UTC)).days
    yield judge(
        f"kubernetes.{PEERS_SECRET}",
        days >= _EXPIRES_DAYS,
        f"{name} is the first certificate to end, in {days} days",
        fix,
        bad=Verdict.BAD if days < 0 else Verdict.WARNING,
    )


def _check_rights(look: Look, *, pre: bool) -> Iterator[Check]:
    """Of the front-ends' account, there and where models are; only an administrator may ask."""
    account = f"system:serviceaccount:{look.access.namespace}:trioroute"
    wanted = dict.fromkeys(look.models_namespaces(), ROUTER_RIGHTS)
    wanted.setdefault(look.access.namespace, OWN_RIGHTS)
    try:
        missing = {
            where: [right for right in rights if not look.may(right, user=account, namespace=where)]
            for where, rights in wanted.items()
        }
    except KubeError as error:
        if error.status != _FORBIDDEN:
            raise
        text = "you may not ask what the front-ends' account may do"
        yield Check("kubernetes.rights", Verdict.SKIPPED, text)
        return
    lacking = sum(map(len, missing.values()))
    total = sum(map(len, wanted.values()))
    if pre and lacking == total:
        text = "the front-ends' account has no rights yet: the overlay brings them"
        yield Check("kubernetes.rights", Verdict.SKIPPED, text)
        return
    shown = ", ".join(f"{_named(rights)} in {where}" for where, rights in missing.items() if rights)
    yield judge(
        "kubernetes.rights",
        not lacking,
        f"service account trioroute may not: {shown}"
        if lacking
        else f"service account trioroute has {total} rights in {', '.join(missing)}",
        "apply the overlay, with base/rights and base/own-rights.yaml; for models elsewhere, a Role"
        " there as well",
    )


def _named(rights: Sequence[Right]) -> str:
    return "; ".join(f"{verb} {resource}" for verb, _, resource, _ in rights)


def _check_own_rights(look: Look, wanted: Sequence[Right]) -> Iterator[Check]:
    missing = [right for right in wanted if not look.may(right)]
    yield judge(
        "kubernetes.your-rights",
        not missing,
        f"you may not: {_named(missing)}" if missing else "you have the rights that this takes",
        "ask who administers the cluster; meanwhile kubectl port-forward by somebody else serves",
        bad=Verdict.WARNING,
    )


def _check_machines(look: Look) -> Iterator[Check]:
    machines = (look.get("/api/v1/nodes") or {}).get("items", [])
    ready = [
        node
        for node in machines
        if any(
            one["type"] == "Ready" and one["status"] == "True"
            for one in (node.get("status") or {}).get("conditions") or ()
        )
        and not (node.get("spec") or {}).get("unschedulable")
    ]
    yield judge(
        "kubernetes.nodes",
        len(ready) >= _MACHINES_MIN,
        f"{len(ready)} of {len(machines)} nodes take pods",
        "the ha overlay wants three, so that one may go; overlay single does with one",
        bad=Verdict.WARNING if ready else Verdict.BAD,
    )


def _check_storage(look: Look) -> Iterator[Check]:
    classes = (look.get("/apis/storage.k8s.io/v1/storageclasses") or {}).get("items", [])
    default = [
        str(one["metadata"]["name"])
        for one in classes
        if (one["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    ]
    yield judge(
        "kubernetes.storage",
        bool(default),
        f"volumes come from {default[0]}" if default else "no storage class is the default one",
        "name one in an overlay: volumeClaimTemplates.0.spec.storageClassName",
        bad=Verdict.WARNING,
    )
