"""Plans: the same seed is the same plan, every kind gets its turn, and times make sense."""

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.faults import KINDS, kind_named
from chaos.plan import Profile, make_plan

ALL = tuple(kind.name for kind in KINDS)


@given(seed=st.integers(0, 1000), count=st.integers(1, 80), without=st.sets(st.sampled_from(ALL)))
def test_every_plan_keeps_its_profile(seed: int, count: int, without: set[str]) -> None:
    profile = Profile(kinds=ALL, fault_count=count, hold_max_s=2.0)
    if set(ALL) <= without:
        return
    plan = make_plan(seed, profile, without=without)
    assert len(plan.faults) == count
    assert set(plan.skipped) == without
    assert not plan.kinds & without
    # Dealt in rounds: no kind comes a second time before all have come.
    assert len(plan.kinds) == min(count, len(ALL) - len(without))
    for fault in plan.faults:
        assert fault.hold_s <= min(2.0, kind_named(fault.kind).hold_s[1])
    for earlier, later in pairwise(plan.faults):
        assert later.at_s >= earlier.at_s + earlier.hold_s + profile.quiet_s[0]


def test_a_seed_is_one_plan_in_every_process() -> None:
    script = (
        "from chaos.plan import *; from chaos.faults import KINDS;"
        "print(make_plan(5, Profile(kinds=tuple(k.name for k in KINDS), fault_count=50)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{make_plan(5, Profile(kinds=ALL, fault_count=50))}\n"
    assert make_plan(6, Profile(kinds=ALL, fault_count=50)) != make_plan(
        5, Profile(kinds=ALL, fault_count=50)
    )


def test_a_machine_that_can_do_nothing_is_told() -> None:
    with pytest.raises(ValueError, match="kill-all"):
        make_plan(1, Profile(kinds=("kill-all",), fault_count=1), without={"kill-all"})
