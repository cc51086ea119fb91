"""The coordinator's book of one replica's slots: each is in exactly one place.

A slot is *free* (the coordinator may grant it), *owned* by a holder (leased, idle or busy: only the
holder knows), or in *limbo*: somebody whom the coordinator cannot ask may still have a request
running on it. Limbo ends at a time, or never by itself (`NEVER`: a silent holder's home, which only
its return or a fence sets free).
"""

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from trioroute.core.model import Replica, ReplicaState
from trioroute.core.slots.masks import all_slots, count, lowest_slots
from trioroute.errors import InvariantError

__all__ = ["FORMER_HOLDER", "LONG_AGO", "NEVER", "UNKNOWN_HOLDER", "Limbo", "SlotBook"]

NEVER: Final = float("inf")

#: When the requests of incarnations that ended cleanly were over, at the latest.
LONG_AGO: Final = -NEVER

#: Whose requests may still run on slots that nobody claimed after a take-over.
UNKNOWN_HOLDER: Final = ""

#: Whose requests may still run on a fixed address that was given out before under the same name.
#: Nobody's report claims them.
FORMER_HOLDER: Final = "?"


@attrs.frozen
class Limbo:
    """Slots on which a request of `holder` may run until `until`.

    Attributes:
        least: where that is `NEVER`, no word of the holder ends it before this.
    """

    mask: int
    holder: str
    until: float
    least: float = LONG_AGO


