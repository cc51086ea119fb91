"""What must hold in every history. Pure: a history in, complaints out; numbers as in the design.

I3 epochs rise, one take-over each · I4 one member that may act · I6 one log, acked is applied,
nothing twice · I7 one leader per term · I8 a coordinator soon after healing · and linearizability,
which the log index of every answer makes cheap to check.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from chaos.sim.history import History

__all__ = ["CHECKERS", "check"]

#: Issue goal: after healing a coordinator within 2 s. The rest is for everybody to catch up.
RECOVERY_S: Final = 2.0


def one_leader_per_term(history: History) -> Iterator[str]:
    """I7."""
    leaders: defaultdict[int, set[str]] = defaultdict(set)
    for term, name in history.leaders:
        leaders[term].add(name)
    for term, names in sorted(leaders.items()):
        if len(names) > 1:
            yield f"term {term} has leaders {sorted(names)}"


def epochs_rise(history: History) -> Iterator[str]:
    """I3: every life sees them rise, and all agree on whose each one is."""
    owners: dict[int, object] = {}
    for life, offices in history.offices.items():
        for (earlier, _), (later, _) in pairwise(offices):
            if later <= earlier:
                yield f"{life} saw epoch {later} after {earlier}"
        for epoch, owner in offices:
            if owners.setdefault(epoch, owner) != owner:
                yield f"epoch {epoch} belongs to {owners[epoch]} and to {owner}"


def one_log(history: History) -> Iterator[str]:
    """I6: the same command at the same index everywhere, indexes rising in each life."""
    log: dict[int, bytes] = {}
    for life, applied in history.applied.items():
        for (earlier, _), (later, _) in pairwise(applied):
            if later <= earlier:
                yield f"{life} applied index {later} after {earlier}"
        for index, command in applied:
            if log.setdefault(index, command) != command:
                yield f"index {index} is {log[index]!r} and, for {life}, {command!r}"


def nothing_twice(history: History) -> Iterator[str]:
    """I6: a command takes effect once, in every life and inside every snapshot."""
    indexes: dict[bytes, int] = {}
    for life, applied in history.applied.items():
        for index, command in applied:
            if indexes.setdefault(command, index) != index:
                yield f"{command!r} at index {indexes[command]} and, for {life}, at {index}"
    for life, snapshots in history.restored.items():
        for commands in snapshots:
            if len(set(commands)) != len(commands):
                yield f"{life} restored a snapshot that holds a command twice"


def acknowledged_is_applied(history: History) -> Iterator[str]:
    """I6: who was told "applied" finds it in the log, where and with the answer it was told."""
    log = _log(history)
    places = {index: place for place, index in enumerate(sorted(log), start=1)}
    for call in history.calls:
        if call.outcome != "applied":
            continue
        if log.get(call.index) != call.command:
            yield f"{call.command!r} was acknowledged at {call.index}: {log.get(call.index)!r}"
        elif call.result != b"%d" % places[call.index]:
            yield f"{call.command!r} was answered {call.result!r}, replay {places[call.index]}"


def refused_is_not_applied(history: History) -> Iterator[str]:
    """Who was told "in no log" may propose it again as a new command."""
    applied = set(_log(history).values())
    for call in history.calls:
        if call.outcome == "refused" and call.command in applied:
            yield f"{call.command!r} was refused and applied"


def linearizable(history: History) -> Iterator[str]:
    """A call that began after another one's answer stands behind it in the log."""
    answered = [
        (call.ended_at, call)
        for call in history.calls
        if call.outcome == "applied" and call.ended_at is not None
    ]
    answered.sort(key=lambda pair: pair[0])
    calls = sorted((call for _, call in answered), key=lambda call: call.began_at)
    newest, position = 0, 0
    for call in calls:
        while position < len(answered) and answered[position][0] < call.began_at:
            newest = max(newest, answered[position][1].index)
            position += 1
        if call.index <= newest:
            yield f"{call.command!r} at {call.index} began after an answer at {newest}"


def one_authority(history: History) -> Iterator[str]:
    """I4: at no instant would two members both say that they may act."""
    spans = sorted(history.authority, key=lambda span: span.begins_at)
    newest = None
    for span in spans:
        if newest is not None and newest.holder != span.holder and span.begins_at < newest.ends_at:
            yield (
                f"{newest.holder} until {newest.ends_at:.6f} (epoch {newest.epoch}) and "
                f"{span.holder} from {span.begins_at:.6f} (epoch {span.epoch})"
            )
        if newest is None or span.ends_at > newest.ends_at:
            newest = span


def acts_rise(history: History) -> Iterator[str]:
    """I4: nobody acts under an epoch once a later epoch has acted."""
    for earlier, later in pairwise(sorted(history.acts, key=lambda act: act.at)):
        if later.epoch < earlier.epoch:
            yield f"{later} after {earlier}"


def recovers(history: History) -> Iterator[str]:
    """I8."""
    if history.recovered_at is None:
        yield "never recovered after healing"
    elif history.recovered_at - history.healed_at > RECOVERY_S:
        took = history.recovered_at - history.healed_at
        yield f"recovered {took:.2f} s after healing, {RECOVERY_S:g} allowed"


def nobody_crashed(history: History) -> Iterator[str]:
    """Only the faults end a member."""
    yield from history.crashes


CHECKERS: Final[tuple[Callable[[History], Iterator[str]], ...]] = (
    nobody_crashed,
    one_leader_per_term,
    epochs_rise,
    one_log,
    nothing_twice,
    acknowledged_is_applied,
    refused_is_not_applied,
    linearizable,
    one_authority,
    acts_rise,
    recovers,
)


def check(history: History) -> list[str]:
    """Every complaint about a history, each with the name of the rule."""
    return [f"{rule.__name__}: {complaint}" for rule in CHECKERS for complaint in rule(history)]


def _log(history: History) -> dict[int, bytes]:
    """Every command that any life applied, by index."""
    return {index: command for applied in history.applied.values() for index, command in applied}
