"""What a holder and the coordinator say to each other on the slot link.

The contract, in one place (versions and MUSTs; `wire.slotlink` makes bytes of it):

* Both sides number the messages they send in a session from 1. `Lease.seen` is the number of the
  last message of the holder that the coordinator had processed: a `Return` that the list has not
  seen wins over the list.
* The first messages of a holder in a session MUST be `Hello` and `Renew`; that first `Renew` is
  its report. Before sending it the holder MUST have taken the epoch of `Welcome` and MUST from then
  on refuse anything of a lower one: fence first, then report.
* `Lease` is the whole list of what the holder may keep. What it holds idle beyond the list it MUST
  give back with `Return`; what is busy beyond it, when the request ends.
* `Mode(contended=True)` asks for every idle slot of the deployment at once, and for each busy one
  as it comes free. `Return` therefore carries both a freed slot and a recalled one. The exception
  is the holder's own waiter that arrived at most `own_age_s` after the oldest one elsewhere: a
  freed slot may serve it at once, with a `Cancel`. The coordinator sets `own_age_s` above 0 only
  where the hand-over costs more than `hand_over_share_max` of the service time; with 0 an own
  waiter is served so only if it is the oldest anywhere.
* A `Grant` that meets its `Cancel` MUST be returned under contention, unless an own waiter may be
  served by the rule above; when calm it is kept as an idle slot. `Grant.number` 0 is a slot for
  stock: no request is meant.
* `Recall` asks for some idle slots without contention. It MUST be answered with `Return` of at most
  `most` idle slots, keeping `keep`, and then `Stock`, in this order and even if nothing is given.
* A holder SHOULD say `Stock(idle=0)` when it starts a request on its last idle slot.
* What runs without a slot, because there was no limit when it began, MUST be told with each
  `Renew`. A holder MUST NOT start such a request without a lease, nor while it routes by an older
  log than `Welcome.index`: there may be a limit by now. Nor MUST it start one on a replica that its
  routing says is draining: the `routing_version` of a `Renew` tells that it knows.
* Slots are masks (`core.slots.masks`) packed as little-endian bytes.
* Unknown fields are ignored, absent ones have their defaults. `Stock`, `Failed`, `Observed`,
  `Recall`, `Expect` and grants for stock exist since version 2. A message kind that the other
  side's version lacks MUST NOT be sent to it; `Hello.version` and `Welcome.version` tell.
"""

from collections.abc import Mapping
from typing import Final

import attrs

__all__ = [
    "VERSION",
    "Acquire",
    "Cancel",
    "Expect",
    "Failed",
    "FromCoordinator",
    "FromHolder",
    "Goodbye",
    "Grant",
    "Hello",
    "Lease",
    "Mode",
    "Observed",
    "PackedSlots",
    "Recall",
    "Refuse",
    "Renew",
    "Return",
    "Stock",
    "Welcome",
]

VERSION: Final = 2

#: Replica id → mask of slot numbers, little-endian.
PackedSlots = Mapping[str, bytes]


@attrs.frozen(kw_only=True)
class Hello:
    """Who speaks. `uptime_s` bounds when an earlier incarnation must have been dead."""

    version: int
    holder: str
    incarnation: int
    uptime_s: float


@attrs.frozen(kw_only=True)
class Renew:
    """Ask for another lease and say what is held, running and waiting.

    Attributes:
        sent_at: the holder's own clock; the lease counts from here.
        routing_version: the newest routing snapshot that the holder routes by.
        round_trip_s: how long the newest answered renewal took; 0 when unknown.
        service_s: how long a request of each deployment takes, on average over the last ones.
        served: replica id → (requests, measured, measured_s) since the last renewal.
        finished: deployment → requests that ended since then (`core.yardstick.feed`), empty when
            there were too many to tell.
        oldest_s: deployment → age of its oldest request that waits or runs.
        used_s: deployment → slot-seconds that its requests have used here so far; a holder that
            does not know the field is counted by what it says is busy.
        unnumbered: replica id → requests that run there without a slot, because there was no limit
            when they began; None from a holder that does not know the field.
    """

    sent_at: float
    held: PackedSlots
    busy: PackedSlots
    waiting: Mapping[str, int]
    routing_version: int
    round_trip_s: float = 0.0
    service_s: Mapping[str, float] = attrs.field(factory=dict)
    served: Mapping[str, tuple[int, int, float]] = attrs.field(factory=dict)
    finished: Mapping[str, bytes] = attrs.field(factory=dict)
    oldest_s: Mapping[str, float] = attrs.field(factory=dict)
    used_s: Mapping[str, float] = attrs.field(factory=dict)
    unnumbered: Mapping[str, int] | None = None


