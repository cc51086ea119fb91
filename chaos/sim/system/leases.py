"""What a holder was entitled to at a moment, from nothing but what was said on its slot links."""

from collections import defaultdict

from chaos.sim.system.history import Dispatch, HolderLife, Said, SystemHistory
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import unpack_all

__all__ = ["Rights"]


class Rights:
    """Replays the slot links of one holder's life; ask in the order of time.

    A lease entitles to the slots of its list that were not given back since, and to those granted
    after it. A slot that was given back and whose return the list had not seen is not in it
    (decision 24).
    """

    def __init__(self, history: SystemHistory, life: HolderLife) -> None:
        self._said = iter(history.said.get(life, ()))
        self._next: Said | None = next(self._said, None)
        self._routed = history.routed.get(life, [])
        self._isolated_s = history.isolated_s
        self._slots: defaultdict[str, int] = defaultdict(int)
        self._ends_at = float("-inf")
        self._session = 0
        self._sent = 0
        self._returns: list[tuple[int, dict[str, int]]] = []

    def missing(self, dispatch: Dispatch) -> str:
        """Why the holder was not entitled to a dispatch; empty when it was."""
        while self._next is not None and self._next.at <= dispatch.at:
            self._take(self._next)
            self._next = next(self._said, None)
        bit = 1 << dispatch.slot
        if dispatch.at <= self._ends_at:
            is_held = bool(self._slots[dispatch.replica] & bit)
            return "" if is_held else f"slot {dispatch.replica}/{dispatch.slot} is not on its list"
        isolated_s = self._isolated_s.get(dispatch.deployment)
        if isolated_s is None:
            return f"its lease ended at {self._ends_at:.3f}"
        # Clocks of 5 % difference; the bound itself is the holder's to keep.
        if dispatch.at > self._ends_at + isolated_s * 1.05:
            return f"isolated since {self._ends_at:.3f}"
        homes = [homes for at, homes in self._routed if at <= dispatch.at]
        at_home = any(homes[-1].get(dispatch.replica, 0) & bit for homes in [homes] if homes)
        return "" if at_home else f"{dispatch.replica}/{dispatch.slot} is not its home"

    def _take(self, said: Said) -> None:
        if said.session != self._session:
            self._session, self._sent = said.session, 0
            self._returns.clear()
        match said.message:
            case m.Lease(seen=seen, slots=slots):
                self._slots = defaultdict(int, unpack_all(slots))
                self._returns = [(n, given) for n, given in self._returns if n > seen]
                for _, given in self._returns:
                    self._remove(given)
                self._ends_at = said.lease_ends_at
            case m.Grant(replica=replica, slot=slot):
                self._slots[replica] |= 1 << slot
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
