"""Whether a system is whole, from what its front-ends say of it; before a drill and after it.

Pure.
"""

from collections.abc import Collection, Iterator, Mapping

from trioroute.core.status import ClusterStatus, DeploymentStatus, ReplicaCondition
from trioroute.drills.evidence import Look, Whole

__all__ = ["best_view", "look_of", "lost", "rifts", "whole_of"]


def best_view(views: Mapping[str, ClusterStatus]) -> ClusterStatus | None:
    """Of whoever knows most: the coordinator of the newest epoch, or whoever is nearest to it."""

    def rank(view: ClusterStatus) -> tuple[int, bool, int]:
        office = view.coordinator
        applied = view.raft.applied_index if view.raft else 0
        if office is None:
            return 0, False, applied
        return office.epoch, office.name == view.reporter, applied

    return max(views.values(), key=rank, default=None)


def whole_of(views: Mapping[str, ClusterStatus], ready: Collection[str]) -> Whole:
    """The system at one moment.

    Args:
        views: what each front-end that answered says.
        ready: those that want requests.
    """
    best = best_view(views)
    offices = {
        ("", 0) if view.coordinator is None else (view.coordinator.name, view.coordinator.epoch)
        for view in views.values()
    }
    name, epoch = next(iter(offices)) if len(offices) == 1 else ("", 0)
    deployments = list(_deployments(best))
    return Whole(
        ready=tuple(sorted(ready)),
        coordinator=name,
        epoch=epoch,
        replicas={d.key: d.ready_count for d in deployments},
        slots={d.key: _slots_ready(d) for d in deployments},
        busy=_sum(d.busy for d in deployments),
        queued=_sum(d.queued for d in deployments),
    )


def look_of(view: ClusterStatus, at_s: float) -> Look:
    """What one front-end said, as far as it is judged."""
    office = view.coordinator
    deployments = list(_deployments(view))
    return Look(
        at_s=at_s,
        reporter=view.reporter,
        coordinator="" if office is None else office.name,
        epoch=0 if office is None else office.epoch,
        is_in_office=office is not None
        and office.name == view.reporter
        and office.since_s is not None,
        busy=_sum(d.busy for d in deployments),
        queued=_sum(d.queued for d in deployments),
        over=tuple(
            f"{replica.id} had {replica.busy} requests on {replica.slots} slots"
            for deployment in deployments
            for replica in deployment.replicas
            if replica.busy is not None and replica.busy > replica.slots
        ),
    )


def rifts(views: Mapping[str, ClusterStatus], names: Collection[str]) -> Iterator[str]:
    """Why the group is not one, a sentence each; nothing when it is."""
    for name in names:
        view = views.get(name)
        if view is None:
            yield f"{name} does not answer"
        elif view.coordinator is None:
            yield f"{name} knows no coordinator"
        elif view.raft is not None and view.raft.connected < view.raft.voters:
            yield f"{name} is connected to {view.raft.connected} of {view.raft.voters} voters"
        elif view.is_isolated:
            # It is ready, which is not yet to have its share of what the coordinator grants.
            yield f"{name} serves from its homes alone"
    seen = {
        (view.coordinator.name, view.coordinator.epoch)
        for view in views.values()
        if view.coordinator is not None
    }
    if len(seen) > 1:
        shown = ", ".join(f"{name} in epoch {epoch}" for name, epoch in sorted(seen))
        yield f"the front-ends see different coordinators: {shown}"


def lost(before: Whole, after: Whole) -> Iterator[str]:
    """What was there before and is not there now, a sentence each."""
    for name in before.ready:
        if name not in after.ready:
            yield f"{name} is not ready"
    pairs = (
        ("ready replicas", before.replicas, after.replicas),
        ("slots", before.slots, after.slots),
    )
    for what, was, now in pairs:
        for key, count in was.items():
            if now.get(key, 0) < count:
                yield f"{key}: {now.get(key, 0)} of {count} {what}"


def _deployments(view: ClusterStatus | None) -> Iterator[DeploymentStatus]:
    for endpoint in () if view is None else view.endpoints:
        yield from endpoint.deployments


def _slots_ready(deployment: DeploymentStatus) -> int:
    ready = ReplicaCondition.READY
    return sum(replica.slots for replica in deployment.replicas if replica.state is ready)


def _sum(counts: Iterator[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
