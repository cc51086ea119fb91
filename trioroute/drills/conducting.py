"""Conducts a drill: checks, says what it will do, asks, announces, rehearses, announces, judges."""

import difflib
import signal
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import attrs
import trio

from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.resources import ResourceClient
from trioroute.core.status import ClusterStatus
from trioroute.drills.catalogue import Drill
from trioroute.drills.checking import (
    NoTargetError,
    choose_targets,
    free_slots,
    objections,
)
from trioroute.drills.evidence import Evidence, Mind, Objection
from trioroute.drills.judging import Judgement, Verdict, judge
from trioroute.drills.probing import Prober, open_prober, pick_rate
from trioroute.drills.running import Rehearsal, Settings, Tell
from trioroute.drills.shortage import Alike, gathered, shortages
from trioroute.drills.watching import Watcher
from trioroute.drills.wholeness import best_view, whole_of
from trioroute.drills.world import Target, World
from trioroute.errors import TrioRouteError
from trioroute.wire.resources import DrillWish, Resources, Written

__all__ = ["EXIT_OF", "Conducted", "DrillRefusedError", "Wishes", "conduct"]

#: The exit status of each verdict (decision 38); what is not known was waited for in vain.
EXIT_OF: Final = {Verdict.PASSED: 0, Verdict.FAILED: 1, Verdict.UNKNOWN: 4}

_ANNOUNCE_S: Final = 5.0
#: A front-end that has just been mended may speak for an office that is over, and is refused until
#: it has caught up: for how long to say it again, and how often, seconds.
_CATCH_UP_S: Final = 10.0
_AGAIN_S: Final = 0.25
#: Nothing has changed: an office was over, among other reasons.
_REFUSED: Final = "TR0809"


class DrillRefusedError(TrioRouteError):
    """The drill was not begun: the system is not fit for it, or somebody said no."""

    reason = "drill-refused"


@attrs.frozen(kw_only=True)
class Wishes:
    """What the operator asks for.

    Attributes:
        target: who shall be hit; empty leaves the choice to the drill.
        endpoint: to send requests to; empty takes the first that answers.
        body: what to send to an endpoint of this name.
        rate_per_s: of requests; None takes what the system has room for.
        lasts_s: of a lasting deed; None takes the drill's own.
        gap_goal_s: instead of the drill's own.
        is_forced: go on whatever the checks say.
    """

    body: Callable[[str], bytes]
    target: str = ""
    endpoint: str = ""
    rate_per_s: float | None = None
    lasts_s: float | None = None
    gap_goal_s: float | None = None
    is_forced: bool = False


@attrs.frozen
class Conducted:
    """A drill that is over."""

    evidence: Evidence
    judgement: Judgement
    is_interrupted: bool


async def conduct(
    drill: Drill,
    world: World,
    client: ResourceClient,
    wishes: Wishes,
    *,
    ask: Callable[[str], bool],
    tell: Tell,
) -> Conducted:
    """Do all of it.

    Args:
        ask: whether to go on, given what will be done.

    Raises:
        DrillRefusedError: nothing was begun.
        TrioRouteError: it could not be announced; nothing was begun.
    """
    began_at = trio.current_time()
    watcher = Watcher(
        world.admin_urls,
        token=client.system.token,
        since=lambda: trio.current_time() - began_at,
        look_s=world.look_s,
    )
    seen = await _see(client, watcher)
    lasts_s = drill.lasts_s if wishes.lasts_s is None else wishes.lasts_s
    scarce = gathered(shortages(drill, seen.best, seen.registry, lasts_s=lasts_s))
    short = [each for each in scarce if not each.first.is_borne]
    targets, forced = _check(drill, world, wishes, seen, short)
    if forced:
        tell(_overruled(forced))
    prober = await _open(client, seen.best, wishes)
    if wishes.endpoint and isinstance(prober, str):
        raise DrillRefusedError(f"--endpoint {wishes.endpoint} takes no requests: {prober}")
    try:
        endpoint = prober.endpoint if isinstance(prober, Prober) else ""
        room = free_slots(seen.best, drill, targets, endpoint) if endpoint else 0.0
        settings = Settings(
            lasts_s=lasts_s,
            rate_per_s=pick_rate(wishes.rate_per_s, room, _service_s(prober)),
            forced=forced,
            short_s=max((e.first.over_s for e in short if endpoint in e.endpoints), default=0.0),
            minds=tuple(map(_mind, scarce)),
        )
        borne = [each.text for each in scarce if each.first.is_borne]
        if not ask(_describe(drill, targets, settings, prober, minds=borne)):
            raise DrillRefusedError("nothing was done")
        announce = partial(_announce, client, ", ".join(target.name for target in targets))
        await announce(f"drill {drill.name} begins: {drill.does}")
        # Only now does the drill's own time begin: what was asked before is no part of it.
        began_at = trio.current_time()
        rehearsal = Rehearsal(
            drill, world, watcher=watcher, prober=prober, began_at=began_at, tell=tell
        )
        ready = [name for name, why in seen.readiness.items() if not why]
        run = partial(rehearsal.run, targets, whole_of(seen.views, ready), settings)
        evidence, is_interrupted = await _until_signal(run)
    finally:
        if isinstance(prober, Prober):
            prober.close()
    judgement = judge(drill, evidence, gap_goal_s=wishes.gap_goal_s)
    try:
        await announce(f"drill {drill.name} ends: {judgement.verdict.value}")
    except TrioRouteError as error:
        tell(f"its end could not be announced: {error}")
    return Conducted(evidence, judgement, is_interrupted)


