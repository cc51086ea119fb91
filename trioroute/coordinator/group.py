"""One deployment's replicas and the wish for them: who is cordoned, who comes back, how many.

A replica leaves in steps: cordoned, then unused, then named to its source, then gone. Until it was
named it may come back at once. Afterwards its source may be ending it already, so it is first left
out of the wish, and comes back only if its source still shows it a while later.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import attrs

from trioroute.core.found import FoundReplica, outdated
from trioroute.core.model import Deployment, ScaleKind, Source
from trioroute.core.scaling import ReadyTimes, ScaleDecision, Scaler

__all__ = ["SPARED_S", "Group", "count_serving"]

#: What a source was told to end it has begun to end by then, and shows so, seconds.
SPARED_S: Final = 5.0


@attrs.define(eq=False)
class Group:
    """One deployment's replicas and the wish for them.

    Attributes:
        draining: cordoned, so that they get no further request.
        told: those whose names a source may have been given to end, and when at the latest.
        spared: those of them that are wanted again, and no longer named.
        asked_at: since when more are wished for than the source shows; None while it shows all.
        overdue: those that should have been ready by now, and when they began.
        overlooked: those of them that count as capacity no more: others are started beside them.
    """

    deployment: Deployment
    scaler: Scaler
    draining: set[str] = attrs.field(factory=set)
    told: dict[str, float] = attrs.field(factory=dict)
    spared: set[str] = attrs.field(factory=set)
    decision: ScaleDecision | None = None
    deleted_until: float | None = None
    ready_times: ReadyTimes = attrs.field(factory=ReadyTimes)
    starting: dict[str, float] = attrs.field(factory=dict)
    asked_at: float | None = None
    overdue: dict[str, float] = attrs.field(factory=dict)
    overlooked: set[str] = attrs.field(factory=set)
    found_running: set[str] = attrs.field(factory=set)

    @property
    def overdue_s(self) -> float:
        """After so long something is wrong with a start."""
        return self.ready_times.overdue_s(self.deployment.burst_wait_max_s)

    @property
    def begun(self) -> list[float]:
        """When starts began that are not over, nor overdue; shown by the source or not."""
        asked = [] if self.asked_at is None else [self.asked_at]
        starting = [since for name, since in self.starting.items() if name not in self.overdue]
        return [*starting, *asked]

    def overlook(self, now: float) -> list[str]:
        """Which of the overdue count as capacity no longer; returns those that did until now.

        After the time that its readiness probe allows. One at first, then two once as long again
        has passed, three after four times as long: what never gets ready, because its model is
        missing, must not run to the maximum. Nobody where there may be no more than are needed.
        """
        probe, scale = self.deployment.readiness, self.deployment.scale
        allowed_s = probe.initial_delay_s + probe.period_s * probe.failure_threshold
        allowed_s = max(self.overdue_s, allowed_s)
        stuck = [name for name, since in self.overdue.items() if now >= since + allowed_s]
        is_fixed = scale.kind is ScaleKind.DEFAULT
        most = scale.instance_count if is_fixed else scale.max_instances
        room = most - (most if self.decision is None else self.decision.replicas)
        since = min((self.overdue[name] for name in stuck), default=now)
        most_at_once = int((now - since) / allowed_s).bit_length()
        names = stuck[: max(0, min(room, most_at_once))]
        new = [name for name in names if name not in self.overlooked]
        self.overlooked = {*names}
        return new

    def expected_wait_s(self, now: float) -> float:
        """In how long one that is being started should be ready; 0 when none is, or is overdue."""
        if not self.begun:
            return 0.0
        patience_s = self.deployment.burst_wait_max_s
        return self.ready_times.left_s(min(self.begun), now, patience_s=patience_s)

    def staying(self, found: Sequence[FoundReplica]) -> list[FoundReplica]:
        """Those that count as capacity: of today's source, not ending, cordoned or overlooked."""
        out = self.draining | self.overlooked
        return [each for each in self._current(found) if each.id not in out]

    def outdated(self, found: Sequence[FoundReplica]) -> set[str]:
        """Those of an earlier source."""
        return outdated(found, self.deployment.source)

    def take_back(
        self, found: Sequence[FoundReplica], count: int, *, now: float, obeyed: bool
    ) -> None:
        """Un-cordon so many, or as many as there are: that is sooner than a start.

        Args:
            obeyed: whether the source took the newest wish; one that refused it may still act
                on the wish before.
        """
        leaving = [each.id for each in self._current(found) if each.id in self.draining]
        untold = [name for name in leaving if name not in self.told]
        spared = [name for name in leaving if name in self.told]
        settled = [name for name in spared if obeyed and now >= self.told[name] + SPARED_S]
        back = (untold + settled)[: max(0, count)]
        self.draining.difference_update(back)
        for name in back:
            self.told.pop(name, None)
        rest = [name for name in spared if name not in back]
        self.spared = set(rest[: max(0, count - len(back))])

    def wish(
        self, found: Sequence[FoundReplica], is_unused: Callable[[str], bool], *, now: float
    ) -> tuple[int, Collection[str]]:
        """How many of today's source there should be, and who of all is to go.

        Never more than decided and never fewer than are still in use: what is busy is ended by
        nobody, and nobody is started beside it while the deployment has as many as it may have.
        """
        gone = {name for name in self.draining - self.spared if is_unused(name)}
        self.told.update(dict.fromkeys(gone, now))
        staying = [each.id for each in self._current(found) if each.id not in gone]
        beside = len(self.overlooked.intersection(staying) - self.draining)
        wanted = 1 if self.decision is None else self.decision.replicas
        return max(len(staying), wanted + beside), gone

    def forget_others(self, found: Sequence[FoundReplica]) -> None:
        """Only what is shown can be cordoned."""
        names = {each.id for each in found}
        self.draining &= names
        self.overlooked &= names
        self.told = {name: at for name, at in self.told.items() if name in names}

    def _current(self, found: Sequence[FoundReplica]) -> list[FoundReplica]:
        # Its source does not count what it is ending either.
        earlier = self.outdated(found)
        return [each for each in found if each.state != "stopped" and each.id not in earlier]


def count_serving(found: Sequence[FoundReplica], source: Source, draining: Collection[str]) -> int:
    """How many replicas a deployment has that neither end nor drain.

    During a rollout there are two sets of them, of which one is to stay.
    """
    serving = [each for each in found if each.state != "stopped" and each.id not in draining]
    earlier = len(outdated(serving, source))
    return max(earlier, len(serving) - earlier)
