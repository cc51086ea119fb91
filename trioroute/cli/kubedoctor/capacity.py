"""`doctor` on room: for front-ends, and for as many replicas as a deployment may have.

By what machines could hold if nothing else ran on them, so "no room" is certain and "room" is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from trioroute.cli.kubedoctor.looking import Look
from trioroute.cli.system.verdicts import Check, Verdict, judge
from trioroute.discovery.kube.calls import KubeError

__all__ = ["check_capacity", "check_limits", "most_pods", "quantity"]

Json = dict[str, Any]

_FORBIDDEN: Final = 403
_FRONT_END: Final = "front-end"
#: The original's front-end (azure-reference.md, 3.16): 2 vCPU, 1.2 G.
_CPUS_MIN: Final = 2.0
_MEMORY_MIN: Final = 1200 * 1024 * 1024
_UNITS: Final[Mapping[str, float]] = {
    "m": 1e-3,
    **{unit: 1000.0**power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", start=1)},
}


def quantity(text: object) -> float:
    """A Kubernetes quantity as a number; 0 for what is none."""
    said = str(text)
    number = said.rstrip("".join("mkKMGTPEi"))
    try:
        return float(number) * _UNITS.get(said[len(number) :], 1.0)
    except ValueError:
        return 0.0


def check_limits(look: Look) -> Iterator[Check]:
    """What a front-end may use; no limit is no fault."""
    template = _template(look.get(look.stateful_set) or {})
    for container in template.get("containers") or ():
        if container["name"] != _FRONT_END:
            continue
        limits = (container.get("resources") or {}).get("limits") or {}
        cpu, memory = limits.get("cpu"), limits.get("memory")
        is_low = (cpu is not None and quantity(cpu) < _CPUS_MIN) or (
            memory is not None and quantity(memory) < _MEMORY_MIN
        )
        yield judge(
            "kubernetes.limits",
            not is_low,
            f"a front-end may use {cpu or 'any'} CPUs and {memory or 'any'} memory",
            "2 CPUs and 1200Mi are the original's: resources in an overlay (k8s/README.md, Knobs)",
            bad=Verdict.WARNING,
        )


def check_capacity(look: Look) -> Iterator[Check]:
    """Whether the machines hold as many replicas as each deployment may have. Raises KubeError."""
    try:
        machines = look.items("/api/v1/nodes")
    except KubeError as error:
        if error.status != _FORBIDDEN:
            raise
        text = "you may not look at nodes: whether max_instances have room is not known"
        fix = "ask who administers the cluster for: list nodes (a ClusterRole)"
        yield Check("kubernetes.capacity", Verdict.WARNING, text, fix)
        return
    most = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): _most(one["spec"])
        for one in look.of_models("apis/trioroute.dev/v1alpha1", "onlinedeployments")
    }
    short = 0
    deployments = look.of_models(
        "apis/apps/v1", "deployments", labelSelector="app.kubernetes.io/managed-by=trioroute"
    )
    for one in deployments:
        metadata = one["metadata"]
        # An adopted one has another name than its resource: how many it may have is not told here.
        wanted = most.get((metadata["namespace"], metadata["name"]), 0)
        room = most_pods(machines, _template(one))
        if wanted > room:
            short += 1
            yield Check(
                f"kubernetes.capacity-{metadata['name']}",
                Verdict.WARNING,
                f"{metadata['name']} may have {wanted} replicas, and the nodes that it may run on "
                f"hold {room:g} at most, even empty",
                "lower max_instances, ask for less CPU and memory, or add nodes (where an "
                "autoscaler adds them, this is no fault)",
            )
    if not short:
        text = f"{len(machines)} nodes could hold every deployment's max_instances, were they empty"
        yield Check("kubernetes.capacity", Verdict.GOOD, text)


def most_pods(machines: Sequence[Json], template: Json) -> float:
    """How many pods of this template the machines could hold if they had nothing else.

    Infinite for pods that ask for nothing.
    """
    asked: dict[str, float] = {}
    for container in template.get("containers") or ():
        resources = container.get("resources") or {}
        # What is not asked for and limited counts as asked for.
        said = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name, value in said.items():
            asked[name] = asked.get(name, 0.0) + quantity(value)
    return sum(_room(machine, asked) for machine in machines if _takes(machine, template))


def _room(machine: Json, asked: Mapping[str, float]) -> float:
    there = (machine.get("status") or {}).get("allocatable") or {}
    fits = [
        # A hair more, since 0.7 / 0.1 is less than 7.
        (quantity(there.get(name, 0)) / value + 1e-9) // 1
        for name, value in asked.items()
        if value > 0
    ]
    fits += [quantity(there["pods"])] if "pods" in there else []
    return min(fits, default=float("inf"))


def _takes(machine: Json, template: Json) -> bool:
    """By readiness, labels and taints, as the scheduler goes."""
    spec, status = machine.get("spec") or {}, machine.get("status") or {}
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    labels = machine["metadata"].get("labels") or {}
    selector = template.get("nodeSelector") or {}
    tolerations = template.get("tolerations") or ()
    return (
        conditions.get("Ready") == "True"
        and not spec.get("unschedulable")
        and all(labels.get(name) == value for name, value in selector.items())
        and all(
            any(_tolerates(one, taint) for one in tolerations)
            for taint in spec.get("taints") or ()
            if taint.get("effect") != "PreferNoSchedule"
        )
    )


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if not toleration.get("key"):
        return toleration.get("operator") == "Exists"
    is_equal = toleration.get("value", "") == taint.get("value", "")
    return toleration["key"] == taint["key"] and (
        toleration.get("operator") == "Exists" or is_equal
    )


def _most(spec: Json) -> int:
    settings = spec.get("scale_settings") or {}
    said = settings.get("max_instances") or spec.get("instance_count") or 1
    return int(quantity(said))


def _template(workload: Json) -> Json:
    template = (workload.get("spec") or {}).get("template") or {}
    spec: Json = template.get("spec") or {}
    return spec
