"""What must hold in every history, I1 … I7. Pure: a history in, violations out.

Checkers read histories, never averages: each violation names the request, the replica or the
process that it is about.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from chaos.faults import kind_named
from chaos.history import Census, History, Outcome, Request, Span
from chaos.judging.elections import elections_are_few, successor_comes
from chaos.judging.excuses import Excuses, is_late, is_severed, overlaps, was_disturbed
from chaos.judging.gaps import quantile, undisturbed_office_gaps
from chaos.judging.levels import Levels
from chaos.judging.slopes import growths

__all__ = ["CHECKERS", "Violation", "check"]

#: I3: the first execution and two retries.
_EXECUTIONS_MAX: Final = 3

#: The role that keeps connections to replicas.
_POOLING: Final = "worker"

#: With these the router says that it never sent the request to a replica.
_NEVER_SENT: Final = frozenset(
    {"queue-timeout", "queue-full", "draining", "no-replica", "no-route"}
)


@attrs.frozen(kw_only=True)
class Violation:
    """One broken rule. `at` is seconds after the load began, where it has a time."""

    rule: str
    text: str
    at: float | None = None


_Complaints = Iterator[tuple[str, float | None]]


def one_outcome(history: History, _: Levels) -> _Complaints:
    """I1: every accepted request ends, in time, once.

    A fault excuses as much lateness as it lasted while the request was under way: one that was
    late already when the fault began, or long after it was over, was late for another reason.
    """
    excuses = Excuses(history)
    numbers: set[int] = set()
    for request in history.requests:
        if request.number in numbers:
            yield f"{_name(request)} has two outcomes", request.sent_at
        numbers.add(request.number)
        if request.outcome is Outcome.RUNNING:
            yield f"{_name(request)} has no outcome", request.sent_at
        elif is_late(request, by_s=excuses.delayed_s(request)):
            took_s = (request.ended_at or 0.0) - request.sent_at
            text = f"{_name(request)} took {took_s:.2f} s, its deadline is {request.deadline_s:g} s"
            yield text, request.sent_at


def own_answer(history: History, _: Levels) -> _Complaints:
    """I2: a 2xx answer carries its own request's nonce, whole."""
    for request in history.requests:
        if request.is_ok and request.is_own is not True:
            yield f"{_name(request)} got another answer: {request.detail}", request.ended_at


def executed_at_most(history: History, _: Levels) -> _Complaints:
    """I3: no request runs twice unless it may be repeated; refused ones do not run at all."""
    if not history.has_executions:
        return
    counts: defaultdict[int, int] = defaultdict(int)
    for execution in history.executions:
        counts[execution.number] += 1
    for number in sorted(counts.keys() - {request.number for request in history.requests}):
        yield f"#{number} ran, and nobody sent it", None
    for request in history.requests:
        count = counts[request.number]
        most = _EXECUTIONS_MAX if request.is_retryable else 1
        if count > most:
            yield f"{_name(request)} ran {count} times, at most {most}", request.sent_at
        if request.is_ok and not count:
            yield f"{_name(request)} was answered and never ran", request.ended_at
        if request.reason in _NEVER_SENT and count and not request.is_retryable:
            yield f"{_name(request)} was refused ({request.reason}) and ran", request.ended_at
        if request.outcome is Outcome.REFUSED and count:
            yield f"{_name(request)} must not be taken, and ran", request.ended_at


def within_limits(history: History, _: Levels) -> _Complaints:
    """I4: a replica never works on more requests than it has slots.

    Executions are counted, not requests: one that is repeated beside itself takes two slots.
    """
    events: defaultdict[tuple[str, str], list[tuple[float, int, int]]] = defaultdict(list)
    for position, execution in enumerate(history.executions):
        of_replica = events[execution.replica, execution.life]
        of_replica.append((execution.begun_at, 1, position))
        if execution.ended_at is not None:
            of_replica.append((execution.ended_at, -1, position))
    for (replica, life), of_replica in events.items():
        limit = history.slots[replica]
        running: set[int] = set()
        # At the same instant an end counts before a begin.
        for at, step, position in sorted(of_replica):
            if step < 0:
                running.discard(position)
                continue
            running.add(position)
            if len(running) > limit and not is_severed(history, life, at):
                numbers = sorted(history.executions[each].number for each in running)
                ids = ", ".join(f"#{number}" for number in numbers)
                yield f"{replica} works on {len(running)} requests, limit {limit}: {ids}", at


