"""Front-ends as they are installed in a cluster, as `doctor`'s checks: each with its reason.

What front-ends themselves must reach (peers, replicas, the API server's name) is judged by what the
cluster says of it: endpoints that its DNS answers with, pods that are ready. Whether they do
reach one another is in the group `system`, from their own mouths.
"""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from trioroute.cli.kube.access import FRONT_ENDS, Access
from trioroute.cli.kubedoctor.capacity import check_capacity, check_limits
from trioroute.cli.kubedoctor.looking import Look
from trioroute.cli.system.verdicts import Check, Verdict, judge

__all__ = ["check_installed"]

Json = dict[str, Any]

_NAME: Final = "trioroute"
_PEERS: Final = "trioroute-peers"
_INSTALL: Final = "kubectl apply -k k8s/overlays/ha (k8s/README.md)"
#: Reasons of a container that waits which mean that its image cannot be had.
_PULL: Final = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
#: For handing the office over and the last entry in the log, seconds; see base/stateful-set.yaml.
_LEAVING_S: Final = 10
#: Azure's default for `request_timeout_ms`.
_REQUEST_S: Final = 5.0
#: A load balancer somewhere on earth, seconds.
_CONNECT_S: Final = 2.0
_REPLICAS: Final = "app.kubernetes.io/managed-by=trioroute"


def check_installed(access: Access) -> Iterator[Check]:
    """Look at what the manifests make, and at what the coordinator makes."""
    look = Look(access)
    stateful = list(look.carefully("stateful-set", _check_stateful_set))
    yield from stateful
    if stateful[0].verdict is Verdict.BAD and not stateful[0].text.startswith(_NAME):
        return
    parts = (
        _check_voters,
        _check_pods,
        _check_claims,
        _check_peers,
        _check_budget,
        _check_drain,
        _check_policy,
        _check_service,
        _check_resources,
        _check_scalers,
        _check_replicas,
        check_limits,
        check_capacity,
    )
    for part in parts:
        yield from look.carefully(part.__name__.lstrip("_").removeprefix("check_"), part)


def _stateful_set(look: Look) -> Json | None:
    return look.get(look.stateful_set)


def _config(look: Look) -> Json:
    found = look.get(f"{look.path('configmaps')}/{_NAME}") or {}
    return dict(found.get("data") or {})


def _voters(config: Json) -> int:
    """How many vote; 0 for what is no number: a front-end that reads it says so and ends."""
    said = str(config.get("VOTERS") or 1)
    return int(said) if said.isdecimal() else 0


def _check_stateful_set(look: Look) -> Iterator[Check]:
    found = _stateful_set(look)
    if found is None:
        text = f"there is no StatefulSet {_NAME} in namespace {look.access.namespace}"
        yield Check("kubernetes.stateful-set", Verdict.BAD, text, _INSTALL)
        return
    wanted = int(found["spec"].get("replicas", 1))
    ready = int((found.get("status") or {}).get("readyReplicas", 0))
    yield judge(
        "kubernetes.stateful-set",
        ready == wanted,
        f"{_NAME}: {ready} of {wanted} front-ends are ready",
        "the pods below say why",
        bad=Verdict.WARNING if 2 * ready > wanted else Verdict.BAD,
    )


def _check_voters(look: Look) -> Iterator[Check]:
    """The list of peers is the pods that there are, and an odd number of them votes."""
    found, config = _stateful_set(look) or {}, _config(look)
    wanted = int((found.get("spec") or {}).get("replicas", 1))
    names = [one.strip().partition("=")[0] for one in config.get("PEERS", "").split(",") if one]
    pods = [f"{_NAME}-{number}" for number in range(wanted)]
    yield judge(
        "kubernetes.peers-list",
        names == pods,
        f"PEERS names {len(names)} front-ends"
        if names == pods
        else f"PEERS names {', '.join(names) or 'nobody'}; the pods are {', '.join(pods)}",
        "PEERS has all pods in order; raise GENERATION with it (k8s/README.md, Procedures)",
    )
    voters = min(_voters(config), len(names) or 1)
    yield judge(
        "kubernetes.voters",
        voters % 2 == 1,
        f"{voters} vote",
        "an even number tolerates no more deaths than one fewer: set VOTERS to 1, 3 or 5",
        bad=Verdict.WARNING,
    )


