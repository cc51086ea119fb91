"""Whether a system may be drilled now: what is in the way, and what to do about it.

Pure. A drill on a system that is unwell proves nothing and may end what little still works.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

import attrs

from trioroute.core.status import ClusterStatus
from trioroute.drills.catalogue import Drill, Victim
from trioroute.drills.evidence import Objection
from trioroute.drills.shortage import LOAD_MAX
from trioroute.drills.wholeness import best_view, rifts
from trioroute.drills.world import Target

__all__ = [
    "NoTargetError",
    "choose_targets",
    "free_slots",
    "objections",
    "slots_left",
]


class NoTargetError(ValueError):
    """Nobody fits the drill; the message says why."""


def choose_targets(
    drill: Drill, views: Mapping[str, ClusterStatus], names: Collection[str], wanted: str = ""
) -> tuple[Target, ...]:
    """Who will be hit, in order.

    Args:
        names: of all front-ends.
        wanted: a front-end's name or replica's id, or its beginning; empty leaves the choice to us.

    Raises:
        NoTargetError: there is nobody of that kind, or of that name.
    """
    best = best_view(views)
    office = None if best is None else best.coordinator
    if drill.victim is Victim.REPLICA:
        return (_choose_replica(best, wanted),)
    if office is None:
        raise NoTargetError("nobody coordinates")
    others = sorted(name for name in names if name != office.name)
    if drill.victim is Victim.EACH_FRONT_END:
        return tuple(map(Target, (*others, office.name)))
    fitting = [office.name] if drill.victim is Victim.COORDINATOR else others
    if not fitting:
        raise NoTargetError("there is no other front-end")
    if wanted and wanted not in fitting:
        choice = " or ".join(fitting)
        if wanted == office.name:
            how = "or have it hand over first (`trioroute raft transfer`)"
            raise NoTargetError(f"{wanted} coordinates, this is for others: choose {choice}, {how}")
        if wanted in others:
            raise NoTargetError(f"{wanted} does not coordinate, this is for who does: {choice}")
        raise NoTargetError(f"there is no front-end {wanted}: choose {choice}")
    return (Target(wanted or fitting[0]),)


def objections(
    drill: Drill,
    views: Mapping[str, ClusterStatus],
    readiness: Mapping[str, str],
    targets: Collection[Target],
) -> Iterator[Objection]:
    """Everything that speaks against drilling now.

    Args:
        readiness: by front-end name, why it wants no requests; empty when it does.
        targets: who would be hit.
    """
    yield from _gathered(_of_front_ends(views, readiness))
    best = best_view(views)
    if best is None:
        return
    for problem in best.problems():
        if not _is_said(problem, views, readiness):
            yield Objection(problem, "see `trioroute status`")
    yield from _unsettled(best)
    yield from _no_quorum(drill, best, [name for name in readiness if name not in views])
    yield from _no_room(drill, best, targets)


def free_slots(
    view: ClusterStatus, drill: Drill, targets: Collection[Target], endpoint: str = ""
) -> float:
    """How many more slots may be used while the drill runs and still leave it a fair one.

    Args:
        endpoint: of this one only; empty for all.
    """
    left = busy = 0.0
    for each in view.endpoints:
        if not endpoint or each.name == endpoint:
            for deployment in each.deployments:
                left += slots_left(view, drill, targets, deployment.key)
                busy += (deployment.busy or 0) + (deployment.queued or 0)
    return LOAD_MAX * left - busy


def slots_left(
    view: ClusterStatus, drill: Drill, targets: Collection[Target], deployment: str
) -> float:
    """Slots of a deployment that can be used while the target is down.

    A front-end that dies leaves the slots that it held in doubt for the longest request: about its
    share of them.
    """
    struck = {target.name for target in targets if target.is_replica}
    slots = sum(
        replica.slots
        for endpoint in view.endpoints
        for each in endpoint.deployments
        if each.key == deployment
        for replica in each.replicas
        if replica.id not in struck
    )
    count = max(len(view.front_ends), 1)
    return float(slots) if drill.victim is Victim.REPLICA else slots * (count - 1) / count


def _of_front_ends(
    views: Mapping[str, ClusterStatus], readiness: Mapping[str, str]
) -> Iterator[Objection]:
    for name, why in readiness.items():
        if why and name in views:
            yield Objection(
                f"{name} is not ready: {why}", "wait, or see `trioroute status`", about=name
            )
    away = [name for name in readiness if name not in views]
    for name in away:
        yield Objection(f"{name} does not answer", _down(name), about=name)
    # That the others miss who is away is no second reason.
    missed = {
        name: attrs.evolve(view, raft=None)
        if view.raft is not None and view.raft.voters - view.raft.connected <= len(away)
        else view
        for name, view in views.items()
    }
    for rift in rifts(missed, [name for name in readiness if name in views]):
        about = next((name for name in readiness if rift.startswith(f"{name} ")), "")
        fix = "wait for an election, or see `trioroute raft status`"
        yield Objection(rift, fix, about=about)


def _down(name: str) -> str:
    """What to do about a front-end that does not answer, wherever it runs."""
    return (
        f"wait: `up`, or its StatefulSet, starts it again; if it stays away, DATA/log/{name}.log, "
        "or its pod's log, says why"
    )


def _gathered(found: Iterable[Objection]) -> Iterator[Objection]:
    """What is the same of many front-ends has one cause, and is said once."""
    alike: dict[tuple[str, str], list[Objection]] = {}
    for each in found:
        said = each.text.removeprefix(each.about)
        alike.setdefault((said, each.fix), []).append(each)
    for (said, fix), each_one in alike.items():
        if len(each_one) == 1:
            yield each_one[0]
        else:
            names = ", ".join(each.about for each in each_one)
            yield Objection(f"each of {len(each_one)} front-ends ({names}){said}", fix)


def _is_said(
    problem: str, views: Mapping[str, ClusterStatus], readiness: Mapping[str, str]
) -> bool:
    """Whether a problem of `status` has been told of the front-end that has it."""
    if problem.startswith("no coordinator"):
        return any(view.coordinator is None for view in views.values())
    unwell = [name for name in readiness if readiness[name] or name not in views]
    return any(problem.startswith(f"front-end {name} ") for name in unwell)


def _unsettled(view: ClusterStatus) -> Iterator[Objection]:
    for endpoint in view.endpoints:
        for deployment in endpoint.deployments:
            wanted = deployment.replicas_desired
            if any(replica.is_outdated for replica in deployment.replicas):
                text = f"{deployment.key} is being rolled out"
                yield Objection(text, "wait until `trioroute status` shows it steady")
            elif wanted is not None and deployment.ready_count < wanted:
                text = f"{deployment.key} has {deployment.ready_count} of {wanted} replicas ready"
                yield Objection(text, f"wait, or see `trioroute logs {deployment.key}`")


def _no_quorum(drill: Drill, view: ClusterStatus, away: Collection[str]) -> Iterator[Objection]:
    raft = view.raft
    if raft is None or drill.victim is Victim.REPLICA:
        return
    left = min(raft.connected, raft.voters) - 1
    if 2 * left <= raft.voters:
        text = f"of {raft.voters} voters {left} would be left, which is no majority"
        if 2 * (raft.voters - 1) <= raft.voters:
            yield Objection(text, "run at least three front-ends")
        else:
            whom = " and ".join(away) or "whoever `trioroute raft status` shows as not connected"
            yield Objection(text, f"have {whom} back first")


def _no_room(drill: Drill, view: ClusterStatus, targets: Collection[Target]) -> Iterator[Objection]:
    for endpoint in view.endpoints:
        for deployment in endpoint.deployments:
            if not deployment.traffic_percent or deployment.replicas_desired == 0:
                continue
            left = slots_left(view, drill, targets, deployment.key)
            busy = (deployment.busy or 0) + (deployment.queued or 0)
            # Of a front-end only a share of the slots goes: `shortage` says what that may cost.
            if drill.victim is Victim.REPLICA and not left:
                text = f"{deployment.key} would have no replica left"
                yield Objection(text, f"trioroute scale {deployment.key} 2")
            elif not deployment.replicas:
                fix = f"trioroute scale {deployment.key} 1, or see `trioroute describe`"
                yield Objection(f"{deployment.key} has no replica", fix)
            elif busy > LOAD_MAX * left:
                text = (
                    f"{deployment.key} has {busy} requests for the {left:.1f} slots that would be "
                    f"left; more than {LOAD_MAX:.0%} leaves no room for a failure"
                )
                yield Objection(text, f"scale {deployment.key} up, or wait for a calmer hour")


def _choose_replica(view: ClusterStatus | None, wanted: str) -> Target:
    deployments = [] if view is None else [d for e in view.endpoints for d in e.deployments]
    fitting = [
        (deployment.ready_count, Target(replica.id, is_replica=True, pid=replica.pid))
        for deployment in deployments
        for replica in deployment.replicas
        if replica.state.value == "ready" and replica.id.startswith(wanted)
    ]
    if not fitting:
        what = (
            f"no ready replica has an id that begins with {wanted}" if wanted else "none is ready"
        )
        raise NoTargetError(what)
    # One of the deployment that can best do without.
    return max(fitting, key=lambda pair: pair[0])[1]
