"""Whether a deployment has slots enough to lose a front-end without refusing anybody.

Pure. A front-end that is killed or stands still takes the slots that it held with it, for as long
as a request of its own may still run on them (decision 25). Of many slots the others keep theirs;
where there are no more slots than front-ends, one of them may hold every slot, or have it on its
way. Whoever asks then waits until they are back, and is refused if the deployment lets nobody wait
for so long. That is no fault of the router's, and is known beforehand: so it is said beforehand.
"""

import math
from collections.abc import Iterator
from typing import Final

import attrs

from trioroute.core.model import deployment_key
from trioroute.core.slots.timings import SlotTimings
from trioroute.core.status import ClusterStatus
from trioroute.drills.catalogue import Deed, Drill, Victim
from trioroute.drills.written import patience_of
from trioroute.wire.resources import Resources

__all__ = ["LOAD_MAX", "Shortage", "shortages"]

#: Of the slots that remain when something is down, so much may be in use: the goals promise no
#: failed request up to here.
LOAD_MAX: Final = 0.6
#: Deeds that take a front-end's slots with them: one that ends in order gives them back first, and
#: what a cut does to them is among the errors that it excuses.
_TAKING: Final = (Deed.KILL, Deed.FREEZE, Deed.FILL)
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
        wait_s: how long it lets a request wait.
        back_s: how long after the deed slots of the victim's may stay unused.
        enough_s: how long it would have to let requests wait for none to be refused.
        over_s: how long after the deed those that waited have been served as well.
    """

    key: str
    slots: int
    front_ends: int
    wait_s: float
    back_s: float
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

    @property
    def text(self) -> str:
        """What is to be expected, one sentence."""
        then = "wait" if self.is_borne else "get 503 queue-timeout"
        return (
            f"{self.key} has {self.slots} slots for {self.front_ends} front-ends and lets requests "
            f"wait {1e3 * self.wait_s:,.0f} ms: one front-end may hold all of them, and they come "
            f"back {self.back_s:.1f} s later, so requests may {then} until then"
        )

    @property
    def fix(self) -> str:
        """What would be enough."""
        enough_ms = _STEP_MS * math.ceil(1e3 * self.enough_s / _STEP_MS)
        return (
            f"set max_queue_wait_ms: {enough_ms} or more and `trioroute apply` it, or give it "
            f"more than {self.front_ends} slots: `trioroute scale {self.key}`"
        )


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
                lasts_s if drill.deed is Deed.FREEZE else _TIMINGS.request_s(patience.request_max_s)
            )
            share = LOAD_MAX * (count - 1) / count
            yield Shortage(
                key=deployment.key,
                slots=slots,
                front_ends=count,
                wait_s=patience.wait_s,
                back_s=back_s,
                enough_s=_enough_s(drill, back_s, share),
                over_s=back_s / (1 - share),
            )


def _enough_s(drill: Drill, back_s: float, share: float) -> float:
    """How long a request's own clock runs at most until it is served.

    After a change of office it stands still for a while (S11 of coordinator/DESIGN.md); then come
    those before it in the queue.

    Args:
        share: of all slots, what those that came meanwhile need.
    """
    still_s = min(back_s, _TIMINGS.failover_grace_s) if drill.moves_office else 0.0
    return back_s - still_s + share * still_s
