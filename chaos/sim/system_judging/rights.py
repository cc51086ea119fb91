"""What a holder was entitled to, by what was said on its slot links and by its routing."""

from collections import defaultdict

from chaos.sim.system.history import Dispatch, HolderLife, Said, SystemHistory
from trioroute.core.holding.held import NO_SLOT
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import unpack_all

__all__ = ["Rights"]


class Rights:
    """Replays the slot links of one holder's life; ask in the order of time.

    To start anything takes a lease, or isolation within its bounds. A lease entitles to the slots
    of its list that were not given back since, and to those granted after it. One that was granted
    to a request stays its own until it is returned, for a list without it asks for it only when the
    request ends: so too for one that was begun in the very instant in which that list is read, as
    happens to who was stopped and finds all at once. A slot that was given back and whose return
    the list had not seen is not in it (decision 24). No slot is needed where the holder's routing
    says that there is no limit, and is as new as it was told that it must be (S52).
    """

    def __init__(self, history: SystemHistory, life: HolderLife) -> None:
        self._said = iter(history.said.get(life, ()))
        self._next: Said | None = next(self._said, None)
        self._routed = history.routed.get(life, [])
        self._isolated_s = history.isolated_s
        self._slots: defaultdict[str, int] = defaultdict(int)
        self._granted: defaultdict[str, int] = defaultdict(int)
        self._delisted: defaultdict[str, int] = defaultdict(int)
        self._delisted_at = 0.0
        self._ends_at = float("-inf")
        self._session = 0
        self._sent = 0
        self._returns: list[tuple[int, dict[str, int]]] = []
        self._welcomes: list[tuple[float, int]] = []

    def missing(self, dispatch: Dispatch, position: int) -> str:
        """Why the holder was not entitled to a dispatch; empty when it was.

        Args:
            position: of the dispatch among all of the history.
        """
        while self._next is not None and self._next.at <= dispatch.at:
            self._take(self._next)
            self._next = next(self._said, None)
        if dispatch.slot == NO_SLOT:
            return self._may_not(dispatch) or self._is_limited(dispatch, position)
        bit = 1 << dispatch.slot
        if dispatch.at <= self._ends_at:
            held = self._slots[dispatch.replica] | self._granted[dispatch.replica]
            if dispatch.at == self._delisted_at:
                held |= self._delisted[dispatch.replica]
            is_held = bool(held & bit)
            return "" if is_held else f"slot {dispatch.replica}/{dispatch.slot} is not on its list"
        if ended := self._may_not(dispatch):
            return ended
        routed = [routing for routing in self._routed if routing.first <= position]
        at_home = routed and routed[-1].homes.get(dispatch.replica, 0) & bit
        return "" if at_home else f"{dispatch.replica}/{dispatch.slot} is not its home"

    def _may_not(self, dispatch: Dispatch) -> str:
        """Why it may start nothing at all; empty under a lease, and isolated within bounds."""
        if dispatch.at <= self._ends_at:
            return ""
        isolated_s = self._isolated_s.get(dispatch.deployment)
        if isolated_s is None:
            return f"its lease ended at {self._ends_at:.3f}"
        # Clocks of 5 % difference; the bound itself is the holder's to keep.
        is_over = dispatch.at > self._ends_at + isolated_s * 1.05
        return f"isolated since {self._ends_at:.3f}" if is_over else ""

    def _is_limited(self, dispatch: Dispatch, position: int) -> str:
        """Why it may start nothing without a slot; empty where its routing knows of no limit.

        Between the right and the dispatch lies a turn of the loop, in which there may be another
        routing or a word of the coordinator: what was so at any time of that instant counts.
        """
        least = max((index for at, index in self._welcomes if at < dispatch.at), default=0)
        routed = [routing for routing in self._routed if routing.first <= position]
        until = [routing.at for routing in routed[1:]]
        valid = [
            r for r, at in zip(routed, [*until, dispatch.at], strict=True) if at >= dispatch.at
        ]
        if not any(dispatch.deployment in routing.unlimited for routing in valid):
            return "it has no slot, and there is a limit by its routing"
        newest = max(routing.version for routing in valid)
        return "" if newest >= least else f"its routing is of {newest}, and must be of {least}"

    def _take(self, said: Said) -> None:
        if said.session != self._session:
            self._session, self._sent = said.session, 0
            self._returns.clear()
            for replica, mask in self._granted.items():
                self._slots[replica] |= mask
            self._granted.clear()
        match said.message:
            case m.Welcome(index=index):
                self._welcomes.append((said.at, index))
            case m.Lease(seen=seen, slots=slots):
                if said.at > self._delisted_at:
                    self._delisted_at = said.at
                    self._delisted.clear()
                for replica, mask in self._slots.items():
                    self._delisted[replica] |= mask
                self._slots = defaultdict(int, unpack_all(slots))
                self._returns = [(n, given) for n, given in self._returns if n > seen]
                for _, given in self._returns:
                    self._remove(given)
                self._ends_at = said.lease_ends_at
            case m.Grant(number=number, replica=replica, slot=slot):
                (self._granted if number else self._slots)[replica] |= 1 << slot
            case m.Return(slots=slots):
                self._sent += 1
                given = unpack_all(slots)
                self._returns.append((self._sent, given))
                self._remove(given)
            case m.Hello() | m.Renew() | m.Acquire() | m.Cancel() | m.Stock() | m.Failed():
                self._sent += 1
            case m.Goodbye():
                self._sent += 1
                self._slots.clear()
                self._ends_at = float("-inf")

    def _remove(self, given: dict[str, int]) -> None:
        for replica, mask in given.items():
            self._slots[replica] &= ~mask
            self._delisted[replica] &= ~mask
            self._granted[replica] &= ~mask
