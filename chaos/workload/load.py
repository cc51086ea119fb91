"""Offers requests at a rate, whatever becomes of them: open loop, as the world outside does."""

import random
from typing import Final, Protocol

import attrs
import trio

__all__ = ["MIXED", "Load", "Sender", "offer"]

#: Shares of the kinds of client, in hundredths.
MIXED: Final = {
    "ordinary": 54,
    "new": 14,
    "get": 8,
    "keyed": 6,
    "large": 4,
    "stream": 5,
    "slow": 3,
    "leaver": 3,
    "chat": 2,
    "smuggler": 1,
}


@attrs.frozen(kw_only=True)
class Load:
    """How much of what to offer.

    Attributes:
        rate: requests per second.
        mix: shares of the kinds of client.
    """

    rate: float
    mix: dict[str, int] = attrs.field(factory=lambda: dict(MIXED))


class Sender(Protocol):
    """The clients of a world."""

    async def send(self, kind: str) -> object:
        """One request by one kind of client; returns when it has ended, or need not be awaited."""
        ...


async def offer(clients: Sender, load: Load, seed: int, stop: trio.Event) -> None:
    """Offer until told to stop; returns when every request has ended.

    Requests that are due while the harness was busy are sent at once, so that the rate holds.
    """
    rng = random.Random(f"load {seed}")
    kinds, weights = list(load.mix), list(load.mix.values())
    started_at = trio.current_time()
    number = 0
    async with trio.open_nursery() as nursery:
        while not stop.is_set():
            await trio.sleep_until(started_at + number / load.rate)
            (kind,) = rng.choices(kinds, weights)
            nursery.start_soon(clients.send, kind)
            number += 1