@attrs.define(eq=False)
class SlotBook:  # house: one method for each event that moves a slot
    """One replica's slots.

    Attributes:
        since: index of the log entry that brought the replica; only holders whose routing is as
            new may be given its slots.
        home: holder to the mask of its home slots.
        leaving: holder to slots that were its home and of which it may not know that yet.
        slots_max: so many of its slots may be used now, because of its health.
        known: the highest limit that it has had.
        unnumbered: how many requests may run on it that have no slot: there was no limit before.
        inherited: whether an earlier coordinator had given its slots out.
    """

    replica: Replica
    since: int
    home: Mapping[str, int] = attrs.field(factory=dict)
    leaving: Mapping[str, int] = attrs.field(factory=dict)
    slots_max: int | None = None
    inherited: bool = False
    unnumbered: int = 0
    free: int = 0
    owned: dict[str, int] = attrs.field(factory=dict)
    limbo: list[Limbo] = attrs.field(factory=list)
    known: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.known = self.replica.slots

    @property
    def cordoned(self) -> bool:
        """Whether no new request may start here: the replica is about to be stopped."""
        return self.replica.state is not ReplicaState.READY

    @property
    def grantable(self) -> int:
        """The free slots that may be granted now.

        While slots above a lowered limit are still out, only so many as keep what is out from
        growing: the limit comes into force as they come back (decision 29). Likewise while
        requests run that were started without a limit.
        """
        free = self.free and self.free & self._usable
        if not free or (self.known <= self.replica.slots and not self.unnumbered):
            return free
        return lowest_slots(free, self.replica.slots - self._out)

    @property
    def _out(self) -> int:
        """How many requests may run."""
        return count(self.in_use) + self.unnumbered

    @property
    def above_limit(self) -> int:
        """The slots beyond a lowered limit that somebody has or may have."""
        if self.known <= self.replica.slots:
            return 0
        return self.in_use & ~all_slots(self.replica.slots)

    @property
    def _usable(self) -> int:
        if self.cordoned:
            return 0
        slots = all_slots(self.replica.slots)
        if self.slots_max is None:
            return slots
        # Not one in limbo: nobody could try the replica with it, for as long as that lasts.
        doubted = self._union(entry.mask for entry in self.limbo)
        return lowest_slots(slots & ~doubted, self.slots_max)

    @property
    def in_use(self) -> int:
        """The slots that somebody has or may have."""
        return self._union(self.owned.values()) | self._union(entry.mask for entry in self.limbo)

    @property
    def in_hands(self) -> int:
        """How many slots within the limit holders have; asked for at each tick, so it is cheap."""
        mask = all_slots(self.replica.slots) & ~self.free
        for entry in self.limbo:
            mask &= ~entry.mask
        return count(mask)

    def leasable(self, holder: str) -> int:
        """What the holder's lease list says: all it owns, unless it is being recalled.

        Nothing while more is out than the limit: an idle slot must not start another.
        """
        owned = self.owned.get(holder, 0)
        if not owned:
            return 0
        slots = self.replica.slots
        if (self.known > slots or self.unnumbered) and self._out > slots:
            return 0
        return owned & self._usable

    def give(self, holder: str, mask: int) -> None:
        """Free slots become the holder's."""
        if self.free & mask != mask:
            raise InvariantError(f"not free: {mask:b} of {self}")
        self.free &= ~mask
        self.owned[holder] = self.owned.get(holder, 0) | mask

    def take_back(self, holder: str, mask: int) -> int:
        """The holder gave slots back; returns those that really were its own, now free."""
        mask &= self.owned.get(holder, 0)
        self._disown(holder, mask)
        self.free |= mask
        return mask

    def claim(self, holder: str, held: int, busy: int) -> int:
        """A report: the holder says what it holds. Returns slots it claims but cannot have.

        What is in limbo because of this holder, or of nobody known, is its own again. A free slot
        is given only if a request is running on it: better to lose a slot than to exceed a limit.
        One that is not in the book is its own too: the limit was higher under an earlier
        coordinator, and may be raised again.
        """
        mine = self.owned.get(holder, 0)
        if not (held | busy | mine):
            return 0  # nearly always: a take-over asks every book about every holder
        claimed = held & mine
        for entry in self.limbo:
            if entry.holder in (holder, UNKNOWN_HOLDER):
                claimed |= entry.mask & held
        claimed |= busy & self.free
        claimed |= held & ~(self.free | self.in_use)
        self.known = max(self.known, claimed.bit_length())
        self._disown(holder, mine)
        self.free |= mine & ~claimed
        self.free &= ~claimed
        self.limbo = [
            attrs.evolve(entry, mask=entry.mask & ~claimed)
            for entry in self.limbo
            if entry.mask & ~claimed
        ]
        if claimed:
            self.owned[holder] = claimed
        return held & ~claimed

    def suspend(
        self, holder: str, *, until: float, home_until: float, least: float = LONG_AGO
    ) -> None:
        """The holder cannot be asked: its slots go to limbo, those at home for longer.

        Args:
            least: no word of the holder ends the waiting for its home before this.
        """
        mask = self.owned.get(holder, 0)
        if not mask:
            return
        self._disown(holder, mask)
        home = self._may_be_home(holder)
        self._to_limbo(mask & home, holder, home_until, least=least)
        self._to_limbo(mask & ~home, holder, until)

    def settle(self, holder: str, until: float) -> None:
        """It is now known until when requests of that holder can run: limbo ends then."""
        if all(entry.holder != holder for entry in self.limbo):
            return
        self.limbo = [
            attrs.evolve(entry, until=min(entry.until, until)) if entry.holder == holder else entry
            for entry in self.limbo
        ]

    def end_waiting(self, holder: str, until: float, *, but: int = 0) -> None:
        """Its home waits for it no longer than this. What has an end of its own keeps it.

        Args:
            but: slots that it still has.
        """
        entries, self.limbo = self.limbo, []
        for entry in entries:
            is_waiting = entry.holder == holder and entry.until == NEVER
            kept = entry.mask & but if is_waiting else entry.mask
            self._to_limbo(kept, entry.holder, entry.until, least=entry.least)
            self._to_limbo(entry.mask & ~kept, holder, max(until, entry.least))

    def name_doubt(self, holder: str, mask: int) -> None:
        """These slots were in doubt and are the holder's: they wait until it says otherwise."""
        named = mask & self._union(e.mask for e in self.limbo if e.holder == UNKNOWN_HOLDER)
        self.limbo = [
            attrs.evolve(entry, mask=entry.mask & ~named)
            for entry in self.limbo
            if entry.mask & ~named
        ]
        self._to_limbo(named, holder, NEVER)

    def split_doubt(self, silent: Iterable[str], *, over_at: float = LONG_AGO) -> None:
        """The doubt of a take-over is over but for the homes of holders that are still silent.

        Args:
            over_at: when it is, where that is not yet.
        """
        doubt = self._union(e.mask for e in self.limbo if e.holder == UNKNOWN_HOLDER)
        self.limbo = [entry for entry in self.limbo if entry.holder != UNKNOWN_HOLDER]
        for holder in silent:
            at_home = doubt & self._may_be_home(holder)
            self._to_limbo(at_home, holder, NEVER)
            doubt &= ~at_home
        if over_at > LONG_AGO:
            self._to_limbo(doubt, FORMER_HOLDER, over_at)
        else:
            self.free |= doubt

    def expire(self, now: float) -> bool:
        """Limbo that has ended comes free. Returns whether any did."""
        ended = [entry for entry in self.limbo if entry.until <= now]
        if not ended:
            return False
        self.limbo = [entry for entry in self.limbo if entry.until > now]
        self.free |= self._union(entry.mask for entry in ended)
        return True

    def may_run(self, holder: str) -> bool:
        """Whether requests of a holder that keeps nothing may still be running here."""
        return any(entry.holder in (holder, FORMER_HOLDER) for entry in self.limbo)

    def resize(self, replica: Replica) -> None:
        """The replica's limit or state changed. Slots above a lowered limit are never granted."""
        known = self.free | self.in_use
        self.replica = replica
        self.known = max(self.known, replica.slots)
        self.free |= all_slots(replica.slots) & ~known

    def check(self) -> None:
        """Assert that every slot is in exactly one place and none is missing.

        Raises:
            InvariantError: it is not so.
        """
        places = [self.free, *self.owned.values(), *(entry.mask for entry in self.limbo)]
        union = self._union(places)
        if sum(map(count, places)) != count(union):
            raise InvariantError(f"a slot in two places: {self}")
        if all_slots(self.replica.slots) & ~union:
            raise InvariantError(f"a slot is lost: {self}")

    def _may_be_home(self, holder: str) -> int:
        """What the holder may serve from without a coordinator, as far as it knows."""
        return self.home.get(holder, 0) | self.leaving.get(holder, 0)

    def _disown(self, holder: str, mask: int) -> None:
        left = self.owned.get(holder, 0) & ~mask
        if left:
            self.owned[holder] = left
        else:
            self.owned.pop(holder, None)

    def _to_limbo(self, mask: int, holder: str, until: float, *, least: float = LONG_AGO) -> None:
        if mask:
            self.limbo.append(Limbo(mask, holder, until, least))

    @staticmethod
    def _union(masks: Iterable[int]) -> int:
        union = 0
        for mask in masks:
            union |= mask
        return union
