"""How many replicas a deployment should have, from what its queue really shows.

Utilization is counted in slots, so that it is right with several requests a replica:
``(busy + queued) / slots``. Up at once; down only to the maximum of a window. Pure.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import attrs

from trioroute.core.model import ScaleKind, ScaleSettings

__all__ = ["READY_S", "MaxWindow", "ReadyTimes", "ScaleDecision", "Scaler", "replicas_needed"]

#: Azure: "around 20 times of the scale up refresh interval"; at least its older "1 minute".
_DOWN_INTERVALS: Final = 20
_DOWN_MIN_S: Final = 60.0
#: So many of the last starts say how long the next one takes.
_STARTS_KEPT: Final = 20
#: Assumed before any start was seen: a model server that loads a small model.
READY_S: Final = 10.0
#: A replica that takes this many times longer to start than others did is not waited for.
_OVERDUE: Final = 3.0
#: Nor is it before so long, seconds: where starts are fast, a busy machine makes one slow.
_OVERDUE_MIN_S: Final = 5.0
#: What is said of one that should be ready by now, seconds.
_SOON_S: Final = 0.5


@attrs.frozen(kw_only=True)
class ScaleDecision:
    """What was decided, from what, by which rule.

    Attributes:
        replicas: how many there should be.
        needed: what this moment alone asks for.
        rule: `fixed`, `load`, `window` or `steady`.
    """

    replicas: int
    needed: int
    busy: int
    queued: int
    current: int
    rule: str

    def reason(self, ready: int) -> str:
        """Why there are as many replicas as there are, in words.

        Args:
            ready: how many of them may be sent requests.
        """
        if self.replicas != self.current:
            return f"scaling {self.current}→{self.replicas} ({self.rule})"
        missing = self.replicas - ready
        return f"{missing} of {self.replicas} not ready" if missing > 0 else "steady"


def replicas_needed(
    *, busy: int, queued: int, slots_per_replica: int, settings: ScaleSettings
) -> int:
    """The published formula in slots (decision 34), within the deployment's bounds."""
    if settings.kind is ScaleKind.DEFAULT:
        return settings.instance_count
    # Whole numbers throughout: 0.7 is not exact, and one replica too many costs money.
    per_replica = slots_per_replica * settings.target_utilization_percentage
    needed = -(-(busy + queued) * 100 // per_replica)
    return max(settings.min_instances, min(settings.max_instances, needed))


@attrs.define(eq=False)
class MaxWindow:
    """A maximum over the last `length_s` seconds, in constant time per value.

    Scaling down follows this maximum, so one quiet moment between two bursts stops nothing.
    """

    length_s: float
    # Values that may still become the maximum: falling in value, rising in time.
    _values: deque[tuple[float, int]] = attrs.field(factory=deque)

    def record(self, value: int, now: float) -> int:
        """Take a value; return the maximum of the window that ends now."""
        while self._values and self._values[-1][1] <= value:
            self._values.pop()
        self._values.append((now, value))
        while self._values[0][0] <= now - self.length_s:
            self._values.popleft()
        return self._values[0][1]


def _last_starts(seconds: Iterable[float]) -> deque[float]:
    return deque(seconds, maxlen=_STARTS_KEPT)


@attrs.define(eq=False)
class ReadyTimes:
    """How long replicas of one deployment take from being asked for to being ready.

    Args:
        seconds: what an earlier coordinator has seen, the oldest first.
    """

    _seconds: deque[float] = attrs.field(factory=deque, converter=_last_starts)

    @property
    def seconds(self) -> tuple[float, ...]:
        """What the last starts took, the oldest first."""
        return tuple(self._seconds)

    def record(self, seconds: float) -> None:
        """One more became ready."""
        self._seconds.append(seconds)

    @property
    def expected_s(self) -> float:
        """Nine of ten were ready by then."""
        if not self._seconds:
            return READY_S
        ordered = sorted(self._seconds)
        return ordered[-(-9 * len(ordered) // 10) - 1]

    def overdue_s(self, patience_s: float) -> float:
        """After so long something is wrong with a start.

        Args:
            patience_s: for how long requests may wait for it. Before any start was seen that is
                the only word about how long one may take.
        """
        longest_s = max(_OVERDUE_MIN_S, _OVERDUE * self.expected_s)
        return longest_s if self._seconds else max(longest_s, patience_s)

    def left_s(self, since: float, now: float, *, patience_s: float) -> float:
        """In how long one that was asked for then should be ready; 0: nobody should wait for it."""
        if now >= since + self.overdue_s(patience_s):
            return 0.0
        return max(_SOON_S, since + self.expected_s - now)


class Scaler:
    """The decisions of one deployment, one after another.

    Args:
        current: how many replicas there are at the start: a new coordinator does not shrink what
            it has not watched for a whole window.
    """

    def __init__(self, settings: ScaleSettings, *, current: int, now: float) -> None:
        self.settings = settings
        usual_s = max(_DOWN_MIN_S, _DOWN_INTERVALS * settings.polling_interval_s)
        window_s = usual_s if settings.down_after_s is None else settings.down_after_s
        self._window = MaxWindow(window_s)
        self._window.record(current, now)

    def decide(
        self, *, busy: int, queued: int, current: int, slots_per_replica: int, now: float
    ) -> ScaleDecision:
        """One evaluation.

        Args:
            busy, queued: in slots, over all front-ends.
            current: replicas that are ready or starting: those that start count as capacity, so
                that a burst does not start one more at each evaluation.
        """
        settings = self.settings
        needed = replicas_needed(
            busy=busy, queued=queued, slots_per_replica=slots_per_replica, settings=settings
        )
        highest = self._window.record(needed, now)
        if settings.kind is ScaleKind.DEFAULT:
            replicas, rule = needed, "fixed"
        else:
            replicas = max(settings.min_instances, min(settings.max_instances, highest))
            rule = "load" if replicas == needed else "window"
        if replicas == current:
            rule = "steady"
        return ScaleDecision(
            replicas=replicas,
            needed=needed,
            busy=busy,
            queued=queued,
            current=current,
            rule=rule,
        )
