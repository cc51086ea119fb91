"""Faults of clients: those that leave, that are too slow, and too many of them."""

from typing import Final

from chaos.vocabulary import Kind, Reach, Target

__all__ = ["CLIENT_KINDS"]

CLIENT_KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        name="clients-leave",
        row=15,
        does="a burst of clients that reset while queued, running or streaming",
        target=Target.CLIENTS,
        reasons=frozenset({"queue-timeout", "queue-full"}),
        recover_s=1.0,
    ),
    Kind(
        name="slow-clients",
        row=16,
        does="connections that send their heads byte by byte until the router has had enough",
        target=Target.CLIENTS,
        reasons=frozenset({"head-timeout"}),
        hold_s=(1.0, 3.0),
        brings=frozenset({"slow-head"}),
    ),
    Kind(
        name="slow-bodies",
        row=16,
        does="requests whose bodies stop; those that are streamed have a slot as long as they may",
        target=Target.CLIENTS,
        reasons=frozenset({"body-timeout", "answer-timeout"}),
        hold_s=(1.0, 3.0),
        brings=frozenset({"slow-body"}),
    ),
    Kind(
        name="slow-readers",
        row=16,
        does="clients that take an answer of megabytes in sips, until its time is over",
        target=Target.CLIENTS,
        reach=Reach.ANY_CLIENT,
        hold_s=(1.0, 3.0),
        brings=frozenset({"slow-reader"}),
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
)
