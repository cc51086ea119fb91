"""`doctor --deep`: what a cluster's machines and pods reach, seen from short Jobs there.

The original's requirements on nodes (ux.md, 2.8): images are pulled, models are there, and the
names that this machine resolves are resolved by the cluster too.
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from trioroute.cli.kube.access import Access
from trioroute.cli.kubedoctor import inside
from trioroute.cli.kubedoctor.errands import Errand, container_state, is_pulled, run_errands
from trioroute.cli.kubedoctor.looking import Look
from trioroute.cli.kubedoctor.names import outside_hosts
from trioroute.cli.system.verdicts import Check, Verdict, judge
from trioroute.spec.cluster.container import CLAIM

__all__ = ["check_deep"]

Json = dict[str, Any]

_GROUP: Final = "apis/trioroute.dev/v1alpha1"
_API_SERVER: Final = "kubernetes.default.svc"
_PEERS: Final = "trioroute-peers"
_FRONT_END: Final = "front-end"
_LAST_WORD: Final = "/dev/termination-log"
_MODEL: Final = "/model"
#: What one look asks for at most: more would be a load of its own.
_IMAGES_MAX, _CLAIMS_MAX, _TARGETS_MAX = 20, 10, 24


@attrs.frozen(kw_only=True)
class _Target:
    """One place that a pod has to reach; `kind` as `inside` has it."""

    host: str
    port: int
    kind: str
    why: str
    bad: Verdict
    fix: str


def check_deep(access: Access, *, image: str, timeout_s: float) -> Iterator[Check]:
    """Send Jobs, wait for them, and say what they found.

    Args:
        image: to look with where no front-end is installed; of one that is, its own is taken.
        timeout_s: for how long to wait for all of them together.
    """
    look = Look(access)
    yield from look.carefully("deep", lambda _: _check(look, image, timeout_s))


def _check(look: Look, image: str, timeout_s: float) -> Iterator[Check]:
    found = look.get(look.stateful_set) or {}
    template: Json = ((found.get("spec") or {}).get("template") or {}).get("spec") or {}
    images = [
        str(one["image"]) for one in template.get("containers") or () if one["name"] == _FRONT_END
    ]
    own = images[0] if images else image
    if not own:
        text = "no front-end is installed, so there is no image to look with"
        fix = "--image IMAGE names the one that is going to be"
        yield Check("kubernetes.deep", Verdict.SKIPPED, text, fix)
        return
    deployments = look.of_models(_GROUP, "onlinedeployments")
    targets = _targets(look, found)[:_TARGETS_MAX]
    wish = {"targets": [[one.host, one.port, one.kind] for one in targets], "paths": []}
    namespace = look.access.namespace
    within = Errand(
        name="inside", namespace=namespace, container=_looking(own, wish), like=template
    )
    pulls = _pulls(look, deployments, namespace, own, template)
    claims = _claims(deployments, own, template)
    errands = [within, *(pull for pull, _ in pulls), *(claim for claim, _ in claims)]
    seen = run_errands(look, errands, timeout_s=timeout_s)
    for errand, who in pulls:
        yield _judge_pull(errand, who, seen[errand.name], timeout_s)
    answer, problem = _answer(seen[within.name], timeout_s)
    if problem:
        yield _silent("kubernetes.deep-inside", "looked from inside", problem, within)
    else:
        place = _place(seen[within.name])
        for target, said in zip(targets, answer["targets"], strict=True):
            yield _judge_target(target, str(said), place)
    for errand, (claim, path, who) in claims:
        yield _judge_claim(
            errand, claim, path, who=who, found=_answer(seen[errand.name], timeout_s)
        )


def _looking(image: str, wish: Json) -> Json:
    return {
        "name": "look",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", inspect.getsource(inside), json.dumps(wish), _LAST_WORD],
    }


def _targets(look: Look, stateful: Json) -> list[_Target]:
    """By host and port, each once."""
    dns = "the cluster's DNS: kubectl -n kube-system logs -l k8s-app=kube-dns"
    targets = [
        _Target(
            host=_API_SERVER,
            port=443,
            kind="tcp",
            why="the API server",
            bad=Verdict.BAD,
            fix=f"front-ends watch pods there: a NetworkPolicy on the way out, or {dns}",
        )
    ]
    pods = int((stateful.get("spec") or {}).get("replicas", 0))
    peers = [_PEERS, *(f"trioroute-{number}.{_PEERS}" for number in range(pods))] if pods else []
    for name in peers:
        why = "front-ends find each other by it"
        targets.append(_Target(host=name, port=0, kind="name", why=why, bad=Verdict.BAD, fix=dns))
    for one in outside_hosts(look):
        is_registry = one.why.startswith("registry")
        targets.append(
            _Target(
                host=one.host,
                port=one.port,
                kind="tls" if one.is_tls else "tcp",
                why=one.why,
                # Machines pull images by ways of their own: whether they do is asked apart.
                bad=Verdict.WARNING if is_registry else Verdict.BAD,
                fix="a firewall or a proxy on the way out of the cluster, a NetworkPolicy, or its "
                "DNS; for TLS an authority that pods do not know",
            )
        )
    first: dict[tuple[str, int], _Target] = {}
    for target in targets:
        first.setdefault((target.host, target.port), target)
    return list(first.values())


def _pulls(
    look: Look, deployments: Sequence[Json], namespace: str, own: str, template: Json
) -> list[tuple[Errand, str]]:
    """One for each image of each namespace, as its replicas would be placed."""
    made = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"]["template"]["spec"]
        for one in look.of_models(
            "apis/apps/v1", "deployments", labelSelector="app.kubernetes.io/managed-by=trioroute"
        )
    }
    found = {(namespace, own): ("front-ends", template)}
    for one in deployments:
        metadata, environment = one["metadata"], one["spec"].get("environment")
        image = environment.get("image") if isinstance(environment, dict) else None
        if image:
            where = (metadata["namespace"], metadata["name"])
            key = (metadata["namespace"], str(image))
            found.setdefault(key, (metadata["name"], made.get(where) or {}))
    return [
        (
            Errand(
                name=f"image-{number}",
                namespace=where,
                container={
                    "name": "look",
                    "image": image,
                    # The registry is asked even where the machine has it already.
                    "imagePullPolicy": "Always",
                    "command": ["/bin/true"],
                },
                like=like,
            ),
            who,
        )
        for number, ((where, image), (who, like)) in enumerate(found.items())
    ][:_IMAGES_MAX]


def _claims(
    deployments: Sequence[Json], own: str, template: Json
) -> list[tuple[Errand, tuple[str, str, str]]]:
    """One for each folder of a volume that a model is read from."""
    found: dict[tuple[str, str], str] = {}
    for one in deployments:
        model = one["spec"].get("model")
        path = model.get("path") if isinstance(model, dict) else model
        if str(path or "").startswith(CLAIM):
            found.setdefault((one["metadata"]["namespace"], str(path)), one["metadata"]["name"])
    errands = []
    for number, ((namespace, path), who) in enumerate(sorted(found.items())[:_CLAIMS_MAX]):
        claim, _, folder = path.removeprefix(CLAIM).partition("/")
        wish = {"targets": [], "paths": [f"{_MODEL}/{folder}"]}
        mount = {"name": "model", "mountPath": _MODEL, "readOnly": True}
        source = {"claimName": claim, "readOnly": True}
        errand = Errand(
            name=f"model-{number}",
            namespace=namespace,
            container={**_looking(own, wish), "volumeMounts": [mount]},
            volumes=({"name": "model", "persistentVolumeClaim": source},),
            like={"imagePullSecrets": template.get("imagePullSecrets")},
        )
        errands.append((errand, (claim, folder, who)))
    return errands


def _judge_pull(errand: Errand, who: str, pod: Json | None, timeout_s: float) -> Check:
    name, image = f"kubernetes.deep-{errand.name}", errand.container["image"]
    if pod is not None and is_pulled(pod):
        return Check(name, Verdict.GOOD, f"{_place(pod)} pulls {image} ({who})")
    kind, said = container_state(pod or {})
    if pod is not None and kind == "waiting" and "Image" in str(said.get("reason")):
        fix = (
            "is its name right, may machines reach its registry, does the service account have "
            "its password (imagePullSecrets)? An image that was put on machines by hand has no "
            "registry, and runs there all the same"
        )
        shown = ": ".join(str(said[part]) for part in ("reason", "message") if said.get(part))
        return Check(name, Verdict.BAD, f"{_place(pod)} cannot pull {image} ({who}): {shown}", fix)
    return _silent(name, f"pulled {image}", _why_waiting(pod, timeout_s), errand)


def _judge_target(target: _Target, problem: str, place: str) -> Check:
    where = f"{target.host}:{target.port}" if target.port else target.host
    return judge(
        f"kubernetes.deep-{target.host}",
        not problem,
        f"{where} is {'found' if target.kind == 'name' else 'reached'} from a pod on {place} "
        f"({target.why})"
        if not problem
        else f"{where} from a pod on {place} ({target.why}): {problem}",
        target.fix,
        bad=target.bad,
    )


def _judge_claim(
    errand: Errand, claim: str, folder: str, *, who: str, found: tuple[Json, str]
) -> Check:
    name = f"kubernetes.deep-{errand.name}"
    answer, problem = found
    if problem:
        return _silent(name, f"looked into volume {claim}", problem, errand)
    is_there = not answer["paths"][0]
    shown = f"{folder or 'its top'} of volume {claim} ({who})"
    return judge(
        name,
        is_there,
        f"{shown} is there" if is_there else f"{shown} is not there",
        "put the model there, or name the folder that it is in: model.path pvc://CLAIM/FOLDER",
    )


def _answer(pod: Json | None, timeout_s: float) -> tuple[Json, str]:
    """What the pod found, or why it said nothing."""
    kind, said = container_state(pod or {})
    if pod is None or kind != "terminated":
        return {}, _why_waiting(pod, timeout_s)
    try:
        answer: Json = json.loads(said.get("message") or "")
    except ValueError:
        shown = str(said.get("message") or f"exit status {said.get('exitCode')}")
        return {}, f"its pod ended without an answer: {shown[-200:].strip()}"
    return answer, ""


def _silent(name: str, what: str, why: str, errand: Errand) -> Check:
    """The look itself failed, which says nothing about what was to be looked at."""
    fix = (
        f"kubectl -n {errand.namespace} get events; room on machines, quotas, admission; for a "
        "large image or a slow machine --timeout 10m"
    )
    return Check(name, Verdict.WARNING, f"nobody {what}: {why}", fix)


def _why_waiting(pod: Json | None, timeout_s: float) -> str:
    if pod is None:
        return f"no pod came within {timeout_s:g} s"
    _, said = container_state(pod)
    conditions = (pod.get("status") or {}).get("conditions") or ()
    told = [one.get("message") for one in conditions if one.get("status") == "False"]
    parts = [said.get("reason"), said.get("message"), *told]
    shown = ": ".join(str(part) for part in parts if part)
    return f"its pod waits: {shown}" if shown else f"its pod still waits after {timeout_s:g} s"


def _place(pod: Mapping[str, Any] | None) -> str:
    return str(((pod or {}).get("spec") or {}).get("nodeName") or "a machine")
