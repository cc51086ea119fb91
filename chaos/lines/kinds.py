"""Faults of whole networks: what they do to a front-end that has a namespace of its own."""

from typing import Final

from chaos.vocabulary import NO_SLOTS, SILENT_S, Kind, Need, Reach, Target

__all__ = ["NETWORK_KINDS"]

#: What a front-end says that does not reach its replicas, or is not answered.
_NO_ANSWER: Final = frozenset({"answer-timeout", "connect-failed", "broken-answer", "upstream"})

NETWORK_KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        name="isolate",
        row=7,
        does="every packet of a front-end vanishes: of peers, replicas and clients alike",
        target=Target.FRONT_END,
        need=Need.NETWORKS,
        reach=Reach.ITS_CLIENTS,
        reasons=NO_SLOTS | _NO_ANSWER,
        hold_s=(1.0, 4.0),
        settle_s=6.0,
        successor_after_s=SILENT_S,
    ),
    Kind(
        name="isolate-coordinator",
        row=7,
        does="every packet of the coordinator's front-end vanishes",
        target=Target.COORDINATOR,
        need=Need.NETWORKS,
        reach=Reach.ITS_CLIENTS,
        reasons=NO_SLOTS | _NO_ANSWER,
        hold_s=(1.0, 4.0),
        settle_s=6.0,
        successor_after_s=SILENT_S,
    ),
    Kind(
        name="part-from-peers",
        row=7,
        does="no packet passes between the coordinator's front-end and its peers; clients and "
        "replicas it reaches",
        target=Target.COORDINATOR,
        need=Need.NETWORKS,
        reasons=NO_SLOTS,
        hold_s=(1.0, 4.0),
        successor_after_s=SILENT_S,
    ),
    Kind(
        name="mute-network",
        row=8,
        does="nothing that a front-end sends arrives anywhere; it hears all",
        target=Target.FRONT_END,
        need=Need.NETWORKS,
        reach=Reach.ITS_CLIENTS,
        reasons=NO_SLOTS | _NO_ANSWER,
        hold_s=(1.0, 4.0),
        settle_s=6.0,
        successor_after_s=SILENT_S,
        epochs_max=2,
    ),
    Kind(
        name="deaf-network",
        row=8,
        does="a front-end hears nothing; what it sends arrives",
        target=Target.FRONT_END,
        need=Need.NETWORKS,
        reach=Reach.ITS_CLIENTS,
        reasons=NO_SLOTS | _NO_ANSWER,
        hold_s=(1.0, 4.0),
        settle_s=6.0,
        successor_after_s=SILENT_S,
        epochs_max=2,
    ),
    Kind(
        name="lossy-network",
        row=9,
        does="2 … 15 % of all packets are lost, between everybody",
        target=Target.ALL_FRONT_ENDS,
        need=Need.NETWORKS,
        reach=Reach.ANY_CLIENT,
        reasons=NO_SLOTS | _NO_ANSWER,
        hold_s=(1.0, 4.0),
        settle_s=6.0,
    ),
    Kind(
        name="slow-network",
        row=9,
        does="every packet between front-ends, replicas and clients comes 10 … 50 ms late, some "
        "overtake",
        target=Target.ALL_FRONT_ENDS,
        need=Need.NETWORKS,
        reasons=NO_SLOTS,
        hold_s=(1.0, 4.0),
        settle_s=3.0,
        epochs_max=2,
    ),
)