def _check_pods(look: Look) -> Iterator[Check]:
    pods = look.items(look.path("pods"), labelSelector=FRONT_ENDS)
    for pod in sorted(pods, key=lambda one: str(one["metadata"]["name"])):
        yield _judge_pod(f"kubernetes.{pod['metadata']['name']}", pod)
    # Only voters make a majority; the others may stand where they like.
    voters = {f"{_NAME}-{number}" for number in range(_voters(_config(look)))}
    voting = [one["spec"] for one in pods if one["metadata"]["name"] in voters]
    places = Counter(spec["nodeName"] for spec in voting if spec.get("nodeName"))
    if len(voting) > 1 and places:
        (place, count), *_ = places.most_common(1)
        yield judge(
            "kubernetes.spread",
            2 * count < len(voting) or count == 1,
            f"at most {count} of {len(voting)} voters are on one machine",
            f"{place} takes the majority with it when it goes: overlay ha spreads them",
            bad=Verdict.WARNING,
        )


def _judge_pod(name: str, pod: Json) -> Check:
    shown = str(pod["metadata"]["name"])
    reason = _why_not_ready(pod)
    if not reason:
        return Check(name, Verdict.GOOD, f"{shown} is ready")
    return Check(name, Verdict.BAD, f"{shown}: {reason}", _fix_of(pod, reason))


def _why_not_ready(pod: Json) -> str:
    """In one line; empty for one that is ready."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            ended = (container.get("lastState") or {}).get("terminated") or {}
            parts = (waiting["reason"], waiting.get("message"), ended.get("message"))
            return ": ".join(str(part).strip() for part in parts if part)
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    for kind in ("PodScheduled", "Ready"):
        one = conditions.get(kind) or {}
        if one.get("status") == "False":
            return str(one.get("message") or one.get("reason") or f"not {kind}")
    return "" if (conditions.get("Ready") or {}).get("status") == "True" else "it has not started"


def _fix_of(pod: Json, reason: str) -> str:
    name, where = pod["metadata"]["name"], pod["metadata"]["namespace"]
    if reason.startswith(_PULL):
        return "is the image's name right, and may nodes pull it (imagePullSecrets, its registry)?"
    if "CrashLoopBackOff" in reason:
        return f"kubectl -n {where} logs --previous {name}"
    if "FailedMount" in reason or "secret" in reason.lower():
        return "the checks of Secrets above say which one is missing, and what makes it"
    return f"kubectl -n {where} describe pod {name}"


def _check_claims(look: Look) -> Iterator[Check]:
    claims = {
        str(one["metadata"]["name"]): one for one in look.items(look.path("persistentvolumeclaims"))
    }
    wanted = int(((_stateful_set(look) or {}).get("spec") or {}).get("replicas", 1))
    for number in range(wanted):
        name = f"data-{_NAME}-{number}"
        claim = claims.get(name)
        phase = ((claim or {}).get("status") or {}).get("phase", "Pending")
        where = look.access.namespace
        fix = f"kubectl -n {where} describe pvc {name}: storage class, quota, or ReadWriteOncePod"
        text = f"volume {name} is {phase}" if claim else f"there is no volume claim {name}"
        yield judge(f"kubernetes.{name}", claim is not None and phase == "Bound", text, fix)


def _check_peers(look: Look) -> Iterator[Check]:
    """What the cluster's DNS answers with, by the slices that it is made of."""
    service = look.get(f"{look.path('services')}/{_PEERS}")
    spec = (service or {}).get("spec") or {}
    is_right = spec.get("clusterIP") == "None" and bool(spec.get("publishNotReadyAddresses"))
    yield judge(
        "kubernetes.peers-service",
        is_right,
        f"Service {_PEERS} is headless and shows front-ends that are not ready"
        if is_right
        else f"Service {_PEERS} has to be headless with publishNotReadyAddresses",
        "apply k8s/base/services.yaml: front-ends become ready by finding each other",
    )
    slices = look.items(
        look.path("endpointslices", "discovery.k8s.io/v1"),
        labelSelector=f"kubernetes.io/service-name={_PEERS}",
    )
    known = {
        str(endpoint.get("hostname") or (endpoint.get("targetRef") or {}).get("name") or "")
        for one in slices
        for endpoint in one.get("endpoints") or ()
    }
    pods = look.items(look.path("pods"), labelSelector=FRONT_ENDS)
    missing = sorted(
        str(pod["metadata"]["name"]) for pod in pods if pod["metadata"]["name"] not in known
    )
    yield judge(
        "kubernetes.peers-dns",
        not missing,
        f"DNS has no name for {', '.join(missing)}" if missing else "DNS has a name for each peer",
        f"kubectl -n {look.access.namespace} get endpointslices, and the log of the cluster's DNS",
        bad=Verdict.WARNING,
    )


