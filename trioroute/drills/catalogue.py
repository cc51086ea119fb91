"""The drills: what each breaks, what that proves, and what a healthy system makes of it.

Pure. The figures are the project's goals; `chaos/RUNBOOKS.md` explains each to whoever runs it.
"""

import enum
from typing import Final

import attrs

__all__ = ["DRILLS", "Deed", "Drill", "Victim", "drill_named"]


class Deed(enum.Enum):
    """What is done to the victim."""

    KILL = "kill"  # it is gone at once: SIGKILL, a pod deleted without grace
    END = "end"  # it is asked to end in order: SIGTERM, a pod deleted
    FREEZE = "freeze"  # it stands still for a while and goes on: SIGSTOP, SIGCONT
    CUT = "cut"  # the other front-ends and it hear nothing of each other for a while
    FILL = "fill"  # its disk has no room for a while

    @property
    def is_lasting(self) -> bool:
        """Whether it has to be undone, and lasts until then."""
        return self in (Deed.FREEZE, Deed.CUT, Deed.FILL)


class Victim(enum.Enum):
    """Who is hit."""

    COORDINATOR = "coordinator"
    FOLLOWER = "follower"  # a front-end that does not coordinate
    REPLICA = "replica"
    EACH_FRONT_END = "each-front-end"  # one after the other, the coordinator last


@attrs.frozen(kw_only=True)
class Drill:
    """One drill.

    Attributes:
        proves: what is known after it has passed, one sentence.
        does: what it does, for who is asked whether to go on.
        expects: what a healthy system shows meanwhile.
        lasts_s: for how long a lasting deed lasts unless something else is said.
        moves_office: whether another coordinator must take over.
        gap_goal_s: for how long nobody may coordinate then; the goals' 99th percentile.
        breaks_connections: whether requests on the victim's own connections may be lost.
        reasons: the router's own answers (`x-trioroute-error`) that the deed excuses.
        excused_s: for how long after the deed has ended they are excused.
        back_goal_s: when all must be whole again after the deed has ended.
        hits: what was done, in front of the target's name.
    """

    name: str
    summary: str
    deed: Deed
    victim: Victim
    proves: str
    does: str
    expects: str
    lasts_s: float = 0.0
    moves_office: bool = False
    gap_goal_s: float | None = None
    breaks_connections: bool = False
    reasons: frozenset[str] = frozenset()
    excused_s: float = 0.0
    back_goal_s: float = 30.0
    hits: str = attrs.field()

    @hits.default
    def _hits_of_deed(self) -> str:
        return _HITS[self.deed]


_HITS: Final = {
    Deed.KILL: "SIGKILL to",
    Deed.END: "SIGTERM to",
    Deed.FREEZE: "froze",
    Deed.CUT: "cut off",
    Deed.FILL: "filled the disk of",
}

#: What a replica that dies or stands still excuses (faults 10 and 11): it got the request and
#: nobody knows how far it came.
_OF_A_REPLICA: Final = frozenset({"upstream", "connect-failed", "broken-answer", "answer-timeout"})

#: In the order in which an operator should rehearse them.
DRILLS: Final = (
    Drill(
        name="coordinator",
        summary="kill the coordinator's front-end",
        deed=Deed.KILL,
        victim=Victim.COORDINATOR,
        proves="The system goes on serving when its coordinator dies, and limits stay exact.",
        does="sends SIGKILL to the front-end that coordinates: supervisor and workers are gone",
        expects="another front-end coordinates within half a second; requests on connections that "
        "the dead one held break, no other request fails; it is started again and rejoins",
        moves_office=True,
        gap_goal_s=0.5,
        breaks_connections=True,
    ),
    Drill(
        name="front-end",
        summary="kill a front-end that does not coordinate",
        deed=Deed.KILL,
        victim=Victim.FOLLOWER,
        proves="A front-end's death concerns only the clients connected to it.",
        does="sends SIGKILL to one front-end that does not coordinate",
        expects="requests on connections that it held break, no other request fails; the "
        "coordinator stays; it is started again and rejoins",
        breaks_connections=True,
    ),
    Drill(
        name="replica",
        summary="kill a model server",
        deed=Deed.KILL,
        victim=Victim.REPLICA,
        proves="A dying model server costs at most what it was working on.",
        does="sends SIGKILL to one replica's processes",
        expects="at most the requests that it was working on fail, with 502; the others are "
        "served by the other replicas; a new one is started in its place",
        reasons=_OF_A_REPLICA,
        excused_s=1.0,
        back_goal_s=60.0,
    ),
    Drill(
        name="rolling-restart",
        summary="restart every front-end in order, one after the other",
        deed=Deed.END,
        victim=Victim.EACH_FRONT_END,
        proves="The router can be updated under load without anybody noticing.",
        does="sends SIGTERM to each front-end in turn, the coordinator last, and waits until each "
        "is back",
        expects="no request fails and no connection breaks in the middle of an answer; each "
        "office changes hands in a fifth of a second",
        moves_office=True,
        gap_goal_s=0.2,
    ),
    Drill(
        name="frozen-coordinator",
        summary="freeze the coordinator's front-end for some seconds",
        deed=Deed.FREEZE,
        victim=Victim.COORDINATOR,
        proves="A paused machine cannot grant what somebody else has granted meanwhile.",
        does="stops the processes of the front-end that coordinates and continues them later",
        expects="another front-end coordinates within two seconds; clients connected to the frozen "
        "one wait, and get 504 where that is longer than a request may take; no other request "
        "fails; the old coordinator comes back as a follower",
        lasts_s=5.0,
        moves_office=True,
        gap_goal_s=2.0,
        breaks_connections=True,
    ),
    Drill(
        name="frozen-replica",
        summary="freeze a model server for some seconds",
        deed=Deed.FREEZE,
        victim=Victim.REPLICA,
        proves="A model server that hangs does not take the others' requests with it.",
        does="stops one replica's processes and continues them later",
        expects="at most the requests sent to it time out (504); its slots stay taken for the "
        "longest request after that, then one more may be sent to it; the others serve on",
        lasts_s=5.0,
        reasons=_OF_A_REPLICA,
        excused_s=10.0,
    ),
    Drill(
        name="partition",
        summary="cut the coordinator off from the other front-ends",
        deed=Deed.CUT,
        victim=Victim.COORDINATOR,
        proves="A coordinator that nobody hears stops granting before the next one begins.",
        does="drops what the coordinator's front-end and the others send each other, both ways",
        expects="another front-end coordinates within two seconds; the one that is cut off serves "
        "from its own slots while its leases last, then makes its clients wait or refuses them",
        lasts_s=8.0,
        moves_office=True,
        gap_goal_s=2.0,
        reasons=frozenset({"no-coordinator", "no-replica", "queue-timeout", "lease-ended"}),
        excused_s=2.0,
    ),
    Drill(
        name="disk-full",
        summary="fill the disk of one front-end's log",
        deed=Deed.FILL,
        victim=Victim.FOLLOWER,
        proves="A full disk of one front-end costs the others' clients nothing, and heals.",
        does="fills the file system that holds one front-end's folder, and nothing else, with a "
        "file of zeros, and removes it later",
        expects="the front-end goes on while its log has reserved room (a megabyte), then ends "
        "with the reason in its output; the others serve on; with room it starts again and rejoins",
        lasts_s=5.0,
        breaks_connections=True,
        back_goal_s=60.0,
    ),
)


def drill_named(name: str) -> Drill:
    """The drill of this name.

    Raises:
        KeyError: there is none.
    """
    return {drill.name: drill for drill in DRILLS}[name]