def allowed_failures(history: History, levels: Levels) -> _Complaints:
    """I5: whatever failed, failed for a reason that a fault of that moment allows."""
    excuses, unexcused = Excuses(history), 0
    for request in history.requests:
        if request.is_ok or not request.wants_answer or request.outcome is Outcome.RUNNING:
            continue
        if request.outcome is Outcome.ANSWERED and not request.reason and request.status >= 400:
            yield f"{_name(request)} got {request.status} without a reason", request.ended_at
        elif not excuses.allow(request):
            unexcused += 1
            yield f"{_name(request)} failed: {_how(request)}", request.ended_at
    failed = sum(r.wants_answer and not r.is_ok for r in _ended(history))
    if levels.failed_max is not None and failed - unexcused > levels.failed_max:
        yield f"{failed} requests failed, at most {levels.failed_max}", None
    if history.starved_share > levels.starved_share_max:
        return  # it proves nothing anyway, and a share says nothing of whose doing it was
    total = sum(request.wants_answer for request in history.requests)
    if total and (total - failed) / total < levels.ok_share_min:
        share = (total - failed) / total
        yield f"{share:.4%} of {total} requests were answered, {levels.ok_share_min:.2%} owed", None


def recovers(history: History, levels: Levels) -> _Complaints:
    """I6: after every fault all is ready again, and at the end nothing is left over."""
    for span in history.spans:
        if span.failure:
            yield f"{span.kind} on {span.target}: {span.failure}", span.injected_at
        elif span.healed_at is None or span.recovered_at is None:
            yield f"{span.kind} on {span.target}: never recovered", span.injected_at
        else:
            took_s = span.recovered_at - span.healed_at
            most_s = _recovery_max_s(history, levels, span)
            if took_s > most_s:
                text = f"{span.kind} on {span.target}: recovered after {took_s:.1f} s"
                yield f"{text}, at most {most_s:g}", span.injected_at
    final = history.final
    if final is None:
        return
    for words, value in (("requests run", final.busy), ("requests wait", final.queued)):
        if value:
            yield f"without load {value} {words}", None
    for name in final.unready:
        yield f"{name} is not ready at the end", None
    if final.replicas_ready != final.replicas_wished:
        yield f"{final.replicas_ready} of {final.replicas_wished} replicas are ready", None
    for text in final.probes_failed:
        yield f"after healing a request failed: {text}", None


def _recovery_max_s(history: History, levels: Levels, span: Span) -> float:
    """Until when all must be whole again after this fault."""
    recovered_at = span.recovered_at or float("inf")
    is_starved = any(
        begins <= recovered_at and ends >= span.injected_at for begins, ends in history.starved
    )
    is_lenient = is_starved or not levels.has_goals
    return levels.recover_max_s if is_lenient else kind_named(span.kind).recover_s


def nothing_leaks(history: History, levels: Levels) -> _Complaints:
    """I7: idle again, no process holds more than before."""
    for stray in history.strays:
        yield f"outlived the run: {stray}", None
    before, after = history.before, history.after
    if before is None or after is None:
        return
    for role in sorted(before.processes.keys() | after.processes.keys()):
        was, count = before.processes.get(role, 0), after.processes.get(role, 0)
        if count != was:
            yield f"{count} processes are {role}s, were {was}", None
    yield from _growths(before, after, levels, sum(history.slots.values()))
    if history.starved_share <= levels.starved_share_max:
        yield from _memory_growths(before, after, levels)


def _growths(before: Census, after: Census, levels: Levels, pooled_max: int) -> _Complaints:
    for role, count in after.descriptors.items():
        pooled = pooled_max if role == _POOLING else 0
        allowed = before.descriptors.get(role, 0) + levels.descriptors_growth + pooled
        if count > allowed:
            yield f"a {role} holds {count} descriptors, {allowed} allowed", None
    for role, count in after.tasks.items():
        allowed = before.tasks.get(role, 0) + levels.tasks_growth
        if count > allowed:
            yield f"a {role} has {count} tasks, {allowed} allowed", None


def _memory_growths(before: Census, after: Census, levels: Levels) -> _Complaints:
    for role, held in after.memory_bytes.items():
        allowed = round(before.memory_bytes.get(role, 0) * (1 + levels.memory_growth))
        if held > allowed:
            yield f"a {role} holds {held >> 10} KiB, {allowed >> 10} allowed", None


def nothing_grows(history: History, levels: Levels) -> _Complaints:
    """I7 over hours: no process grows steadily after its warm-up."""
    for growth in growths(history):
        memory, descriptors = growth.memory_bytes.per_h, growth.descriptors.surely_per_h
        if not growth.is_judged:
            continue
        if levels.memory_slope_max is not None and memory > levels.memory_slope_max:
            yield f"{growth.process} grows by {memory / (1 << 20):.1f} MiB/h", None
        most = levels.descriptors_slope_max
        if most is not None and descriptors > most:
            yield f"{growth.process} opens at least {descriptors:.1f} descriptors/h", None


