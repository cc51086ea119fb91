"""Why a run may prove nothing although it breaks no rule. Pure: a history in, reasons out.

A checker that is given nothing to look at has nothing to complain about. Whatever a rule needs to
be able to fail is asked for here: load, faults, somebody who says who coordinates, processes that
are counted, requests that wait.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from chaos.history import Census, History
from chaos.judging.excuses import was_disturbed
from chaos.judging.gaps import undisturbed_office_gaps
from chaos.judging.levels import Levels
from chaos.judging.slopes import growths

__all__ = ["invalidity"]

#: The world that looks at its end itself, with rules of its own.
_SIMULATED: Final = "simulated"

#: What a front-end consists of, as a census names it.
_ROLES: Final = frozenset({"supervisor", "worker"})

#: In no stretch of so many seconds may less than half of the load that counts have been offered:
#: crowds would make up, in the mean, for faults that nobody's requests met.
_STRETCH_S: Final = 10.0

#: More doubt about how many descriptors a process opens in an hour hides what it leaks.
_DOUBT_MAX: Final = 15.0

#: So many requests must have waited undisturbed for their order to mean anything.
_WAITERS_MIN: Final = 20


def invalidity(history: History, levels: Levels) -> list[str]:
    """Why a run proves nothing; empty when it does prove what its scenario claims."""
    if history.broken_off:
        return [history.broken_off]
    reasons = [*_too_few_requests(history, levels)]
    if history.starved_share > levels.starved_share_max:
        reasons.append(f"the machine was too busy for {history.starved_share:.0%} of the time")
    reasons += _too_few_kinds(history, levels)
    reasons += _nobody_felt(history)
    reasons += _nobody_looked(history)
    reasons += _not_grown_old(history, levels)
    reasons += _nobody_waited(history, levels)
    reasons += _no_vacancy(history, levels)
    return reasons


def _too_few_requests(history: History, levels: Levels) -> Iterator[str]:
    rate, offered = history.rate, len(history.requests)
    if rate < levels.rate_min:
        yield f"{rate:.0f} requests/s were offered, at least {levels.rate_min:g} count"
    elif (least := _least_rate(history)) < levels.rate_min / 2:
        yield f"for {_STRETCH_S:.0f} s only {least:.0f} requests/s were offered"
    if offered < levels.requests_min:
        yield f"{offered} requests were offered, at least {levels.requests_min} count"
    if history.busy_share < levels.busy_share_min:
        owed = f"at least {levels.busy_share_min:.0%} count"
        yield f"requests ran in {history.busy_share:.0%} of the slots' time, {owed}"


def _least_rate(history: History) -> float:
    """Requests per second in the stretch that had fewest; of the whole when that is shorter."""
    stretches = int(history.duration_s / _STRETCH_S)
    if not stretches:
        return history.rate
    sent = Counter(int((r.sent_at - history.began_at) // _STRETCH_S) for r in history.requests)
    return min(sent[stretch] for stretch in range(stretches)) / _STRETCH_S


def _too_few_kinds(history: History, levels: Levels) -> Iterator[str]:
    kinds = {span.kind for span in history.spans if span.is_felt}
    if len(kinds) < levels.kinds_min:
        yield f"{len(kinds)} kinds of fault ran, at least {levels.kinds_min} count"


def _nobody_felt(history: History) -> Iterator[str]:
    """A kind that the run names as one it has withstood, and that has done nothing each time."""
    felt = {span.kind for span in history.spans if span.is_felt}
    unfelt = Counter(span.kind for span in history.spans if not span.failure)
    for kind in sorted(unfelt.keys() - felt):
        yield f"nobody felt {kind}, {unfelt[kind]} times: as if it had not been done"


def _nobody_looked(history: History) -> Iterator[str]:
    if history.final is None and history.world != _SIMULATED:
        yield "nobody asked the system how it was at the end (I6)"
    if not history.offices:
        yield "nobody ever said who coordinated"
    for when, census in (("before", history.before), ("after", history.after)):
        if census is not None:
            yield from _uncounted(when, census)


def _uncounted(when: str, census: Census) -> Iterator[str]:
    for role in sorted(_ROLES - census.processes.keys()):
        yield f"no {role} was found {when} the load (I7)"
    for role, count in sorted(census.tasks.items()):
        if not count:
            yield f"nobody counted the tasks of {role}s {when} the load (I7)"


def _not_grown_old(history: History, levels: Levels) -> Iterator[str]:
    """Slopes are owed, and some role has no process that was watched for long enough."""
    if levels.memory_slope_max is None and levels.descriptors_slope_max is None:
        return
    judged = [growth for growth in growths(history) if growth.is_judged]
    for role in sorted(_ROLES - {growth.process.split()[0] for growth in judged}):
        yield f"no {role} was watched for long enough to tell whether it grows: run for longer"
    if levels.descriptors_slope_max is None:
        return
    for growth in judged:
        doubt = growth.descriptors.doubt_per_h
        if doubt > _DOUBT_MAX:
            what = f"{growth.process}'s descriptors go up and down"
            yield f"{what}, which leaves ± {doubt:.0f}/h in doubt: run for longer"


def _nobody_waited(history: History, levels: Levels) -> Iterator[str]:
    """An order is owed, and there was none to be seen."""
    bound_s = levels.overtaking_max_s
    if bound_s is None:
        return
    begun = {execution.number: execution.begun_at for execution in history.executions}
    waiters = sum(
        begun[request.number] - request.sent_at > bound_s
        and not was_disturbed(history, request.sent_at, begun[request.number])
        for request in history.requests
        if request.number in begun
    )
    if waiters < _WAITERS_MIN:
        yield f"{waiters} requests had to wait, at least {_WAITERS_MIN} show an order: offer more"


def _no_vacancy(history: History, levels: Levels) -> Iterator[str]:
    """A successor is owed in time, and nobody saw one come on a machine that had time for it."""
    if levels.office_gap_p99_max_s is not None and not undisturbed_office_gaps(history):
        yield "of no lost coordinator it is known when its successor's office began"
