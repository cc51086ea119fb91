"""Faults that people cause: clients that leave, dawdle or come in crowds, and operators."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from chaos.faults import Fault, Target
from chaos.felt import wait_felt
from chaos.history import Outcome, Request
from chaos.processes.front_ends import FrontEnd
from chaos.processes.system import System
from chaos.processes.ways.aim import Aim, Way, at_front_ends
from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.core.auth import key_from

__all__ = ["WAYS"]

_LEAVERS: Final = 60
_DAWDLERS: Final = 120

#: Each has a slot, of sixteen, until the time of its answer is over.
_SIPPERS: Final = 4

#: Requests per second on top of the load: with it more than the replicas' 1,067.
_CROWD_PER_S: Final = 1200

#: How the admin API refuses what it has understood to be wrong.
_REFUSALS: Final = frozenset({400, 409})

#: How long it may take until it has said so, and how often it is asked meanwhile, seconds.
_REFUSED_MAX_S: Final = 20.0
_AGAIN_S: Final = 0.1

#: How long a crowd stays that nobody has had to wait for, seconds.
_FULL_S: Final = 3.0

#: A body that no registration has.
_NONSENSE: Final = (
    b"{",
    b'{"endpoints": 7}',
    b'{"endpoints": [], "deployments": [{"endpoint": "nobody", "name": "x"}]}',
)


@asynccontextmanager
async def _leave(system: System, fault: Fault) -> AsyncIterator[Aim]:
    left = 0

    async def leave() -> None:
        nonlocal left
        request = await system.clients.send("leaver")
        left += request.outcome is Outcome.LEFT

    aim = Aim(target="clients that leave")
    async with trio.open_nursery() as nursery:
        for _ in range(_LEAVERS + int(_LEAVERS * fault.strength)):
            nursery.start_soon(leave)
        yield aim
    aim.felt = await wait_felt(lambda: left, "clients left", at_least=_LEAVERS // 2)


@asynccontextmanager
async def _dawdle(
    system: System,
    fault: Fault,
    *,
    kind: str,
    count: int,
    felt_by: Callable[[Request], bool],
    what: str,
) -> AsyncIterator[Aim]:
    """Slow clients of a kind come all at once, and stay until the router has had enough of them."""
    requests: list[Request] = []

    async def come() -> None:
        requests.append(await system.clients.send(kind))

    aim = Aim(target=f"{int(count * (1 + fault.strength))} slow clients")
    async with trio.open_nursery() as nursery:
        for _ in range(int(count * (1 + fault.strength))):
            nursery.start_soon(come)
        yield aim
    aim.felt = await wait_felt(
        lambda: sum(map(felt_by, requests)), what, at_least=(count + 1) // 2, within_s=0
    )


def _is_cut(request: Request) -> bool:
    """Whether it ended, visibly, behind the head of its answer."""
    return request.outcome is Outcome.BROKEN and request.first_byte_at is not None


@asynccontextmanager
async def _crowd(system: System, _: Fault) -> AsyncIterator[Aim]:
    stop = trio.Event()

    async def come() -> None:
        async with trio.open_nursery() as crowd:
            while not stop.is_set():
                crowd.start_soon(system.clients.send, "ordinary")
                await trio.sleep(1 / _CROWD_PER_S)

    waited = 0

    async def look() -> None:
        nonlocal waited
        while True:
            queued = await _queued(system)
            waited = max(waited, queued)
            await trio.sleep(_AGAIN_S)

    aim = Aim(target="a crowd")
    async with trio.open_nursery() as looking:
        looking.start_soon(look)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(come)
            yield aim
            aim.felt = await wait_felt(lambda: waited, "requests waited at once", within_s=_FULL_S)
            stop.set()
        looking.cancel_scope.cancel()


async def _queued(system: System) -> int:
    """How many requests wait for a slot, as the coordinator says."""
    said = await system.front_ends.status(of=await system.front_ends.coordinator())
    endpoints = () if said is None else said[1].endpoints
    return sum(row.queued or 0 for endpoint in endpoints for row in endpoint.deployments)


@asynccontextmanager
async def _bad_settings(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    with trio.fail_after(_REFUSED_MAX_S):
        for body in _NONSENSE:
            while not await _is_refused(hit[0], body):
                await trio.sleep(_AGAIN_S)
    yield at_front_ends(hit, felt=f"{len(_NONSENSE)} were refused for what they say")


async def _is_refused(one: FrontEnd, body: bytes) -> bool:
    """Whether for what it says: no answer, or another refusal, would prove nothing."""
    try:
        await trio.to_thread.run_sync(one.admin().ask, "PUT", "/v1/registry", body)
    except UnreachableError:
        return False
    except ProblemAnswerError as problem:
        return problem.answer_status in _REFUSALS
    raise AssertionError(f"{body!r} was taken for settings")


@asynccontextmanager
async def _rotate_key(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """Old and new valid, then the new one used, then the old one withdrawn."""
    old, new = system.keys[-1], key_from(secrets.token_bytes(32))
    await system.register([old, new])
    await system.wait_whole()
    # One look of every worker at its supervisor's newest snapshot.
    await trio.sleep(fault.hold_s / 2)
    system.keys.append(new)
    since, aim = len(system.clients.requests), Aim(target="the key")
    yield aim
    taken = partial(_count_answered, system, since)
    aim.felt = await wait_felt(taken, "requests were answered with the new key")
    # Requests with the old one have been read by now: heads are short.
    await system.register([new])


def _count_answered(system: System, since: int) -> int:
    return sum(request.is_ok for request in system.clients.requests[since:])


WAYS: Final[dict[str, Way]] = {
    "clients-leave": _leave,
    "slow-clients": partial(
        _dawdle,
        kind="slow-head",
        count=_DAWDLERS,
        felt_by=lambda request: request.reason == "head-timeout",
        what="clients were told 408 for their heads",
    ),
    "slow-bodies": partial(
        _dawdle,
        kind="slow-body",
        count=_DAWDLERS // 2,
        felt_by=lambda request: request.reason == "body-timeout",
        what="clients were told 408 for their bodies",
    ),
    "slow-readers": partial(
        _dawdle,
        kind="slow-reader",
        count=_SIPPERS,
        felt_by=_is_cut,
        what="answers were cut off when their time was over",
    ),
    "overload": _crowd,
    "bad-settings": _bad_settings,
    "rotate-key": _rotate_key,
}
