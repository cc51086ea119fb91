"""One drill from its first look to its last: calm, the strike, recovery, calm again.

Whatever happens in between, what was broken is mended before `Rehearsal.run` returns or raises; and
if this process dies, its guard does it.
"""

import time
from collections.abc import Callable
from typing import Final

import attrs
import trio

from trioroute.drills.catalogue import Deed, Drill
from trioroute.drills.evidence import Evidence, Mind, Objection, Strike, Whole
from trioroute.drills.probing import Prober, probe_of
from trioroute.drills.watching import Watcher
from trioroute.drills.world import Target, World, WorldError

__all__ = ["Rehearsal", "Settings", "Tell"]

#: Load before the strike and after everything is back, seconds.
_CALM_S: Final = 2.0
_AFTER_S: Final = 2.0
#: The goals allow two seconds; a group that has no coordinator after this has none.
_OFFICE_MAX_S: Final = 20.0
#: How long to wait for what should be whole long before; the goal is judged, this only ends it.
_BACK_MAX_S: Final = 60.0
#: What is in flight or waits when the load stops is done by then, seconds.
_IDLE_MAX_S: Final = 10.0
#: How long the front-ends may take to agree at the end: one that was just mended has to catch up.
_AGREE_MAX_S: Final = 3.0
#: How often to ask whether the victim lives again, and whether somebody took office, seconds.
_LOOK_S: Final = 0.05


#: Where a drill says what happens, a line at a time.
Tell = Callable[[str], None]


@attrs.frozen(kw_only=True)
class Settings:
    """What the operator may choose.

    Attributes:
        lasts_s: how long a lasting deed lasts.
        rate_per_s: of the drill's own requests.
        forced: what the checks had against it, and was overruled.
        short_s: for how long after a strike slots may be too few, as was said beforehand.
        minds: what was said beforehand about this very system.
    """

    lasts_s: float
    rate_per_s: float
    forced: tuple[Objection, ...] = ()
    short_s: float = 0.0
    minds: tuple[Mind, ...] = ()