@attrs.frozen
class _Seen:
    """The system before anything is done.

    Attributes:
        best: of the views, the one of whoever knows most.
        readiness: by front-end name, why it wants no requests.
    """

    views: dict[str, ClusterStatus]
    best: ClusterStatus
    readiness: dict[str, str]
    registry: Resources


async def _see(client: ResourceClient, watcher: Watcher) -> _Seen:
    """Raises DrillRefusedError when nobody answers."""
    views, readiness = await watcher.views(), await watcher.readiness()
    best = best_view(views)
    if best is None:
        raise DrillRefusedError("no front-end answers: see `trioroute doctor`")
    return _Seen(views, best, readiness, await trio.to_thread.run_sync(client.registry))


def _check(
    drill: Drill, world: World, wishes: Wishes, seen: _Seen, short: Sequence[Alike]
) -> tuple[tuple[Target, ...], tuple[Objection, ...]]:
    """Who will be hit, and which objections were overruled.

    Raises:
        DrillRefusedError: something speaks against it.
    """
    try:
        targets = choose_targets(drill, seen.views, list(world.admin_urls), wishes.target)
    except NoTargetError as error:
        raise DrillRefusedError(f"drill {drill.name} has nobody to hit: {error}") from None
    for target in targets:
        # What cannot be done cannot be forced either.
        if objection := world.objection(drill.deed, target):
            raise DrillRefusedError(f"drill {drill.name} cannot be done: {objection}")
    found = list(objections(drill, seen.views, seen.readiness, targets))
    found += [Objection(each.text, each.fix) for each in short]
    if found and not wishes.is_forced:
        raise DrillRefusedError(_refusal(drill, found))
    return targets, tuple(found)


def _refusal(drill: Drill, found: Sequence[Objection]) -> str:
    said = f"drill {drill.name} would prove nothing now (--force does it all the same):"
    return said + _lines(found)


def _overruled(forced: Sequence[Objection]) -> str:
    """What is said first where the checks failed and the operator insists."""
    return (
        f"FORCED: the checks before the drill failed, and --force overrules them:{_lines(forced)}\n"
        "  what fails from here on may come of that, and not of the drill\n"
    )


def _lines(found: Sequence[Objection]) -> str:
    return "".join(f"\n  × {each.text}\n      → {each.fix}" for each in found)


def _mind(alike: Alike) -> Mind:
    first = alike.first
    return Mind(
        endpoints=alike.endpoints, text=alike.text, back_s=first.back_s, over_s=first.over_s
    )


async def _open(client: ResourceClient, best: ClusterStatus, wishes: Wishes) -> Prober | str:
    names = [each.name for each in best.endpoints]
    if wishes.endpoint and wishes.endpoint not in names:
        near = difflib.get_close_matches(wishes.endpoint, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(names) or 'none'}"
        raise DrillRefusedError(f"no endpoint is named {wishes.endpoint}: {hint}")
    if wishes.endpoint:
        names = [wishes.endpoint]
    return await open_prober(client, names, wishes.body)


def _service_s(prober: Prober | str) -> float:
    return prober.service_s if isinstance(prober, Prober) else 0.0


def _describe(
    drill: Drill,
    targets: Sequence[Target],
    settings: Settings,
    prober: Prober | str,
    *,
    minds: Sequence[str],
) -> str:
    """What will be done and what is to be expected.

    Args:
        minds: what is particular to this system.
    """
    names = ", ".join(target.name for target in targets)
    lasting = f"; that lasts {settings.lasts_s:g} s" if drill.deed.is_lasting else ""
    requests = (
        f"no requests are sent, so what clients would see is not judged: {prober}"
        if isinstance(prober, str)
        else f"{settings.rate_per_s:.0f} requests a second to {prober.endpoint}, "
        f"which takes {1e3 * prober.service_s:.0f} ms for one"
    )
    return (
        f"drill {drill.name}: {drill.summary}\n"
        f"  does     {drill.does}{lasting}\n"
        f"  hits     {names}\n"
        f"  sends    {requests}\n"
        f"  expect   {drill.expects}\n"
        + "".join(f"  mind     {text}\n" for text in minds)
        + f"  proves   {drill.proves}"
    )


async def _announce(client: ResourceClient, subject: str, summary: str) -> None:
    """Put it on record; saying it twice does no harm, so that is tried until it is there."""
    ask = partial(
        client.system.ask,
        "POST",
        "/v1/drills",
        DrillWish(subject=subject[:200], summary=summary),
        kind=Written,
        timeout_s=_ANNOUNCE_S,
    )
    deadline = trio.current_time() + _CATCH_UP_S
    while True:
        try:
            await trio.to_thread.run_sync(ask)
        except (ProblemAnswerError, UnreachableError) as error:
            is_final = isinstance(error, ProblemAnswerError) and error.code != _REFUSED
            if is_final or trio.current_time() > deadline:
                raise
        else:
            return
        await trio.sleep(_AGAIN_S)


async def _until_signal(
    run: Callable[[trio.CancelScope], Awaitable[Evidence]],
) -> tuple[Evidence, bool]:
    """Run it; the first signal ends it in order, with everything mended."""
    stop = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        await nursery.start(_watch_signals, stop)
        evidence = await run(stop)
        nursery.cancel_scope.cancel()
    return evidence, stop.cancel_called


async def _watch_signals(stop: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            stop.cancel()
