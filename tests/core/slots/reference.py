"""A slow and obvious model of the directory: one entry for each slot, one list of waiters.

It does not decide who is to get a free slot: it judges. What the directory says must be allowed by
what the model knows, and afterwards every slot must be in the place that the model has it in. One
deployment, no replicas coming or going; `slotworld` has those.
"""

from collections.abc import Mapping

import attrs

from trioroute.core.directory.book import NEVER, UNKNOWN_HOLDER
from trioroute.core.directory.directory import CLOSE, Effect, SlotDirectory
from trioroute.core.registry import RegistryState
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import unpack_all
from trioroute.core.slots.timings import SlotTimings

Slot = tuple[str, int]


@attrs.frozen
class Free:
    """Nobody has it."""


@attrs.frozen
class Owned:
    """A holder has it."""

    by: str


@attrs.frozen
class Limbo:
    """A request of `by` may run on it until then."""

    by: str
    until: float


Place = Free | Owned | Limbo


@attrs.define
class Known:
    """What is known of one holder.

    Attributes:
        owes_report: it may have slots from before the take-over, and has told of none yet.
    """

    incarnation: int = -1
    in_session: bool = False
    reported: bool = False
    owes_report: bool = False
    orderly: int | None = None
    born_by: float = 0.0
    expires_at: float | None = None


def slots_of(masks: Mapping[str, int]) -> set[Slot]:
    """The slots in masks, one by one."""
    return {(name, n) for name, mask in masks.items() for n in range(9) if mask >> n & 1}