def _check_budget(look: Look) -> Iterator[Check]:
    found = look.get(f"{look.path('poddisruptionbudgets', 'policy/v1')}/{_NAME}")
    voters = _voters(_config(look))
    allowed = ((found or {}).get("spec") or {}).get("maxUnavailable")
    keeps = isinstance(allowed, int) and (voters == 1 or voters - allowed > voters / 2)
    yield judge(
        "kubernetes.budget",
        keeps,
        f"evictions take at most {allowed} of {voters} voters at a time"
        if found
        else "nothing keeps evictions from taking the majority",
        "apply k8s/base/disruption-budget.yaml",
        bad=Verdict.WARNING,
    )


def _check_drain(look: Look) -> Iterator[Check]:
    """A front-end that ends gives requests some time, and Kubernetes gives some to it."""
    config = _config(look)
    drain_s, unready_s = _number(config.get("DRAIN_S")), _number(config.get("UNREADY_S"))
    template = ((_stateful_set(look) or {}).get("spec") or {}).get("template") or {}
    grace_s = int((template.get("spec") or {}).get("terminationGracePeriodSeconds", 30))
    yield judge(
        "kubernetes.grace",
        grace_s >= drain_s + unready_s + _LEAVING_S,
        f"a front-end that ends takes up to {drain_s + unready_s:.0f} s and has {grace_s} s",
        f"terminationGracePeriodSeconds has to be {_LEAVING_S} s above DRAIN_S and UNREADY_S",
        bad=Verdict.WARNING,
    )
    deployments = look.of_models("apis/trioroute.dev/v1alpha1", "onlinedeployments")
    longest_s, name = max(
        ((_longest_s(one["spec"]), one["metadata"]["name"]) for one in deployments),
        default=(0.0, ""),
    )
    yield judge(
        "kubernetes.drain",
        drain_s >= longest_s,
        f"a front-end that ends gives requests {drain_s:.0f} s"
        + (f"; those of {name} may take {longest_s:.0f} s" if name else ""),
        "raise DRAIN_S, and terminationGracePeriodSeconds with it: longer ones break at a restart",
        bad=Verdict.WARNING,
    )


def _longest_s(spec: Json) -> float:
    """How long a request of a deployment may last (MAXREQ; decision 14), as far as it says so."""
    said = (spec.get("request_settings") or {}).get("request_timeout_ms")
    properties = spec.get("properties") or {}
    more = (
        _number(properties.get(f"trioroute.{name}")) for name in ("stream_max_s", "upgrade_max_s")
    )
    return max(_number(said) / 1000 or _REQUEST_S, *more)


def _number(said: object) -> float:
    """What is no number is somebody else's to refuse: 0."""
    try:
        return float(str(said))
    except ValueError:
        return 0.0


def _check_policy(look: Look) -> Iterator[Check]:
    found = look.get(f"{look.path('networkpolicies', 'networking.k8s.io/v1')}/{_NAME}")
    yield judge(
        "kubernetes.policy",
        found is not None,
        "a NetworkPolicy closes the peers' and the admin port to others"
        if found
        else "every pod may connect to the peers' port",
        "apply k8s/base/network-policy.yaml (and have a network plugin that enforces it)",
        bad=Verdict.WARNING,
    )


