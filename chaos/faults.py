"""The table of faults: every kind, what it needs, whom it may hurt, and how soon it is over."""

# house: one table, some ten lines a kind of fault

from typing import Final

from chaos.lines.kinds import NETWORK_KINDS
from chaos.pods.kinds import POD_KINDS
from chaos.vocabulary import NO_SLOTS, REPLICA_GONE, Fault, Kind, Need, Reach, Target

__all__ = ["KINDS", "Fault", "Kind", "Need", "Reach", "Target", "kind_named"]

#: Reasons of the router's own answers, `x-trioroute-error`.
_REPLICA_SLOW: Final = frozenset({"answer-timeout", "queue-timeout", "queue-full"})

#: Of a worker that stands still: what it was about to write when its lease ended was never sent.
_STALLS: Final = NO_SLOTS | {"answer-timeout", "lease-ended"}

#: Replicas without a word: longer than an answer may take, 2 s, and shorter than twice that, when
#: the router counts them as done with what they were sent (MAXREQ after it gave up).
_LATE_S: Final = (2.5, 3.5)

#: Keeps the rows short: a front-end that dies takes its own clients' connections with it.
_DIES: Final = Reach.ITS_CLIENTS

KINDS: Final[tuple[Kind, ...]] = (
    # Processes.
    Kind(
        name="end-front-end",
        row=1,
        does="SIGTERM to a front-end, then a new start",
        target=Target.FRONT_END,
        hold_s=(0.1, 0.5),
    ),
    Kind(
        name="kill-front-end",
        row=2,
        does="SIGKILL to a front-end that does not coordinate, then a new start",
        target=Target.FOLLOWER,
        reach=_DIES,
        hold_s=(0.1, 1.0),
    ),
    Kind(
        name="kill-worker",
        row=2,
        does="SIGKILL to one worker; its supervisor starts the next",
        target=Target.FRONT_END,
        reach=_DIES,
        hold_s=(0.1, 0.2),
    ),
    Kind(
        name="kill-coordinator",
        row=3,
        does="SIGKILL to the coordinator's front-end, then a new start",
        target=Target.COORDINATOR,
        reach=_DIES,
        hold_s=(0.1, 1.0),
    ),
    Kind(
        name="pause-coordinator",
        row=4,
        does="SIGSTOP and SIGCONT to the coordinator's whole front-end",
        target=Target.COORDINATOR,
        reach=_DIES,
        reasons=_STALLS,
        hold_s=(0.1, 4.0),
    ),
    Kind(
        name="pause-supervisor",
        row=4,
        does="SIGSTOP and SIGCONT to the coordinating supervisor alone; its worker goes on",
        target=Target.COORDINATOR,
        reach=_DIES,
        reasons=NO_SLOTS,
        hold_s=(0.5, 4.0),
    ),
    Kind(
        name="freeze-front-end",
        row=4,
        does="a front-end's processes in a frozen cgroup",
        target=Target.FRONT_END,
        need=Need.FREEZER,
        reach=_DIES,
        reasons=_STALLS,
        hold_s=(0.3, 4.0),
    ),
    Kind(
        name="pause-worker",
        row=29,
        does="SIGSTOP and SIGCONT to one worker, shorter and longer than a lease",
        target=Target.FRONT_END,
        reach=_DIES,
        reasons=_STALLS,
        hold_s=(0.3, 3.5),
    ),
    Kind(
        name="kill-two",
        row=5,
        does="SIGKILL to two of three front-ends: no quorum until they are back",
        target=Target.TWO_FRONT_ENDS,
        reach=_DIES,
        reasons=NO_SLOTS,
        hold_s=(0.5, 2.0),
        settle_s=6.0,
        recover_s=10.0,
    ),
    Kind(
        name="kill-all",
        row=6,
        does="SIGKILL to every front-end; all start from their disks",
        target=Target.ALL_FRONT_ENDS,
        reach=Reach.ANY_CLIENT,
        reasons=NO_SLOTS | {"no-route"},
        hold_s=(0.1, 0.5),
        settle_s=8.0,
        recover_s=15.0,
    ),
    Kind(
        name="hand-over",
        row=3,
        does="the coordinator is asked to hand over its office",
        target=Target.COORDINATOR,
        hold_s=(0.1, 0.2),
    ),
    # Between front-ends.
    Kind(
        name="cut-coordinator",
        row=7,
        does="the coordinator's peers are cut off, both ways",
        target=Target.COORDINATOR,
        reasons=NO_SLOTS,
        hold_s=(1.0, 4.0),
    ),
    Kind(
        name="cut-follower",
        row=7,
        does="another front-end's peers are cut off, both ways",
        target=Target.FOLLOWER,
        reasons=NO_SLOTS,
        hold_s=(1.0, 4.0),
    ),
    Kind(
        name="mute",
        row=8,
        does="a front-end's peers do not hear it; it hears them",
        target=Target.FRONT_END,
        reasons=NO_SLOTS,
        hold_s=(1.0, 4.0),
    ),
    Kind(
        name="deaf",
        row=8,
        does="a front-end does not hear its peers; they hear it",
        target=Target.FRONT_END,
        reasons=NO_SLOTS,
        hold_s=(1.0, 4.0),
    ),
    Kind(
        name="delay-peers",
        row=9,
        does="everything between front-ends comes 20 … 100 ms late, with jitter",
        target=Target.ALL_FRONT_ENDS,
        reasons=NO_SLOTS,
        hold_s=(1.0, 4.0),
    ),
    Kind(
        name="lose-packets",
        row=9,
        does="5 … 30 % of all packets between front-ends are lost; TCP sends them again",
        target=Target.ALL_FRONT_ENDS,
        need=Need.PACKETS,
        reasons=NO_SLOTS,
        hold_s=(1.0, 4.0),
    ),
    Kind(
        name="unplug-peers",
        row=7,
        does="every packet between a front-end and its peers vanishes: no end, no reset, no word",
        target=Target.FRONT_END,
        need=Need.PACKETS,
        reasons=NO_SLOTS,
        hold_s=(1.0, 4.0),
    ),
    Kind(
        name="narrow-peers",
        row=9,
        does="front-ends share a line of 8 … 64 KiB/s, in pieces of a few bytes",
        target=Target.FRONT_END,
        reasons=NO_SLOTS,
        hold_s=(1.0, 3.0),
    ),
    Kind(
        name="reset-peers",
        row=9,
        does="every connection of a front-end with its peers is reset, again and again",
        target=Target.FRONT_END,
        reasons=NO_SLOTS,
        hold_s=(0.5, 2.0),
    ),
    Kind(
        name="corrupt-peers",
        row=9,
        does="bytes between a front-end and its peers change on the way",
        target=Target.FRONT_END,
        reasons=NO_SLOTS,
        hold_s=(0.5, 2.0),
    ),
    # Replicas.
    Kind(
        name="kill-replica",
        row=10,
        does="SIGKILL to a model server, then a new start",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=REPLICA_GONE | NO_SLOTS,
        hold_s=(0.2, 1.0),
    ),
    Kind(
        name="pause-replica",
        row=11,
        does="SIGSTOP and SIGCONT to a model server, for longer than an answer may take",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=REPLICA_GONE | _REPLICA_SLOW,
        hold_s=_LATE_S,
        settle_s=3.0,
    ),
    Kind(
        name="mute-replica",
        row=12,
        does="a model server accepts and never answers",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=REPLICA_GONE | _REPLICA_SLOW,
        hold_s=_LATE_S,
        settle_s=3.0,
    ),
    Kind(
        name="reset-replica",
        row=12,
        does="connections to a model server are reset after some bytes of an answer",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=REPLICA_GONE | NO_SLOTS,
        severs=True,
    ),
    Kind(
        name="trickle-replica",
        row=12,
        does="a model server's answers come byte by byte, 2,000 or 1 … 5 of them a second",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=REPLICA_GONE | _REPLICA_SLOW,
        hold_s=(1.0, 3.0),
        settle_s=3.0,
    ),
    Kind(
        name="garble-replica",
        row=13,
        does="a model server's answers begin with garbage",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=REPLICA_GONE | NO_SLOTS,
        severs=True,
    ),
    Kind(
        name="truncate-replica",
        row=10,
        does="a model server closes in order in the middle of an answer",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=REPLICA_GONE | NO_SLOTS,
        severs=True,
    ),
    Kind(
        name="half-close-replica",
        row=12,
        does="a model server ends its sending side in the middle of an answer, and hears on",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=REPLICA_GONE | NO_SLOTS,
        severs=True,
    ),
    Kind(
        name="double-replica",
        row=13,
        does="behind a model server's answers come some or all of their bytes a second time",
        target=Target.REPLICA,
    ),
    Kind(
        name="refuse-replica",
        row=14,
        does="connects to a model server are reset at once, idle connections too",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=REPLICA_GONE | NO_SLOTS,
        severs=True,
    ),
    # Clients.
    Kind(
        name="clients-leave",
        row=15,
        does="a burst of clients that reset while queued, running or streaming",
        target=Target.CLIENTS,
        reasons=frozenset({"queue-timeout", "queue-full"}),
    ),
    Kind(
        name="slow-clients",
        row=16,
        does="connections that send their heads byte by byte and never finish",
        target=Target.CLIENTS,
        hold_s=(1.0, 3.0),
    ),
    Kind(
        name="overload",
        row=17,
        does="1,200 requests a second on top of the load: a third more than replicas can do",
        target=Target.CLIENTS,
        reasons=frozenset({"queue-timeout", "queue-full"}),
        hold_s=(0.5, 1.5),
        settle_s=6.0,
    ),
    # Resources.
    Kind(
        name="disk-full",
        row=23,
        does="the disk of one front-end's journal is full",
        target=Target.FRONT_END,
        need=Need.MOUNT,
        reach=_DIES,
        reasons=NO_SLOTS,
        hold_s=(0.5, 2.0),
        may_end=True,
    ),
    Kind(
        name="slow-disk",
        row=23,
        does="every fsync of one front-end takes 50 … 300 ms longer",
        target=Target.FRONT_END,
        need=Need.TRACER,
        reach=_DIES,
        reasons=NO_SLOTS,
        hold_s=(1.0, 3.0),
        may_end=True,
    ),
    Kind(
        name="failing-disk",
        row=23,
        does="every fsync of one front-end fails with EIO",
        target=Target.FRONT_END,
        need=Need.TRACER,
        reach=_DIES,
        reasons=NO_SLOTS,
        hold_s=(0.5, 1.5),
        may_end=True,
    ),
    Kind(
        name="damaged-journal",
        row=24,
        does="a killed front-end's journal loses its tail before the next start",
        target=Target.FOLLOWER,
        reach=_DIES,
        hold_s=(0.1, 0.5),
        recover_s=8.0,
        may_end=True,
    ),
    Kind(
        name="few-descriptors",
        row=25,
        does="one worker may open hardly any more descriptors",
        target=Target.FRONT_END,
        need=Need.LIMITS,
        reach=_DIES,
        reasons=REPLICA_GONE | NO_SLOTS,
        hold_s=(0.5, 2.0),
    ),
    Kind(
        name="little-memory",
        row=26,
        does="a front-end may take 2 MiB more than it has: what it asks for then may kill it",
        target=Target.FRONT_END,
        need=Need.MEMORY_GROUP,
        reach=_DIES,
        reasons=NO_SLOTS,
        hold_s=(0.5, 2.0),
        may_end=True,
    ),
    Kind(
        name="little-cpu",
        row=27,
        does="a front-end gets a fifth of a core",
        target=Target.FRONT_END,
        need=Need.CPU_GROUP,
        reach=_DIES,
        reasons=_STALLS,
        hold_s=(1.0, 3.0),
        settle_s=3.0,
    ),
    Kind(
        name="wall-clock",
        row=28,
        does="a front-end's wall clock jumps an hour on or two back, and its peers are reset",
        target=Target.FRONT_END,
        need=Need.FAKE_CLOCK,
        hold_s=(1.0, 3.0),
    ),
    Kind(
        name="other-boot-time",
        row=28,
        does="a front-end is started again with monotonic clocks an hour ahead of its peers'",
        target=Target.FOLLOWER,
        need=Need.CLOCK_NAMESPACE,
        reach=_DIES,
        hold_s=(0.1, 0.5),
    ),
    Kind(
        name="no-names",
        row=22,
        does="no name of a front-end resolves, at once or after 2 s, and peers are reset",
        target=Target.ALL_FRONT_ENDS,
        need=Need.HOSTS_FILE,
        reasons=NO_SLOTS,
        hold_s=(0.5, 2.0),
    ),
    # Operators.
    Kind(
        name="bad-settings",
        row=30,
        does="registrations that cannot work are sent to the admin API",
        target=Target.FRONT_END,
        hold_s=(0.1, 0.3),
    ),
    Kind(
        name="other-version",
        row=30,
        does="SIGTERM to a front-end, then a new start from the version before, or back from it",
        target=Target.FRONT_END,
        need=Need.PATCH,
        hold_s=(0.1, 0.5),
    ),
    Kind(
        name="rotate-key",
        row=31,
        does="a second key is added, used, and the first one withdrawn",
        target=Target.CLIENTS,
        hold_s=(1.0, 2.0),
    ),
)

_BY_NAME: Final = {kind.name: kind for kind in (*KINDS, *NETWORK_KINDS, *POD_KINDS)}


def kind_named(name: str) -> Kind:
    """The kind of a fault.

    Raises:
        KeyError: there is none of that name.
    """
    return _BY_NAME[name]
