"""What a fault is: a kind of it, what it needs, whom it may hurt, and one of a plan."""

import enum
from typing import Final

import attrs

__all__ = ["NO_SLOTS", "REPLICA_GONE", "SILENT_S", "Fault", "Kind", "Need", "Reach", "Target"]

#: Reasons of the router's own answers (`x-trioroute-error`) where slots are in doubt, or fewer.
NO_SLOTS: Final = frozenset({"queue-timeout", "queue-full", "no-replica"})
#: And where a replica has gone.
REPLICA_GONE: Final = frozenset({"connect-failed", "broken-answer", "no-replica"})

#: Who is not heard for so long is followed by another one (rows 4 and 7 of the table of faults).
SILENT_S: Final = 3.0


class Need(enum.Enum):
    """What a machine must offer; probed before a run, and what is missing is skipped loudly."""

    NOTHING = "nothing"
    FREEZER = "a writable freezer cgroup"
    CPU_GROUP = "a writable cpu cgroup"
    MEMORY_GROUP = "a writable memory cgroup"
    MOUNT = "mounting a small tmpfs"
    TRACER = "strace on processes of our own"
    LIMITS = "prlimit on processes of our own"
    CLOCK_NAMESPACE = "unshare -T"
    FAKE_CLOCK = "libfaketime (pip install -e '.[chaos]')"
    HOSTS_FILE = "a mount namespace with a hosts file of its own"
    NETWORKS = "a network namespace for each front-end (root, /dev/net/tun, ip, nsenter)"
    PATCH = "the program patch"
    PACKETS = "TUN devices and network namespaces of our own (root, /dev/net/tun, ip)"


class Target(enum.Enum):
    """Whom a fault is done to; the world picks one by the fault's dice when the time comes."""

    COORDINATOR = "coordinator"
    FOLLOWER = "follower"
    FRONT_END = "front-end"
    TWO_FRONT_ENDS = "two front-ends"
    ALL_FRONT_ENDS = "all front-ends"
    REPLICA = "replica"
    CLIENTS = "clients"
    API = "the cluster's API server"


class Reach(enum.Enum):
    """Whose connections may break, or wait longer than their deadline, without a violation."""

    NOBODY = "nobody"
    ITS_CLIENTS = "the target's own clients"
    ANY_CLIENT = "any client"


@attrs.frozen(kw_only=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: kebab-case; in plans, histories and reports.
        row: its row in the project's table of faults.
        does: one sentence for people.
        reach: whose connections may break.
        reasons: what the router may say to anybody meanwhile (I5).
        hold_s: shortest and longest time between injecting and healing, seconds.
        settle_s: how long after healing its errors may still come: requests that were in doubt.
        recover_s: goal: everything ready again so soon after healing, on an idle machine; held to
            where a scenario's levels say so.
        severs: connections between router and replica end while the replica works on, and nobody
            can tell that from a replica that has stopped: its limit cannot be judged meanwhile.
        brings: kinds of client that come with it: nobody else may fail for it. Anybody where it is
            empty.
        may_end: whether the target may end by itself: who starts front-ends starts it again.
        successor_after_s: a coordinator to which it is done for so long has a successor by then,
            where a scenario has goals; None where it goes on, or nobody can follow.
        epochs_max: so many may begin until all is whole again, where a scenario has goals; None
            where the table of faults does not say. One election may take two: who is elected while
            messages are late may lose its authority, and renew it, before it has told anybody.
    """

    name: str
    row: int
    does: str
    target: Target
    need: Need = Need.NOTHING
    reach: Reach = Reach.NOBODY
    reasons: frozenset[str] = frozenset()
    hold_s: tuple[float, float] = (0.5, 2.0)
    settle_s: float = 1.0
    recover_s: float = 5.0
    brings: frozenset[str] = frozenset()
    may_end: bool = False
    severs: bool = False
    successor_after_s: float | None = None
    epochs_max: int | None = None


@attrs.frozen(kw_only=True)
class Fault:
    """One fault of a plan.

    Attributes:
        kind: its name.
        at_s: when, after the load began; never before the last one has healed.
        hold_s: from injecting to healing.
        pick: 0 … 1, which of the possible targets.
        strength: 0 … 1, how bad, where the kind has degrees.
    """

    kind: str
    at_s: float
    hold_s: float
    pick: float
    strength: float
