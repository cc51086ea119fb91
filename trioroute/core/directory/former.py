"""What may still run or begin as a deployment allowed it before it was changed.

Or as a replica did before it was cordoned (`cordons`), where requests have no slots.

A holder that routes by a log as new as the change begins nothing of it any more. So each of them is
waited for until it has said so, or is known to have ended, or is fenced; then for as long as the
longest request of before takes. Requests that were started without a slot count meanwhile: as many
as their holders say run, and as long as somebody has not said, as more than any limit.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import attrs

from trioroute.core.directory.book import NEVER
from trioroute.core.directory.holders import HolderRecord
from trioroute.core.resources.state import Former

__all__ = ["MANY", "FormerUse"]

#: More than any replica has slots.
MANY: Final = 1 << 40


@attrs.define(eq=False)
class FormerUse:
    """Of one deployment in one epoch; settled when nothing of it is left.

    Attributes:
        former: what the log says of it.
        untold: holders that may route by an older log.
        left: holders that have ended: until when requests without a slot of theirs may run.
        running: how many each holder says run on each replica, and until when that may be so.
        ended: likewise of those that have told and ended since: they had begun no more.
        settled_at: when all of it is over; `NEVER` while somebody is waited for.
    """

    former: Former
    untold: set[str] = attrs.field(factory=set)
    left: dict[str, float] = attrs.field(factory=dict)
    running: dict[str, tuple[Mapping[str, int], float]] = attrs.field(factory=dict)
    ended: list[tuple[str, Mapping[str, int], float]] = attrs.field(factory=list)
    settled_at: float = NEVER

    @classmethod
    def begin(
        cls, former: Former, holders: Mapping[HolderRecord, float], now: float, request_s: float
    ) -> "FormerUse":
        """A coordinator finds it in the log; all that it knows of holders counts.

        Args:
            holders: each, and when its earlier incarnations had ended.
        """
        use = cls(former)
        for holder, died_by in holders.items():
            use.untold.add(holder.name)
            if holder.goodbye_at is not None:
                use.leave(holder.name, holder.unnumbered_until, now, request_s)
                continue
            if holder.incarnation >= 0:
                use.succeed(holder.name, died_by, now, request_s)
                if holder.reported:
                    use.hear(holder, now, request_s)
        use.look(now, request_s)
        return use

    def hear(self, holder: HolderRecord, now: float, request_s: float) -> None:
        """What a holder has just said of its routing and of what it runs without a slot."""
        if holder.name in self.untold:
            if holder.routing_version < self.former.index:
                return
            self.untold.discard(holder.name)
            if holder.unnumbered is None:  # an earlier version, which does not tell
                self.left[holder.name] = max(now + request_s, self.left.get(holder.name, 0.0))
        if holder.unnumbered:
            self.running[holder.name] = (holder.unnumbered, now + request_s)
        else:
            self.running.pop(holder.name, None)
        self.look(now, request_s)

    def succeed(self, name: str, died_by: float, now: float, request_s: float) -> None:
        """Another incarnation speaks: what earlier ones had begun is over in time."""
        self._end(name, died_by + request_s, now)

    def leave(self, name: str, until: float, now: float, request_s: float) -> None:
        """It begins nothing any more; what it began without a slot may run for so long."""
        self._end(name, until, now)
        self.untold.discard(name)
        self.look(now, request_s)

    def _end(self, name: str, until: float, now: float) -> None:
        """Who has told had begun no more than that; of the others nobody knows how many run."""
        if name not in self.untold:
            if (told := self.running.pop(name, None)) is not None:
                self.ended.append((name, told[0], min(told[1], until)))
        elif until > now:
            self.left[name] = max(until, self.left.get(name, 0.0))

    def look(self, now: float, request_s: float) -> None:
        """When the last one has told, what it had begun is over after the longest request."""
        if not self.untold and self.settled_at == NEVER:
            self.settled_at = now + request_s

    def may_run(self, holder: str, now: float) -> bool:
        """Whether requests without a slot of a holder that has ended may run."""
        told = any(name == holder and until > now for name, _, until in self.ended)
        return told or self.left.get(holder, 0.0) > now

    def may_run_on(self, replica: str, now: float) -> bool:
        """Whether any such request may run on a replica on which none begins any more."""
        if self.untold or any(until > now for until in self.left.values()):
            return True
        told = [*self.running.values(), *((counts, until) for _, counts, until in self.ended)]
        return any(counts.get(replica) and until > now for counts, until in told)

    def unnumbered(self, now: float) -> Mapping[str, int] | None:
        """How many requests may run on each replica that have no slot; None for `MANY` on all."""
        if not self.former.unlimited or now >= self.settled_at:
            return {}
        if self.untold or any(until > now for until in self.left.values()):
            return None
        self.ended = [each for each in self.ended if each[2] > now]
        numbers: Counter[str] = Counter()
        for counts, until in self.running.values():
            if until > now:
                numbers.update(counts)
        for _, counts, _ in self.ended:
            numbers.update(counts)
        return numbers
