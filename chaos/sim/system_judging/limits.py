"""I1: no replica runs more than its limit, also while the limit changes; counted at the replicas.

*Which limit binds a request when it begins?* Not the log's of that moment: a holder that has not
heard of a lower one starts what it has (S22), one that has not heard of any starts without a slot
(S52), and what ran before may end. Not the one that its holder goes by either: a product that
never told anybody would be right. Judged is what the design says: the lower limit binds what is
started after it took effect, and that is known from the messages, in two ways.

* *For everybody*, as soon as any holder has been told of a slot of the replica by a coordinator
  whose log has the new limit. It gives none, and leaves none on a list, before all that holders
  have or may have fits (D29), so from then on everything does, whoever starts it and without
  whatever knowledge.
* *For a holder*, as soon as it hears anything from such a coordinator: the list that takes its
  idle slots away was said before, in the same session. What it starts later it was given later.
  A new session's first words come before its first list, so they do not count. Nor does a
  request without a slot, whose holder goes by its routing (`rights`), and is waited for.

Whatever runs counts, by whatever right it began. A higher limit holds from the moment at which any
member has applied it. A looser reading would be to count what began under the new limit only; a
stricter one, that nothing begins above it once it is in the log, no protocol keeps whose messages
take time.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate

from chaos.sim.system.history import Run, Said, SystemHistory
from trioroute.core.holding.held import NO_SLOT
from trioroute.core.slots import messages as m

__all__ = ["limits_are_as_wished", "limits_hold"]


def limits_hold(history: SystemHistory) -> Iterator[str]:
    """I1, counted by the replicas; see above for which limit it is."""
    told = _Told(history)
    by_replica: defaultdict[str, list[Run]] = defaultdict(list)
    for run in history.runs:
        by_replica[run.replica].append(run)
    for replica, runs in by_replica.items():
        # At the same moment an end comes before a beginning.
        events = [(run.began_at, 1, run) for run in runs]
        events += [(run.ended_at, 0, run) for run in runs if run.ended_at is not None]
        running: list[Run] = []
        for at, begins, run in sorted(events, key=lambda event: event[:2]):
            if not begins:
                running.remove(run)
                continue
            running.append(run)
            limit = history.limits.highest(replica, told.binding(run), at)
            if len(running) > limit:
                requests = [r.request for r in running]
                yield f"{replica} runs {requests} at {at:.3f}, and may {limit:g}"
            if run.slot != NO_SLOT and sum(other.slot == run.slot for other in running) > 1:
                yield f"{replica} has slot {run.slot} in use twice at {at:.3f}"


def limits_are_as_wished(history: SystemHistory) -> Iterator[str]:
    """When nothing is hurt, the last wish is in force."""
    for replica, slots in history.wished.items():
        limit = history.limits.last(replica, history.saturated.begins_at)
        if limit != slots:
            yield f"{replica} may run {limit:g} in the end, and {slots} are wished for"


class _Told:
    """From which log entry on limits bind, by what holders had been told."""

    def __init__(self, history: SystemHistory) -> None:
        self._heard = {life: _Rising(_heard(said)) for life, said in history.said.items()}
        given: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for said in history.said.values():
            for each in said:
                for replica in _given(each):
                    given[replica].append((each.at, each.index))
        self._given = {replica: _Rising(told) for replica, told in given.items()}

    def binding(self, run: Run) -> int:
        """The log entry from which on the limits bind this request's beginning."""
        given, heard = self._given.get(run.replica), self._heard.get(run.dispatch.life)
        index = given.by(run.began_at) if given else 0
        if run.slot == NO_SLOT or heard is None:
            return index
        # What is heard in the instant of the dispatch may have come after the decision.
        return max(index, heard.before(run.dispatch.at))


class _Rising:
    """The highest of the numbers up to a time."""

    def __init__(self, told: list[tuple[float, int]]) -> None:
        told.sort()
        self._times = [at for at, _ in told]
        self._highest = [0, *accumulate((index for _, index in told), max)]

    def by(self, at: float) -> int:
        """Of those up to that time."""
        return self._highest[bisect_right(self._times, at)]

    def before(self, at: float) -> int:
        """Of those before it."""
        return self._highest[bisect_left(self._times, at)]


def _given(said: Said) -> Iterator[str]:
    """The replicas of which a message gives slots, or says that they may be kept."""
    match said.message:
        case m.Grant(replica=replica):
            yield replica
        case m.Lease(slots=slots):
            yield from (replica for replica, mask in slots.items() if any(mask))


def _heard(said: list[Said]) -> list[tuple[float, int]]:
    """When one holder heard from a coordinator, and of which entry that one knew."""
    heard, listed = [], 0
    for each in said:
        if isinstance(each.message, m.Lease):
            listed = each.session
        if each.index and listed == each.session:
            heard.append((each.at, each.index))
    return heard