@attrs.frozen(kw_only=True)
class Acquire:
    """A request waits.

    Attributes:
        waited_s: its age, so its place survives a new coordinator.
        wait_max_s: it may be refused at once when it would wait longer than this from now; 0 for
            one that waits already and must not be refused because it asks again.
        priority: `core.slots.priority.Priority`; who does not know the field serves by age alone.
        size: bytes of it that are kept in memory while it waits.
    """

    number: int
    deployment: str
    waited_s: float
    wait_max_s: float = 0.0
    priority: int = 1
    size: int = 0


@attrs.frozen(kw_only=True)
class Cancel:
    """The request of that number waits no longer."""

    number: int


@attrs.frozen(kw_only=True)
class Return:
    """These slots are given back: freed under contention, recalled, or no longer wanted."""

    slots: PackedSlots


@attrs.frozen(kw_only=True)
class Stock:
    """How many idle slots of the deployment the holder has left.

    Said when the last one is taken, as the answer to `Recall`, and when there are some to spare
    although fewer than two are known. The newest one counts; none gives anything away.
    """

    deployment: str
    idle: int


@attrs.frozen(kw_only=True)
class Failed:
    """A request's replica could not be reached, or its answer broke off; said before the return."""

    replica: str
    is_unreachable: bool


@attrs.frozen(kw_only=True)
class Goodbye:
    """The holder stops for good and keeps nothing; its home may be lent out at once.

    Attributes:
        busy: requests that its drain broke off; their replicas may still be at work.
        unnumbered: likewise, those without a slot.
    """

    busy: PackedSlots
    unnumbered: Mapping[str, int] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Welcome:
    """The coordinator's first message: its version and epoch.

    Attributes:
        index: who routes by an older log than this starts nothing without a slot.
    """

    version: int
    epoch: int
    index: int = 0


@attrs.frozen(kw_only=True)
class Lease:
    """All slots the holder may use, until `echo_sent_at` + lease on the holder's clock."""

    echo_sent_at: float
    seen: int
    slots: PackedSlots


@attrs.frozen(kw_only=True)
class Grant:
    """One slot for the request of that number; for stock when the number is 0.

    Attributes:
        oldest_waited_s: age of the oldest request that waits elsewhere; 0 when none does.
    """

    number: int
    replica: str
    slot: int
    oldest_waited_s: float = 0.0


@attrs.frozen(kw_only=True)
class Refuse:
    """The request of that number will not be served; `reason` as in `x-trioroute-error`.

    Attributes:
        retry_after_s: how long one more request would wait, all holders together; 0 where that is
            not known. Who does not know the field goes by the age of what waits.
    """

    number: int
    reason: str
    retry_after_s: float = 0.0


@attrs.frozen(kw_only=True)
class Mode:
    """Whether requests of the deployment wait somewhere that no idle slot can serve.

    Attributes:
        own_age_s: how much younger than the oldest waiter elsewhere a holder's own may be and
            still be served by a slot freed there.
        oldest_waited_s: age of the oldest request that waits elsewhere; 0 when none does.
    """

    deployment: str
    contended: bool
    own_age_s: float = 0.0
    oldest_waited_s: float = 0.0


@attrs.frozen(kw_only=True)
class Recall:
    """Give back at most `most` idle slots of the deployment, but keep `keep`."""

    deployment: str
    keep: int
    most: int


@attrs.frozen(kw_only=True)
class Expect:
    """Slots of the deployment are under way: waiting `wait_s` from now is worth while.

    Replicas are being started, or a take-over left slots in doubt. 0 says that no more are under
    way. The clocks of requests that came before then stand still until then.

    Attributes:
        is_doubt: nothing is being started. Who does not know the field lets clocks stand still for
            longer, take-over after take-over.
    """

    deployment: str
    wait_s: float
    is_doubt: bool = False


@attrs.frozen(kw_only=True)
class Observed:
    """What became of the requests of deployments that a canary guard watches, since the start.

    Attributes:
        rows: by deployment, how many requests, how many of them failed, and how many took how long.
    """

    rows: Mapping[str, tuple[int, int, tuple[int, ...]]]


FromHolder = Observed | Hello | Renew | Acquire | Cancel | Return | Stock | Failed | Goodbye
FromCoordinator = Welcome | Lease | Grant | Refuse | Mode | Recall | Expect