def epochs_rise(history: History, _: Levels) -> _Complaints:
    """No front-end tells of an older epoch after a newer one, and all agree whose each is."""
    owners: dict[int, str] = {}
    newest: dict[str, int] = {}
    for office in history.offices:
        owner = owners.setdefault(office.epoch, office.name)
        if owner != office.name:
            yield f"epoch {office.epoch} belongs to {owner} and to {office.name}", office.at
        before = newest.get(office.reporter, 0)
        if office.epoch < before:
            text = f"{office.reporter} tells of epoch {office.epoch} after {before}"
            yield text, office.at
        newest[office.reporter] = max(before, office.epoch)


def office_is_taken_over(history: History, levels: Levels) -> _Complaints:
    """A lost coordinator has a successor in time, where a scenario owes that."""
    most_s = levels.office_gap_p99_max_s
    gaps = undisturbed_office_gaps(history)
    gap_s = quantile(gaps, 0.99)
    if most_s is not None and gap_s > most_s:
        text = f"nobody coordinated for {gap_s:.2f} s (p99 of {len(gaps)} losses)"
        yield f"{text}, at most {most_s:g}", None


def nobody_dies(history: History, _: Levels) -> _Complaints:
    """A front-end ends by itself only when a fault leaves it no choice, never by a bug."""
    for death in history.deaths:
        spans = [span for span in history.spans if overlaps(span, death.at, death.at)]
        if not any(kind_named(s.kind).may_end and death.name in s.front_ends for s in spans):
            yield f"{death.name} ended by itself with status {death.status}", death.at


def speaks_in_words(history: History, _: Levels) -> _Complaints:
    """Whatever ends a front-end, its log says why in a sentence, not in a traceback."""
    for text in history.tracebacks:
        yield f"a traceback in {text}", None


def no_secrets(history: History, _: Levels) -> _Complaints:
    """Keys appear in no log, and nowhere in what front-ends tell of themselves."""
    for place in history.secrets:
        yield f"a key stands in {place}", None


def in_order(history: History, levels: Levels) -> _Complaints:
    """First come, first served, where a scenario's load can show it."""
    bound_s = levels.overtaking_max_s
    if bound_s is None:
        return
    begun = {execution.number: execution.begun_at for execution in history.executions}
    served = sorted(
        (request for request in history.requests if request.number in begun),
        key=lambda request: request.sent_at,
    )
    # From the youngest on: whoever began last among the older ones is compared with the first.
    earliest_after: list[float] = [float("inf")] * (len(served) + 1)
    for position in range(len(served) - 1, -1, -1):
        began_at = begun[served[position].number]
        earliest_after[position] = min(earliest_after[position + 1], began_at)
    younger = 0
    for request in served:
        while younger < len(served) and served[younger].sent_at <= request.sent_at + bound_s:
            younger += 1
        late_s = begun[request.number] - earliest_after[younger]
        if late_s > bound_s:
            text = f"{_name(request)} was overtaken by {late_s:.2f} s"
            if not was_disturbed(history, request.sent_at, begun[request.number]):
                yield text, request.sent_at


def world_agrees(history: History, _: Levels) -> _Complaints:
    """What a world found that judges itself."""
    for complaint in history.complaints:
        yield complaint, None


Checker = Callable[[History, Levels], _Complaints]

CHECKERS: Final[tuple[Checker, ...]] = (
    one_outcome,
    own_answer,
    executed_at_most,
    within_limits,
    allowed_failures,
    recovers,
    nothing_leaks,
    nothing_grows,
    epochs_rise,
    office_is_taken_over,
    successor_comes,
    elections_are_few,
    nobody_dies,
    speaks_in_words,
    no_secrets,
    in_order,
    world_agrees,
)


def check(history: History, levels: Levels) -> list[Violation]:
    """Every violation in a history, in the order of the rules."""
    return [
        Violation(
            rule=rule.__name__,
            text=text,
            at=None if at is None else at - history.began_at,
        )
        for rule in CHECKERS
        for text, at in rule(history, levels)
    ]


def _ended(history: History) -> list[Request]:
    return [request for request in history.requests if request.outcome is not Outcome.RUNNING]


def _name(request: Request) -> str:
    where = f" at {request.front_end}" if request.front_end else ""
    return f"#{request.number} ({request.client}{where})"


def _how(request: Request) -> str:
    if request.outcome is Outcome.ANSWERED:
        return f"{request.status} {request.reason}"
    detail = f" ({request.detail})" if request.detail else ""
    return f"{request.outcome.value}{detail}"
