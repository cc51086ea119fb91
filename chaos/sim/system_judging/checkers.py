"""What must hold in every history of the system. Pure; numbers as in the design.

I1 no slot twice, no replica above its limit · I2 every dispatch inside a lease · I3 epochs rise ·
I4 one member that may act · I5 one outcome for every request · I6 one log · I7 one leader per
term · I8 a coordinator and all slots back soon after healing. And what the queue promises when
nothing is hurt: oldest first, no idle slot while a request waits; and the scaler: nothing that
runs is ended.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from math import inf
from typing import Final

from chaos.sim import checkers as consensus
from chaos.sim.history import History
from chaos.sim.system.history import Dispatch, HolderLife, SystemHistory, Window
from chaos.sim.system_judging.limits import limits_are_as_wished, limits_hold
from chaos.sim.system_judging.rights import Rights

__all__ = ["CHECKERS", "check"]

#: What is checked: a history in, complaints out.
Rule = Callable[[SystemHistory], Iterator[str]]

#: D28: the bound on overtaking is a round trip and a batch; where the hand-over costs more than
#: 1 % of a request (here it does), own waiters up to 50 ms younger may come first (S13). Ages are
#: told by clocks of different rate, so their error comes on top.
OVERTAKING_S: Final = 0.1
#: A recall that is not answered, the coordinator's beat and four hops.
IDLE_S: Final = 0.1
#: How much of the quiet time requests must have waited, for idle slots to mean anything.
SATURATED_SHARE: Final = 0.9


def dispatched_inside_leases(history: SystemHistory) -> Iterator[str]:
    """I2, judged by what was said on the slot links."""
    by_life: defaultdict[HolderLife, list[tuple[int, Dispatch]]] = defaultdict(list)
    for position, dispatch in enumerate(history.dispatches):
        by_life[dispatch.life].append((position, dispatch))
    for life, dispatches in by_life.items():
        rights = Rights(history, life)
        for position, dispatch in dispatches:
            if missing := rights.missing(dispatch, position):
                yield f"{life} dispatched {dispatch.request} at {dispatch.at:.3f}: {missing}"


def holders_epochs_rise(history: SystemHistory) -> Iterator[str]:
    """I3 at the holders: none obeys an earlier coordinator again."""
    for life in {dispatch.life for dispatch in history.dispatches}:
        epochs = [d.epoch for d in history.dispatches if d.life == life]
        for earlier, later in pairwise(epochs):
            if later < earlier:
                yield f"{life} dispatched under epoch {later} after {earlier}"


def one_outcome(history: SystemHistory) -> Iterator[str]:
    """I5: every client is told one thing, and what it is told is true."""
    whole = Counter(run.request for run in history.runs if run.is_whole)
    begun = Counter(run.request for run in history.runs)
    for request in history.requests:
        told = [outcome for _, outcome in request.outcomes]
        if len(told) != 1:
            yield f"request {request.number} was told {told}"
        elif told[0] == "served" and whole[request.number] != 1:
            yield f"request {request.number} was served, and ran {whole[request.number]} times"
        elif begun[request.number] > 1:
            yield f"request {request.number} ran {begun[request.number]} times"


def scaling_ends_nothing(history: SystemHistory) -> Iterator[str]:
    """A replica that is told to end has nothing in hand."""
    for stop in history.stops:
        if stop.running:
            yield f"{stop.replica} was ended at {stop.at:.3f} with {stop.running} requests"


def no_more_replicas_than_allowed(history: SystemHistory) -> Iterator[str]:
    """However often coordinators change, a deployment keeps within its bounds."""
    for at, deployment, count in history.replica_counts:
        if count > history.replicas_max[deployment]:
            yield f"{deployment} has {count} replicas at {at:.3f}"


def oldest_first(history: SystemHistory) -> Iterator[str]:
    """When nothing is hurt, requests start in the order in which they came, anywhere."""
    window = history.saturated
    accepted = {request.number: request.accepted_at for request in history.requests}
    for deployment in history.fixed:
        latest: tuple[float, int] = (0.0, 0)
        for dispatch in history.dispatches:
            at = accepted[dispatch.request]
            if dispatch.deployment != deployment or not _within(window, at, dispatch.at):
                continue
            waited_s = max(0.0, dispatch.at - at)
            if at < latest[0] - OVERTAKING_S - history.timings.rate_margin * waited_s:
                yield (
                    f"{dispatch.request} of {at:.3f} started at {dispatch.at:.3f},"
                    f" after {latest[1]} of {latest[0]:.3f}"
                )
            latest = max(latest, (at, dispatch.request))


def no_idle_slot_while_waiting(history: SystemHistory) -> Iterator[str]:
    """When nothing is hurt, no slot is idle for long while a request waits (I8 too)."""
    for deployment, replicas in history.fixed.items():
        slots = sum(history.wished[name] for name in replicas)
        wasted_since: float | None = None
        for begins_at, ends_at, busy, waiting in _stretches(history, deployment, replicas):
            if busy >= slots or not waiting:
                wasted_since = None
                continue
            wasted_since = begins_at if wasted_since is None else wasted_since
            if ends_at > wasted_since + IDLE_S:
                yield (
                    f"{deployment}: {slots - busy} of {slots} slots idle from"
                    f" {wasted_since:.3f} to {ends_at:.3f} while {waiting} requests wait"
                )


def calm_after_healing(history: SystemHistory) -> Iterator[str]:
    """I8: nobody takes over when nothing is wrong."""
    late = {act.epoch for act in history.consensus.acts if _within(history.saturated, act.at)}
    if len(late) > 1:
        yield f"epochs {sorted(late)} after everything had healed"


def was_saturated(history: SystemHistory) -> Iterator[str]:
    """The run itself is worth nothing otherwise."""
    window_s = history.saturated.ends_at - history.saturated.begins_at
    if window_s <= 0:
        yield "the run never came to its quiet end"
        return
    for deployment, replicas in history.fixed.items():
        stretches = _stretches(history, deployment, replicas)
        waited_s = sum(
            ends_at - begins_at for begins_at, ends_at, _, waiting in stretches if waiting
        )
        if waited_s < window_s * SATURATED_SHARE:
            yield f"requests for {deployment} waited for {waited_s:.1f} of {window_s:.1f} s only"


def _on_consensus(rule: Callable[[History], Iterator[str]]) -> Rule:
    def checked(history: SystemHistory) -> Iterator[str]:
        yield from rule(history.consensus)

    checked.__name__ = rule.__name__
    return checked


CHECKERS: Final[tuple[Rule, ...]] = (
    *map(
        _on_consensus,
        (
            consensus.nobody_crashed,
            consensus.one_leader_per_term,
            consensus.epochs_rise,
            consensus.one_log,
            consensus.one_authority,
            consensus.acts_rise,
            consensus.recovers,
        ),
    ),
    limits_hold,
    limits_are_as_wished,
    dispatched_inside_leases,
    holders_epochs_rise,
    one_outcome,
    scaling_ends_nothing,
    no_more_replicas_than_allowed,
    oldest_first,
    no_idle_slot_while_waiting,
    calm_after_healing,
    was_saturated,
)


def _within(window: Window, *times: float) -> bool:
    return all(window.begins_at <= at < window.ends_at for at in times)


def _stretches(
    history: SystemHistory, deployment: str, replicas: tuple[str, ...]
) -> Iterator[tuple[float, float, int, int]]:
    """From when to when how many requests ran at these replicas, and waited for them, while quiet.

    Who is tried again waits again; that is left out, for nothing is hurt while it is quiet.
    """
    changes: list[tuple[float, int, int]] = []
    for run in history.runs:
        if run.replica in replicas:
            changes.append((run.began_at, 1, 0))
            if run.ended_at is not None:
                changes.append((run.ended_at, -1, 0))
    dispatched: dict[int, float] = {}
    for dispatch in history.dispatches:
        dispatched.setdefault(dispatch.request, dispatch.at)
    for request in history.requests:
        if request.deployment == deployment:
            ended_at = min((at for at, _ in request.outcomes), default=inf)
            changes.append((request.accepted_at, 0, 1))
            changes.append((min(ended_at, dispatched.get(request.number, inf)), 0, -1))
    window, busy, waiting = history.saturated, 0, 0
    for (at, runs, waits), (then, _, _) in pairwise([*sorted(changes), (inf, 0, 0)]):
        busy += runs
        waiting += waits
        begins_at, ends_at = max(at, window.begins_at), min(then, window.ends_at)
        if begins_at < ends_at:
            yield begins_at, ends_at, busy, waiting


def check(history: SystemHistory) -> list[str]:
    """Every complaint about a history, each with the name of the rule."""
    return [f"{rule.__name__}: {complaint}" for rule in CHECKERS for complaint in rule(history)]