class Rehearsal:
    """One drill on one system."""

    def __init__(
        self,
        drill: Drill,
        world: World,
        *,
        watcher: Watcher,
        prober: Prober | str,
        began_at: float,
        tell: Tell,
    ) -> None:
        """Nothing is done yet.

        Args:
            prober: what sends requests, or why nothing does.
            began_at: the drill's beginning on Trio's clock.
        """
        self._drill = drill
        self._world = world
        self._watcher = watcher
        self._prober = prober
        self._began_at = began_at
        self._tell = tell
        self._strikes: list[Strike] = []
        self._is_undone = True

    async def run(
        self, targets: tuple[Target, ...], before: Whole, settings: Settings, stop: trio.CancelScope
    ) -> Evidence:
        """Strike each target in turn; returns what was seen, however far it came.

        Args:
            stop: cancelled when somebody interrupts.
        """
        began_at = time.time()
        why = "interrupted"
        after = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watcher.run)
            with stop:
                why = await self._rehearse(targets, before, settings)
            with trio.CancelScope(shield=True):
                await self._mend()
                if stop.cancelled_caught:
                    self._note_interruption()
                with trio.move_on_after(_IDLE_MAX_S):
                    if not why:
                        await self._watcher.wait_idle(before)
                after = await self._look_last()
            nursery.cancel_scope.cancel()
        requests = () if isinstance(self._prober, str) else self._prober.requests(self._began_at)
        return Evidence(
            drill=self._drill.name,
            system=self._world.name,
            began_at=began_at,
            lasted_s=self._now_s(),
            probe=probe_of(self._prober, settings.rate_per_s),
            before=before,
            after=after,
            requests=requests,
            looks=tuple(self._watcher.looks),
            strikes=tuple(self._strikes),
            is_undone=self._is_undone,
            interrupted=why,
            lateness_s=self._watcher.lateness_s,
            forced=settings.forced,
            minds=settings.minds,
        )

    async def _rehearse(
        self, targets: tuple[Target, ...], before: Whole, settings: Settings
    ) -> str:
        """Returns why it ended early; empty when it did not."""
        stop_load = trio.Event()
        why = ""
        async with trio.open_nursery() as nursery:
            if isinstance(self._prober, Prober):
                nursery.start_soon(self._prober.run, settings.rate_per_s, stop_load)
            await trio.sleep(_CALM_S)
            self._watcher.is_alert = True
            for target in targets:
                try:
                    await self._hit(target, before, settings)
                except WorldError as error:
                    why = str(error)
                    break
                if self._strikes[-1].back_s is None:
                    break  # the next one would hit a system that is not whole
            self._watcher.is_alert = False
            await trio.sleep(_AFTER_S)
            stop_load.set()
        return why

    async def _hit(self, target: Target, before: Whole, settings: Settings) -> None:
        drill, world, lasts_s = self._drill, self._world, settings.lasts_s
        known = await self._office()
        identity = await self._identity(target)
        port = 0 if isinstance(self._prober, str) else self._prober.target.address[1]
        ports: frozenset[int] | None = frozenset()
        if not target.is_replica:
            ports = await trio.to_thread.run_sync(world.held_ports, target.name, port)
        self._is_undone = not drill.deed.is_lasting
        strike = Strike(
            target=target.name,
            at_s=self._now_s(),
            was_coordinator=known[0] == target.name,
            epoch=known[1],
            ports=ports,
            short_s=settings.short_s,
        )
        await world.strike(drill.deed, target, lasts_s=2 * lasts_s + 10)
        # Starting the guard takes a moment: the time that counts is when it was done.
        strike = attrs.evolve(strike, at_s=self._now_s() if drill.deed.is_lasting else strike.at_s)
        self._strikes.append(strike)
        self._tell(f"{drill.hits} {target.name}")
        struck_at = trio.current_time()
        if strike.was_coordinator and drill.moves_office:
            await self._await_successor(strike)
        if drill.deed.is_lasting:
            await trio.sleep_until(struck_at + lasts_s)
            await self._note_while_broken(target, identity)
            await self._mend()
            self._tell(f"mended {target.name}")
        self._change(ended_s=self._now_s() if drill.deed.is_lasting else strike.at_s)
        await self._await_back(target, identity, before)

    async def _note_while_broken(self, target: Target, identity: str) -> None:
        """What the victim did meanwhile: whether it felt a full disk, and claimed the office."""
        if self._drill.deed is Deed.FILL:
            is_unready = bool((await self._watcher.readiness()).get(target.name))
            self._change(was_felt=is_unready or await self._identity(target) != identity)
        if self._drill.deed is Deed.CUT:
            self._change(was_felt=self._world.is_sure or await self._feels_cut())
            claimed = self._watcher.office_after(self._strikes[-1].epoch, of=target.name)
            if claimed is not None:
                epoch, _, began_s = claimed
                self._change(own_epoch=epoch, own_epoch_at_s=began_s)

    async def _await_successor(self, strike: Strike) -> None:
        with trio.move_on_after(_OFFICE_MAX_S):
            while True:
                # The victim's own next epoch is no take-over: somebody else's is.
                found = self._watcher.office_after(strike.epoch, but=strike.target)
                # Its own account of when it began comes with its own answer, a look later.
                if found is not None and found[2] is not None:
                    break
                await trio.sleep(_LOOK_S)
        found = self._watcher.office_after(strike.epoch, but=strike.target)
        if found is None:
            self._tell(f"nobody else coordinates after {_OFFICE_MAX_S:g} s")
            return
        epoch, name, began_s = found
        gap_s = (
            None if began_s is None else max(0.0, began_s - self._left_office_s(strike, began_s))
        )
        self._change(successor=name, successor_epoch=epoch, gap_s=gap_s)
        shown = "" if gap_s is None else f" after {1e3 * gap_s:.0f} ms"
        self._tell(f"{name} coordinates, epoch {epoch}{shown}")

    def _left_office_s(self, strike: Strike, before_s: float) -> float:
        """When the victim's office ended: at once, but whoever is asked to end hands it over first.

        Where somebody else does the killing, it goes on until they do. Then the last time that it
        said to hold it, which is early by up to one look.
        """
        if self._drill.deed is not Deed.END and self._world.is_sure:
            return strike.at_s
        said = [
            look.at_s
            for look in self._watcher.looks
            if look.is_in_office and look.epoch == strike.epoch and look.at_s <= before_s
        ]
        return max([strike.at_s, *said])

    async def _await_back(self, target: Target, identity: str, before: Whole) -> None:
        """What was killed has been replaced, and nothing is missing any more."""
        is_replaced = self._drill.deed in (Deed.KILL, Deed.END) and not target.is_replica
        ended_s = self._strikes[-1].ended_s or 0.0
        missing: tuple[str, ...] = (f"{target.name} has not been started again",)
        patience_s = max(_BACK_MAX_S, self._drill.back_goal_s)
        with trio.move_on_after(patience_s) as patience:
            # Somebody else's doing: there is no event to wait for.
            while is_replaced and await self._identity(target) in ("", identity):  # noqa: ASYNC110
                await trio.sleep(_LOOK_S)
            if target.is_replica and self._drill.deed is Deed.KILL:
                missing = (f"{target.name} is still listed as ready",)
                await self._await_gone(target)
            missing = ()
            await self._watcher.wait_whole(before)
        if patience.cancelled_caught:
            missing = missing or self._watcher.missing or ("no look at the system came to an end",)
            text = f"not whole after {patience_s:g} s: {'; '.join(missing)}"
            self._change(missing=missing)
            self._tell(text)
            return
        back_s = self._now_s() - ended_s
        self._change(back_s=back_s)
        self._tell(f"all is whole again after {back_s:.1f} s")

    async def _await_gone(self, target: Target) -> None:
        """Until the system itself has noticed: before that nothing is missing yet."""
        while True:
            views = await self._watcher.views()
            listed = [
                replica.id
                for view in views.values()
                for endpoint in view.endpoints
                for deployment in endpoint.deployments
                for replica in deployment.replicas
                if replica.state.value == "ready"
            ]
            if views and target.name not in listed:
                return
            await trio.sleep(_LOOK_S)

    async def _feels_cut(self) -> bool:
        """Whether anybody misses a voter now, or somebody else coordinates."""
        views = await self._watcher.views()
        return bool(self._strikes[-1].successor) or any(
            view.raft is not None and view.raft.connected < view.raft.voters
            for view in views.values()
        )

    def _note_interruption(self) -> None:
        """What was broken is mended, and nobody waits until it is back."""
        if not self._strikes or not self._is_undone:
            return
        strike, is_lasting = self._strikes[-1], self._drill.deed.is_lasting
        if strike.ended_s is None:
            self._change(ended_s=self._now_s() if is_lasting else strike.at_s)
        if strike.back_s is None:
            done = f"mended {strike.target}; it" if is_lasting else strike.target
            self._tell(f"interrupted: {done} was not waited for")

    async def _look_last(self) -> Whole | None:
        """The system at the end, when its front-ends agree; as it is where they do not."""
        whole = None
        with trio.move_on_after(_AGREE_MAX_S):
            while whole is None or not whole.coordinator:
                whole = await self._watcher.whole() or whole
                await trio.sleep(_LOOK_S)
        return whole

    async def _identity(self, target: Target) -> str:
        return await trio.to_thread.run_sync(self._world.identity, target)

    async def _office(self) -> tuple[str, int]:
        whole = await self._watcher.whole()
        return ("", 0) if whole is None else (whole.coordinator, whole.epoch)

    async def _mend(self) -> None:
        try:
            await self._world.mend()
        except WorldError as error:
            self._tell(f"NOT MENDED: {error}")
        else:
            self._is_undone = True

    def _change(self, **changes: object) -> None:
        self._strikes[-1] = attrs.evolve(self._strikes[-1], **changes)  # type: ignore[arg-type]

    def _now_s(self) -> float:
        return trio.current_time() - self._began_at
