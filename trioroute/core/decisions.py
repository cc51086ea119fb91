"""What coordinators decided and why, and what users changed: typed records in a bounded ring.

The ring lies in the registry and so outlives each coordinator. Pure. `DecisionDesk` is the
coordinator's side: it collects, joins what repeats, and hands out batches no larger than the log
should carry. What users change is told by `core.resources.telling`.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

__all__ = ["RING_MAX", "Decision", "DecisionDesk", "DecisionKind", "DecisionList", "with_decisions"]

#: How many are kept. At a few hundred bytes each the ring stays far below a snapshot's other parts.
RING_MAX: Final = 200
#: Decisions per second at most (decision 32), in one batch each second.
_BATCH_MAX: Final = 10
_BATCH_INTERVAL_S: Final = 1.0


class DecisionKind(enum.Enum):
    """What was decided about."""

    SCALE = "scale"
    TAKE_OVER = "take-over"
    FENCE = "fence"
    HEALTH = "health"
    RECALL_STORM = "recall-storm"
    REPLICA = "replica"
    CANARY = "canary"
    # No decisions of the coordinator's:
    DRILL = "drill"  # an operator breaks something on purpose
    ENDPOINT = "endpoint"  # somebody made, changed or deleted one
    DEPLOYMENT = "deployment"  # likewise
    TRAFFIC = "traffic"  # somebody shared requests out differently


@attrs.frozen(kw_only=True)
class Decision:
    """One decision.

    Attributes:
        at_s: Unix time by the coordinator's clock; of the newest when joined.
        subject: what it was about: `ENDPOINT/DEPLOYMENT`, a holder, a front-end.
        summary: one sentence.
        inputs: what it was decided from.
        joined: how many like it this record stands for; the newest is the one shown.
    """

    at_s: float
    epoch: int
    kind: DecisionKind
    subject: str
    summary: str
    inputs: Mapping[str, str] = attrs.field(factory=dict)
    joined: int = 1


@attrs.frozen
class DecisionList:
    """Decisions in the order in which they were made."""

    items: tuple[Decision, ...]


def with_decisions(ring: Sequence[Decision], new: Sequence[Decision]) -> tuple[Decision, ...]:
    """The ring with these at its end; the oldest give way."""
    return (*ring, *new)[-RING_MAX:]


@attrs.define(eq=False)
class DecisionDesk:
    """Decisions of one coordinator that are not in the log yet. One owner."""

    epoch: int
    _waiting: dict[tuple[DecisionKind, str], Decision] = attrs.field(factory=dict)
    _taken_at: float = float("-inf")

    def add(
        self,
        kind: DecisionKind,
        subject: str,
        summary: str,
        *,
        at_s: float,
        **inputs: float | str | None,
    ) -> None:
        """Note one decision. One about the same that still waits is joined to it."""
        before = self._waiting.pop((kind, subject), None)
        self._waiting[kind, subject] = Decision(
            at_s=at_s,
            epoch=self.epoch,
            kind=kind,
            subject=subject,
            summary=summary,
            inputs={name: str(value) for name, value in inputs.items()},
            joined=1 if before is None else before.joined + 1,
        )

    def take(self, now: float) -> tuple[Decision, ...]:
        """The next batch for the log: nothing before a second has passed since the last."""
        if not self._waiting or now < self._taken_at + _BATCH_INTERVAL_S:
            return ()
        self._taken_at = now
        oldest = [*self._waiting][:_BATCH_MAX]
        return tuple(self._waiting.pop(key) for key in oldest)
