"""Whether a deployment has slots enough to lose a front-end without refusing anybody.

Pure. A front-end that is killed, stands still or is cut off takes the slots that it held with it:
dead, for as long as a request of its own may still run on them (decision 25), otherwise until it is
heard again, because it may serve on from what is its own (S10 of coordinator/DESIGN.md). Of many
slots the others keep theirs; where there are no more slots than front-ends, one of them may hold
every slot, or have it on its way. Whoever asks then waits until they are back, and is refused if
the deployment lets nobody wait for so long. That is no fault of the router's, and is known
beforehand: so it is said beforehand.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from trioroute.core.model import deployment_key
from trioroute.core.slots.timings import SlotTimings
from trioroute.core.status import ClusterStatus, DeploymentStatus
from trioroute.drills.catalogue import Deed, Drill, Victim
from trioroute.drills.written import patience_of
from trioroute.wire.resources import Resources

__all__ = ["LOAD_MAX", "Alike", "Shortage", "gathered", "shortages"]

#: Of the slots that remain when something is down, so much may be in use: the goals promise no
#: failed request up to here.
LOAD_MAX: Final = 0.6
#: Deeds that take a front-end's slots with them: one that ends in order gives them back first.
_TAKING: Final = (Deed.KILL, Deed.FREEZE, Deed.FILL, Deed.CUT)
#: Those after which the victim is heard again, and has its slots until then.
_SILENCING: Final = (Deed.FREEZE, Deed.CUT)
#: Until it is known that the victim is dead, or back, and reports are in, seconds.
_NOTICE_S: Final = 0.5
#: Proposals are whole half seconds.
_STEP_MS: Final = 500

_TIMINGS: Final = SlotTimings()


@attrs.frozen(kw_only=True)
class Shortage:
    """A deployment whose slots may all be gone for a while.

    Attributes:
        key: `endpoint/deployment`.
        slots, front_ends: how many there are.
        replicas_enough: so many of them would have more slots than there are front-ends.
        wait_s: how long it lets a request wait.
        back_s: how long after the deed slots of the victim's may stay unused.
        still_s: for how long of that the clocks of waiting requests stand still.
        enough_s: how long it would have to let requests wait for none to be refused.
        over_s: how long after the deed those that waited have been served as well.
    """

    key: str
    slots: int
    front_ends: int
    replicas_enough: int
    wait_s: float
    back_s: float
    still_s: float
    enough_s: float
    over_s: float

    @property
    def endpoint(self) -> str:
        """Whose deployment it is."""
        return self.key.partition("/")[0]

    @property
    def is_borne(self) -> bool:
        """Whether requests may wait for long enough: then they are late, and not refused."""
        return self.wait_s >= self.enough_s


@attrs.frozen
class Alike:
    """Shortages that differ in their deployments only: one sentence is enough for all of them.

    Args:
        shortages: one at least.
    """

    shortages: tuple[Shortage, ...]

    @property
    def first(self) -> Shortage:
        """The times, which all have in common."""
        return self.shortages[0]

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Whose deployments they are, each once."""
        return tuple(dict.fromkeys(each.endpoint for each in self.shortages))

    @property
    def text(self) -> str:
        """What is to be expected, one sentence."""
        first = self.first
        then = "wait" if first.is_borne else "get 503 queue-timeout"
        come_back = f"and they come back {first.back_s:.1f} s later, so"
        wait = f"requests wait {1e3 * first.wait_s:,.0f} ms"
        if len(self.shortages) == 1:
            return (
                f"{first.key} has {_slots(first.slots)} for {first.front_ends} front-ends and lets "
                f"{wait}: one front-end may hold all of them, {come_back} requests may {then} "
                "until then"
            )
        *others, last = (f"{each.key} ({_slots(each.slots)})" for each in self.shortages)
        return (
            f"{', '.join(others)} and {last} have no more slots than there are front-ends "
            f"({first.front_ends}), and let {wait}: one front-end may hold all slots of one of "
            f"them, {come_back} its requests may {then} until then"
        )

    @property
    def fix(self) -> str:
        """What would be enough."""
        first = self.first
        enough_ms = _STEP_MS * math.ceil(1e3 * first.enough_s / _STEP_MS)
        still = (
            f" (the clocks of waiting requests stand still for {first.still_s:g} s of the "
            f"{first.back_s:.1f} s, while the office changes hands)"
            if first.still_s
            else ""
        )
        scale = ", ".join(
            f"`trioroute scale {each.key} {each.replicas_enough}`" for each in self.shortages
        )
        whom = "it" if len(self.shortages) == 1 else "each"
        return (
            f"set max_queue_wait_ms: {enough_ms} or more{still} and `trioroute apply` it, or give "
            f"{whom} more than {first.front_ends} slots: {scale}"
        )


def gathered(found: Iterable[Shortage]) -> tuple[Alike, ...]:
    """Those that are alike together, in the order of the first of each."""
    alike: dict[tuple[float, ...], list[Shortage]] = {}
    for each in found:
        times = (each.front_ends, each.wait_s, each.back_s, each.still_s, each.enough_s)
        alike.setdefault(times, []).append(each)
    return tuple(Alike(tuple(each)) for each in alike.values())


def shortages(
    drill: Drill, view: ClusterStatus, registry: Resources, *, lasts_s: float
) -> Iterator[Shortage]:
    """Every deployment with traffic that may run out of slots while the drill runs.

    Args:
        lasts_s: how long a lasting deed lasts.
    """
    if drill.victim is Victim.REPLICA or drill.deed not in _TAKING:
        return
    written = {deployment_key(d.endpoint, d.name): patience_of(d) for d in registry.deployments}
    count = len(view.front_ends)
    for endpoint in view.endpoints:
        for deployment in endpoint.deployments:
            slots = sum(replica.slots for replica in deployment.replicas)
            patience = written.get(deployment.key)
            if not deployment.traffic_percent or patience is None or not 0 < slots <= count:
                continue
            back_s = _NOTICE_S + (
                lasts_s if drill.deed in _SILENCING else _TIMINGS.request_s(patience.request_max_s)
            )
            still_s = min(back_s, _TIMINGS.failover_grace_s) if drill.moves_office else 0.0
            share = LOAD_MAX * (count - 1) / count
            yield Shortage(
                key=deployment.key,
                slots=slots,
                front_ends=count,
                replicas_enough=_replicas_enough(deployment, count - slots + 1),
                wait_s=patience.wait_s,
                back_s=back_s,
                still_s=still_s,
                # Their clocks have stood still; then come those before them in the queue: of all
                # slots, what those that came meanwhile need.
                enough_s=back_s - still_s + share * still_s,
                over_s=back_s / (1 - share),
            )


def _slots(count: int) -> str:
    return "1 slot" if count == 1 else f"{count} slots"


def _replicas_enough(deployment: DeploymentStatus, lacking: int) -> int:
    """How many replicas have so many slots more than there are."""
    replicas = deployment.replicas
    per_replica = min(replica.slots for replica in replicas if replica.slots)
    return len(replicas) + math.ceil(lacking / per_replica)
