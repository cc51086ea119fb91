"""When a new version fails while its share rises: the rule that stops it.

Pure: counts come in as they are reported, by holder and growing; what goes out is which deployment
is to be halted and why. A deployment is judged while it rises: while its share is larger than it
was before the last change of its endpoint's traffic, and somebody else had traffic before. Judged
is what was counted since that change, at most in the last minute, by all front-ends together.

To be halted it must be bad at three looks in a row, each with requests that the one before had not
seen, and have enough requests for its figure to mean something: one bad second halts nobody.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from trioroute.core.model import Endpoint, deployment_key

__all__ = ["LOOK_S", "REQUESTS_MIN", "CanaryHalt", "CanaryWatch", "Tally", "is_guarded"]

#: How often to look, seconds.
LOOK_S: Final = 1.0
#: What is older than this says nothing about now, seconds.
_WINDOW_S: Final = 60.0
#: Fewer say nothing about a share of errors: of 20 one is 5 %.
REQUESTS_MIN: Final = 20
#: The hundredth part of fewer is nobody.
_TIMES_MIN: Final = 100
_BAD_LOOKS: Final = 3
_P99: Final = 0.99


@attrs.frozen
class Tally:
    """What one deployment's requests came to.

    Attributes:
        errors: those that failed because of the replica; not those refused for want of a slot.
        durations: how many took how long, by the bounds that the watch was made with.
    """

    requests: int = 0
    errors: int = 0
    durations: tuple[int, ...] = ()

    def plus(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(
            self.requests + other.requests,
            self.errors + other.errors,
            _summed(self.durations, other.durations),
        )

    def less(self, earlier: "Tally") -> "Tally":
        """What was counted since; all of it when the counts began anew meanwhile."""
        if self.requests < earlier.requests:
            return self
        negative = tuple(-count for count in earlier.durations)
        return Tally(
            self.requests - earlier.requests,
            self.errors - earlier.errors,
            _summed(self.durations, negative),
        )


@attrs.frozen(kw_only=True)
class CanaryHalt:
    """A deployment that is to get no more traffic.

    Attributes:
        traffic: what the decision was made under.
    """

    endpoint: str
    deployment: str
    reason: str
    traffic: Mapping[str, int]


@attrs.define
class _Trial:
    """One endpoint under one traffic map."""

    traffic: Mapping[str, int]
    samples: deque[tuple[float, dict[str, Tally]]] = attrs.field(factory=deque)
    bad_looks: dict[str, int] = attrs.field(factory=dict)
    judged: dict[str, int] = attrs.field(factory=dict)


class CanaryWatch:
    """All guarded endpoints during one epoch. One owner; `now` is any clock in seconds.

    Args:
        bounds_s: upper bounds of the durations' counts; one more count is for what exceeds all.
    """

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self._bounds_s = (*bounds_s, float("inf"))
        self._reported: dict[tuple[str, str], Tally] = {}
        self._totals: dict[str, Tally] = {}
        self._trials: dict[str, _Trial] = {}

    def observe(self, holder: str, counts: Mapping[str, Tally]) -> None:
        """A holder's counts since it started, by deployment key.

        The first report of a holder is where its counting begins: what it counted for an earlier
        coordinator is over.
        """
        for key, tally in counts.items():
            before = self._reported.get((holder, key))
            self._reported[holder, key] = tally
            if before is not None:
                self._totals[key] = self._totals.get(key, Tally()).plus(tally.less(before))

    def judge(
        self,
        endpoints: Mapping[str, Endpoint],
        before: Mapping[str, Mapping[str, int]],
        now: float,
    ) -> list[CanaryHalt]:
        """Who is to be halted now. Call it every LOOK_S.

        Args:
            before: by endpoint, the traffic before its last change.
        """
        halts: list[CanaryHalt] = []
        for name, endpoint in endpoints.items():
            rising = _rising(endpoint, before.get(name, {})) if is_guarded(endpoint) else []
            if not rising:
                self._trials.pop(name, None)
                continue
            counted = self._counted(endpoint, now)
            for deployment in rising:
                reason = self._look(endpoint, deployment, counted)
                if reason:
                    traffic = dict(endpoint.traffic)
                    halts.append(
                        CanaryHalt(
                            endpoint=name, deployment=deployment, reason=reason, traffic=traffic
                        )
                    )
        return halts

    def _counted(self, endpoint: Endpoint, now: float) -> dict[str, Tally]:
        """By deployment name, since the traffic changed, at most over the window."""
        trial = self._trials.get(endpoint.name)
        if trial is None or trial.traffic != endpoint.traffic:
            trial = self._trials[endpoint.name] = _Trial(dict(endpoint.traffic))
        totals = {
            name: self._totals.get(deployment_key(endpoint.name, name), Tally())
            for name, percent in endpoint.traffic.items()
            if percent > 0
        }
        trial.samples.append((now, totals))
        while trial.samples[0][0] < now - _WINDOW_S:
            trial.samples.popleft()
        oldest = trial.samples[0][1]
        return {name: total.less(oldest[name]) for name, total in totals.items()}

    def _look(self, endpoint: Endpoint, name: str, counted: Mapping[str, Tally]) -> str:
        """Why a deployment is to be halted; empty while it is not."""
        trial = self._trials[endpoint.name]
        total = self._totals.get(deployment_key(endpoint.name, name), Tally()).requests
        if total == trial.judged.get(name):
            return ""  # nothing new to judge
        trial.judged[name] = total
        others = Tally()
        for other, tally in counted.items():
            others = others if other == name else others.plus(tally)
        reason = self._badness(endpoint, counted[name], others)
        trial.bad_looks[name] = trial.bad_looks.get(name, 0) + 1 if reason else 0
        return reason if trial.bad_looks[name] >= _BAD_LOOKS else ""

    def _badness(self, endpoint: Endpoint, own: Tally, others: Tally) -> str:
        most = endpoint.canary_halt_error_rate
        if most is not None and own.requests >= REQUESTS_MIN and own.errors / own.requests > most:
            share = own.errors / own.requests
            return f"{share:.1%} of {own.requests} requests failed, more than {most:.1%}"
        ratio = endpoint.canary_halt_p99_ratio
        if ratio is None or min(own.requests, others.requests) < _TIMES_MIN:
            return ""
        own_s, others_s = self._p99(own), self._p99(others)
        if own_s > ratio * others_s:
            return f"p99 is {own_s:.3g} s, more than {ratio:g} × the others' {others_s:.3g} s"
        return ""

    def _p99(self, tally: Tally) -> float:
        """The bound below which 99 of 100 requests ended; interpolated, as quantiles here are."""
        total = sum(tally.durations)
        wanted, seen, lower = total * _P99, 0, 0.0
        for count, upper in zip(tally.durations, self._bounds_s, strict=False):
            if count and seen + count >= wanted:
                # Beyond the last bound nothing is known but that it was exceeded.
                width = 0.0 if upper == float("inf") else upper - lower
                return lower + width * (wanted - seen) / count
            seen += count
            lower = upper
        return 0.0


def is_guarded(endpoint: Endpoint) -> bool:
    """Whether an endpoint asks for a guard at all."""
    return not (endpoint.canary_halt_error_rate is None and endpoint.canary_halt_p99_ratio is None)


def _rising(endpoint: Endpoint, before: Mapping[str, int]) -> list[str]:
    """Deployments with more than before the last change, while others had or have traffic."""
    return [
        name
        for name, percent in endpoint.traffic.items()
        if percent > before.get(name, 0)
        and any(share > 0 for other, share in before.items() if other != name)
    ]


def _summed(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    length = max(len(one), len(other))
    first = one + (0,) * (length - len(one))
    second = other + (0,) * (length - len(other))
    return tuple(a + b for a, b in zip(first, second, strict=True))