def _check_service(look: Look) -> Iterator[Check]:
    found = look.get(f"{look.path('services')}/{_NAME}")
    if found is None:
        text = f"there is no Service {_NAME}: nobody outside can send requests"
        yield Check("kubernetes.service", Verdict.BAD, text, "apply k8s/base/services.yaml")
        return
    kind = found["spec"].get("type", "ClusterIP")
    ports = ", ".join(str(port["port"]) for port in found["spec"].get("ports") or ())
    balancer = (found.get("status") or {}).get("loadBalancer") or {}
    places = [one.get("ip") or one.get("hostname") for one in balancer.get("ingress") or ()]
    yield judge(
        "kubernetes.service",
        kind != "LoadBalancer" or bool(places),
        f"scoring is a {kind} at {', '.join(map(str, places)) or 'cluster addresses'}, port {ports}"
        if kind != "LoadBalancer" or places
        else "no load balancer has been given to the scoring Service",
        "is there a cloud controller (or MetalLB)? else use the component node-port or cluster-ip",
        bad=Verdict.WARNING,
    )
    for place in places[:1] if kind == "LoadBalancer" else ():
        yield from _check_door(str(place), found["spec"].get("ports") or ())


def _check_door(place: str, ports: Sequence[Json]) -> Iterator[Check]:
    """Whether the load balancer takes connections from this machine."""
    for port in ports:
        number = int(port["port"])
        try:
            socket.create_connection((place, number), _CONNECT_S).close()
            problem = ""
        except OSError as error:
            problem = (
                "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            )
        yield judge(
            f"kubernetes.door-{number}",
            not problem,
            f"{place}:{number} takes connections from this machine"
            if not problem
            else f"{place}:{number} cannot be reached from this machine: {problem}",
            "is it meant for this machine (internal-load-balancer is not)? else health checks of "
            "the load balancer, its firewall, source ranges",
            bad=Verdict.WARNING,
        )


def _check_resources(look: Look) -> Iterator[Check]:
    """What the coordinator says of each endpoint and deployment."""
    count = 0
    for plural in ("onlineendpoints", "onlinedeployments"):
        for one in look.of_models("apis/trioroute.dev/v1alpha1", plural):
            count += 1
            name = f"kubernetes.{plural[6:-1]}-{one['metadata']['name']}"
            conditions = {
                each["type"]: each for each in (one.get("status") or {}).get("conditions") or ()
            }
            shown = f"{plural[:-1]} {one['metadata']['name']}"
            fix = f"kubectl -n {one['metadata']['namespace']} describe {shown}"
            if not conditions:
                text = f"{shown}: no coordinator has looked at it"
                yield Check(name, Verdict.BAD, text, "see stateful-set: is there a coordinator?")
            elif conditions.get("Accepted", {}).get("status") != "True":
                why = conditions.get("Accepted", {})
                text = f"{shown} is refused: {why.get('reason')}: {why.get('message')}"
                yield Check(name, Verdict.BAD, text, fix)
            elif conditions.get("Degraded", {}).get("status") == "True":
                why = conditions["Degraded"]
                text = f"{shown}: {why['reason']}: {why['message']}"
                yield Check(name, Verdict.WARNING, text, fix)
    yield Check(
        "kubernetes.resources", Verdict.GOOD, f"{count} endpoints and deployments looked at"
    )


def _check_scalers(look: Look) -> Iterator[Check]:
    scalers = look.of_models("apis/autoscaling/v2", "horizontalpodautoscalers")
    deployments = (
        look.of_models("apis/apps/v1", "deployments", labelSelector=_REPLICAS) if scalers else []
    )
    ours = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in deployments}
    for one in scalers:
        target, where = one["spec"]["scaleTargetRef"], one["metadata"]["namespace"]
        if target["kind"] == "Deployment" and (where, target["name"]) in ours:
            name = one["metadata"]["name"]
            text = f"HorizontalPodAutoscaler {name} scales {target['name']}, which we scale"
            fix = f"kubectl -n {where} delete hpa {name}: two scalers fight, and ours stands back"
            yield Check(f"kubernetes.hpa-{name}", Verdict.WARNING, text, fix)


def _check_replicas(look: Look) -> Iterator[Check]:
    """Pods that cannot start: an image that cannot be had, no room, a crash."""
    pods = look.of_models("api/v1", "pods", labelSelector=_REPLICAS)
    bad = 0
    for pod in pods:
        reason = _why_not_ready(pod)
        if reason and "deletionTimestamp" not in pod["metadata"]:
            bad += 1
            yield _judge_pod(f"kubernetes.replica-{pod['metadata']['name']}", pod)
    if not bad:
        yield Check("kubernetes.replicas", Verdict.GOOD, f"{len(pods)} replicas' pods are ready")