class Reference:
    """The same events as `SlotDirectory`, and what it said to them."""

    def __init__(self, state: RegistryState, key: str, *, timings: SlotTimings, now: float) -> None:
        self.timings = timings
        self.key = key
        self.request_s = timings.request_s(state.deployments[key].request_max_s)
        self.queue_max = state.deployments[key].queue_depth_max
        self.home = {
            slot: holder
            for replica, masks in state.homes[key].items()
            for holder, mask in masks.items()
            for slot in slots_of({replica: mask})
        }
        self.holders = {
            name: Known(owes_report=name not in state.clean, orderly=state.orderly.get(name))
            for name in state.holders
        }
        unknown = [name for name in state.holders if name not in state.clean]
        doubt_s = timings.doubt_s(state.deployments[key].request_max_s)
        self.pending = dict.fromkeys(unknown, now + doubt_s)
        self.in_doubt = bool(unknown)
        start: Place = Limbo(UNKNOWN_HOLDER, NEVER) if unknown else Free()
        self.places: dict[Slot, Place] = {
            (replica.id, n): start for replica in state.replicas[key] for n in range(replica.slots)
        }
        self.waiting: list[tuple[float, str, int]] = []

    # -- events -----------------------------------------------------------------------------

    def hello(self, name: str, hello: m.Hello, now: float) -> None:
        holder = self.holders.setdefault(name, Known())
        holder.in_session, holder.reported = True, False
        holder.born_by = now - hello.uptime_s * (1 - self.timings.rate_margin)
        if hello.incarnation != holder.incarnation:
            for slot in self.owned(name):
                self.places[slot] = Limbo(name, holder.born_by + self.request_s)
            if holder.incarnation != -1:
                holder.orderly = None  # another one has had slots since
            holder.incarnation, holder.expires_at = hello.incarnation, None
        self.leave_the_line(name)

    def renew(self, name: str, renew: m.Renew, now: float) -> None:
        holder = self.holders[name]
        if holder.reported:
            return
        holder.reported, holder.owes_report = True, False
        held, busy = slots_of(unpack_all(renew.held)), slots_of(unpack_all(renew.busy))
        dead_by = holder.born_by + self.request_s
        if holder.orderly == holder.incarnation:
            dead_by = -NEVER
        for slot, place in self.places.items():
            match place:
                case Owned(by) if by == name and slot not in held:
                    self.places[slot] = Free()
                case Free() if slot in busy:
                    self.places[slot] = Owned(name)
                case Limbo(by, _) if by in (name, UNKNOWN_HOLDER) and slot in held:
                    self.places[slot] = Owned(name)
                case Limbo(by, until) if by == name:
                    self.places[slot] = Limbo(by, min(until, dead_by))
        if name in self.pending:
            self.pending[name] = min(self.pending[name], dead_by)

    def acquire(self, name: str, acquire: m.Acquire, now: float) -> None:
        if len(self.waiting) < self.queue_max:
            self.waiting.append((now - acquire.waited_s, name, acquire.number))

    def cancel(self, name: str, number: int) -> None:
        self.waiting = [w for w in self.waiting if w[1:] != (name, number)]

    def give_back(self, name: str, slots: set[Slot]) -> None:
        for slot in slots & self.owned(name):
            self.places[slot] = Free()

    def goodbye(self, name: str, busy: set[Slot], now: float) -> None:
        for slot in self.owned(name):
            self.places[slot] = Limbo(name, now + self.request_s) if slot in busy else Free()
        self.leave_the_line(name)
        holder = self.holders[name]
        holder.in_session = holder.reported = False
        holder.expires_at = None

    def lost(self, name: str) -> None:
        self.leave_the_line(name)
        self.holders[name].in_session = False

    def pass_time(self, now: float) -> None:
        """Leases end; this is looked at in `tick` only."""
        for name, holder in self.holders.items():
            ended_at = holder.expires_at
            if ended_at is None or ended_at > now:
                continue
            for slot in self.owned(name):
                until = NEVER if self.home.get(slot) == name else ended_at + self.request_s
                self.places[slot] = Limbo(name, until)
            self.leave_the_line(name)
            holder.expires_at = None
            holder.reported = holder.in_session = False

    # -- the judgement ----------------------------------------------------------------------

    def judge(self, effects: list[Effect], now: float) -> None:
        """What was said after an event must be allowed; it is then true here as well."""
        self._end_limbo(now)
        for name, message in effects:
            holder = self.holders[name]
            match message:
                case m.Grant():
                    assert holder.reported, f"{name} was granted a slot but never reported"
                    slot = (message.replica, message.slot)
                    assert self.places[slot] == Free(), f"{slot} granted, is {self.places[slot]}"
                    self.places[slot] = Owned(name)
                    if message.number:
                        oldest = min(self.waiting)
                        assert oldest[1:] == (name, message.number), f"{oldest} was passed over"
                        self.waiting.remove(oldest)
                case m.Lease():
                    assert holder.reported, f"{name} has a lease but never reported"
                    listed = slots_of(unpack_all(message.slots))
                    assert listed >= self.owned(name), "a list left out what nobody recalls"
                    for slot in listed - self.owned(name):
                        assert self.places[slot] == Free(), f"{slot} listed, is not free"
                        self.places[slot] = Owned(name)
                    holder.expires_at = now + self.timings.booked_s
                case m.Refuse():
                    assert len(self.waiting) >= self.queue_max
                case None:
                    assert message is CLOSE

    def compare(self, directory: SlotDirectory) -> None:
        """Every slot is where it is here, and nobody waits beside a free one."""
        line = directory._lines[self.key]
        for (replica, n), place in self.places.items():
            book, bit = line.books[replica], 1 << n
            owners = [name for name, mask in book.owned.items() if mask & bit]
            limbo = [entry for entry in book.limbo if entry.mask & bit]
            found: list[Place] = [Owned(name) for name in owners]
            found += [Limbo(entry.holder, entry.until) for entry in limbo]
            found += [Free()] if book.free & bit else []
            assert found == [place], f"{replica}/{n} is {found}, should be {place}"
        assert sorted(self.waiting) == [each[1:4] for each in line.waiting]
        if self.waiting:
            assert Free() not in self.places.values(), "a request waits beside a free slot"

    # -- inside -----------------------------------------------------------------------------

    def owned(self, name: str) -> set[Slot]:
        return {slot for slot, place in self.places.items() if place == Owned(name)}

    def leave_the_line(self, name: str) -> None:
        self.waiting = [w for w in self.waiting if w[1] != name]

    def _end_limbo(self, now: float) -> None:
        if self.in_doubt and all(until <= now for until in self.pending.values()):
            self.in_doubt = False
            for slot, place in self.places.items():
                if isinstance(place, Limbo) and place.by == UNKNOWN_HOLDER:
                    home = self.home.get(slot, "")
                    is_waited_for = home in self.holders and self.holders[home].owes_report
                    self.places[slot] = Limbo(home, NEVER) if is_waited_for else Free()
        for slot, place in self.places.items():
            if isinstance(place, Limbo) and place.until <= now:
                self.places[slot] = Free()
