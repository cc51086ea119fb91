"""Drills in the words of a cluster: what is done to pods is not quite what processes get. Pure."""

from typing import Final

import attrs

from trioroute.drills.catalogue import Deed, Drill, Victim

__all__ = ["LOOK_S", "for_cluster"]

#: Between two looks at one front-end, each of which goes through the API server, seconds.
#: A handed-over office is timed from the last look at it, so that a gap is longer by up to this.
LOOK_S: Final = 0.25
#: A pod is scheduled, its volume mounted, its image perhaps pulled.
_BACK_GOAL_S: Final = 120.0

_HITS: Final = {
    Deed.KILL: "deleted without grace: pod",
    Deed.END: "deleted: pod",
    Deed.CUT: "parted from its peers by a NetworkPolicy: pod",
}
_DOES: Final = {
    (Deed.KILL, Victim.COORDINATOR): "deletes the pod of the front-end that coordinates, without "
    "grace",
    (Deed.KILL, Victim.FOLLOWER): "deletes the pod of one front-end that does not coordinate, "
    "without grace",
    (Deed.KILL, Victim.REPLICA): "deletes one replica's pod, without grace",
    (Deed.END, Victim.EACH_FRONT_END): "deletes each front-end's pod in turn, as a drained node "
    "does, the coordinator's last, and waits until each is back",
    (Deed.CUT, Victim.COORDINATOR): "keeps the coordinator's pod and the other front-ends from "
    "dialling each other by a NetworkPolicy",
}


def for_cluster(drill: Drill) -> Drill:
    """The same drill as it is done to pods, and what may be expected of it there.

    A kubelet takes its time to kill, and to start again; how long nobody coordinated is known to a
    look only.
    """
    gap_goal_s = None if drill.gap_goal_s is None else drill.gap_goal_s + 2 * LOOK_S
    return attrs.evolve(
        drill,
        does=_DOES.get((drill.deed, drill.victim), drill.does),
        hits=_HITS.get(drill.deed, drill.hits),
        gap_goal_s=gap_goal_s,
        back_goal_s=_BACK_GOAL_S,
    )
