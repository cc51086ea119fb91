"""Kinds of fault that only a cluster has: pods that go, and an API server that fails."""

from typing import Final

from chaos.vocabulary import Kind, Reach, Target

__all__ = ["POD_KINDS"]

_NO_SLOTS: Final = frozenset({"queue-timeout", "queue-full", "no-replica"})
_REPLICA_GONE: Final = frozenset({"connect-failed", "broken-answer", "no-replica"})

POD_KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        name="delete-replica-pod",
        row=10,
        does="a replica's pod is deleted: it serves until its preStop hook has waited",
        target=Target.REPLICA,
        hold_s=(0.5, 1.0),
    ),
    Kind(
        name="crash-replica-pod",
        row=10,
        does="SIGKILL to a replica's container; the kubelet starts it again",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=_REPLICA_GONE | _NO_SLOTS,
        hold_s=(0.2, 0.5),
    ),
    Kind(
        name="delete-front-end-pod",
        row=1,
        does="a front-end's pod is deleted, as a drained node does it; it comes back by its name",
        target=Target.FRONT_END,
        hold_s=(0.5, 1.0),
        recover_s=10.0,
    ),
    Kind(
        name="force-delete-front-end-pod",
        row=2,
        does="a front-end's pod is deleted without any grace",
        target=Target.FRONT_END,
        reach=Reach.ITS_CLIENTS,
        hold_s=(0.2, 0.5),
        recover_s=10.0,
    ),
    Kind(
        name="force-delete-replica-pod",
        row=10,
        does="a replica's pod is deleted without any grace",
        target=Target.REPLICA,
        reach=Reach.ANY_CLIENT,
        reasons=_REPLICA_GONE | _NO_SLOTS,
        hold_s=(0.2, 0.5),
    ),
    Kind(
        name="freeze-replica-pod",
        row=11,
        does="a replica's container stands still and goes on",
        target=Target.REPLICA,
        reasons=_NO_SLOTS | {"answer-timeout"},
        hold_s=(0.5, 3.0),
        settle_s=5.0,
    ),
    Kind(
        name="delete-coordinator-pod",
        row=1,
        does="the coordinator's pod is deleted; it hands its office over first",
        target=Target.COORDINATOR,
        hold_s=(0.5, 1.0),
        recover_s=10.0,
    ),
    Kind(
        name="force-delete-coordinator-pod",
        row=3,
        does="the coordinator's pod is deleted without any grace",
        target=Target.COORDINATOR,
        reach=Reach.ITS_CLIENTS,
        hold_s=(0.2, 0.5),
        recover_s=10.0,
    ),
    Kind(
        name="crash-front-end-pod",
        row=2,
        does="SIGKILL to a front-end's container; the kubelet starts it again in its pod",
        target=Target.FRONT_END,
        reach=Reach.ITS_CLIENTS,
        hold_s=(0.2, 0.5),
        recover_s=10.0,
    ),
    Kind(
        name="freeze-coordinator-pod",
        row=4,
        does="the coordinator's container stands still and goes on",
        target=Target.COORDINATOR,
        reach=Reach.ITS_CLIENTS,
        reasons=_NO_SLOTS | {"answer-timeout"},
        hold_s=(0.5, 3.0),
    ),
    Kind(
        name="cut-coordinator-pod",
        row=7,
        does="a NetworkPolicy parts the coordinator's pod from its peers",
        target=Target.COORDINATOR,
        reasons=_NO_SLOTS,
        hold_s=(1.0, 4.0),
    ),
    Kind(
        name="cut-front-end-pod",
        row=7,
        does="a NetworkPolicy parts another front-end's pod from its peers",
        target=Target.FOLLOWER,
        reasons=_NO_SLOTS,
        hold_s=(1.0, 4.0),
    ),
    Kind(
        name="api-outage",
        row=18,
        does="the API server is killed, and knows no older version when it is back",
        target=Target.API,
        hold_s=(2.0, 6.0),
    ),
    Kind(
        name="freeze-api",
        row=18,
        does="the API server accepts connections and answers nothing",
        target=Target.API,
        hold_s=(2.0, 5.0),
    ),
    Kind(
        name="throttle-api",
        row=18,
        does="the API server answers everything with 429",
        target=Target.API,
        hold_s=(1.0, 3.0),
    ),
    Kind(
        name="slow-api",
        row=18,
        does="the API server takes two seconds for each answer, and watches begin anew",
        target=Target.API,
        hold_s=(2.0, 5.0),
    ),
    Kind(
        name="forbid-api",
        row=18,
        does="the front-ends' account loses its rights: 403, and watches begin anew",
        target=Target.API,
        hold_s=(1.0, 4.0),
    ),
    Kind(
        name="cut-watches",
        row=19,
        does="every watch breaks in the middle of a line",
        target=Target.API,
        hold_s=(0.2, 0.5),
    ),
    Kind(
        name="forget-versions",
        row=19,
        does="every watch breaks, and no older version is known: 410",
        target=Target.API,
        hold_s=(0.2, 0.5),
    ),
)
