"""What a simulated run came to, as the history that every world tells and every checker reads."""

from collections.abc import Iterator
from typing import Final

from chaos.history import Execution, History, Office, Outcome, Request
from chaos.sim.system.history import Request as SimulatedRequest
from chaos.sim.system.history import SystemHistory
from chaos.world import Setup

__all__ = ["tell"]

_OK: Final = 200
_REFUSED: Final = 503

#: What the simulated worker calls by other words than the router does in `x-trioroute-error`.
_REASONS: Final = {"timeout": "answer-timeout", "broken": "broken-answer"}


def tell(history: History, run: SystemHistory, setup: Setup) -> None:
    """Add requests of the load, what ran, and who coordinated.

    What came after the load is left out: it is judged by the simulator's own rules.
    """
    own = [request for request in run.requests if request.accepted_at <= history.ended_at]
    history.requests += [_request(each, setup) for each in own]
    numbers = {request.number for request in own}
    history.executions = [
        Execution(
            number=each.request,
            replica=each.replica,
            life=each.replica,
            begun_at=each.began_at,
            ended_at=each.ended_at,
        )
        for each in run.runs
        if each.request in numbers
    ]
    history.slots = {name: setup.slots for group in run.fixed.values() for name in group}
    history.offices = [*_offices(run)]


def _request(request: SimulatedRequest, setup: Setup) -> Request:
    told = Request(
        number=request.number,
        client="simulated",
        front_end=request.front_end,
        sent_at=request.accepted_at,
        deadline_s=setup.deadline_s,
    )
    if not request.outcomes:
        return told
    told.ended_at, word = request.outcomes[0]
    told.outcome = Outcome.BROKEN if word == "broken-off" else Outcome.ANSWERED
    if word == "served":
        told.status, told.is_own = _OK, True
    elif word != "broken-off":
        told.status, told.reason = _REFUSED, _REASONS.get(word, word)
    return told


def _offices(run: SystemHistory) -> Iterator[Office]:
    """Each when somebody first acted in it."""
    seen: set[int] = set()
    for act in run.consensus.acts:
        if act.epoch not in seen:
            seen.add(act.epoch)
            name = act.holder.name
            yield Office(at=act.at, epoch=act.epoch, name=name, reporter=name, began_at=act.at)
