"""A seed and a profile make the plan of a run: which faults, when, how long. Pure."""

import random
from collections.abc import Collection
from typing import Final

import attrs

from chaos.faults import Fault, kind_named

__all__ = ["Plan", "Profile", "make_plan"]

#: Between healing one fault and injecting the next: time to recover and to serve undisturbed.
_QUIET_S: Final = (1.0, 2.0)


@attrs.frozen(kw_only=True)
class Profile:
    """What kind of run to plan.

    Attributes:
        kinds: names of the kinds to choose from.
        fault_count: how many faults.
        first_s: load before the first fault, seconds.
        quiet_s: shortest and longest time between two faults.
        hold_max_s: no fault lasts longer, whatever its kind allows.
        has_every_kind: deal the kinds out in rounds, so that each comes before one comes twice.
    """

    kinds: tuple[str, ...]
    fault_count: int
    first_s: float = 3.0
    quiet_s: tuple[float, float] = _QUIET_S
    hold_max_s: float = 10.0
    has_every_kind: bool = True


@attrs.frozen(kw_only=True)
class Plan:
    """Faults in order of time, and the kinds that this machine cannot have."""

    seed: int
    faults: tuple[Fault, ...]
    skipped: tuple[str, ...] = ()

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that occur."""
        return frozenset(fault.kind for fault in self.faults)


def make_plan(seed: int, profile: Profile, *, without: Collection[str] = ()) -> Plan:
    """Deal out a run's faults. The same arguments make the same plan everywhere.

    Args:
        without: kinds that this machine cannot have; they change neither the order nor the dice
            of the others more than they must, and are listed as skipped.

    Raises:
        ValueError: no kind is left.
        KeyError: a kind does not exist.
    """
    skipped = tuple(name for name in profile.kinds if name in without)
    possible = [name for name in profile.kinds if name not in without]
    if not possible:
        raise ValueError(f"none of {', '.join(profile.kinds)} is possible on this machine")
    rng = random.Random(f"chaos {seed}")
    faults: list[Fault] = []
    at_s = profile.first_s
    round_left: list[str] = []
    for _ in range(profile.fault_count):
        if not round_left:
            round_left = rng.sample(possible, len(possible))
        name = round_left.pop() if profile.has_every_kind else rng.choice(possible)
        low, high = kind_named(name).hold_s
        hold_s = min(rng.uniform(low, high), profile.hold_max_s)
        faults.append(
            Fault(kind=name, at_s=at_s, hold_s=hold_s, pick=rng.random(), strength=rng.random())
        )
        at_s += hold_s + rng.uniform(*profile.quiet_s)
    return Plan(seed=seed, faults=tuple(faults), skipped=skipped)
