"""Both sides of the slot protocol under whatever hypothesis can think of, joined by bad links.

`Holding` and `SlotDirectory` are the real ones, as in every `slotworld`. A link is one connection,
so its messages keep their order; between links any order is possible, because each has a delay of
its own. A link that breaks loses what was on its way, in both directions, and neither side learns
how much of it arrived.
"""
# house: tests core.holding and core.directory together

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.directory.test_former import change
from tests.core.slots.slotworld import KEY, TIMINGS, World
from trioroute.core.model import Isolation

_HOLDERS = ("w0", "w1", "w2")
_SLOTS_MAX = 3

#: One step where much time passes: ten times a step of the world, and far below any timing.
_LONG_STEP_S = 0.05
#: By then every lease has ended, every fence is written and nothing of a former limit is left.
_HEALED_S = TIMINGS.reclaim_after_min_s + 2 * TIMINGS.lease_s + 3.0

holders = st.sampled_from(_HOLDERS)


def let_pass(world: World, seconds: float) -> None:
    for _ in range(round(seconds / _LONG_STEP_S)):
        world.step(_LONG_STEP_S)


class BothSides(RuleBasedStateMachine):
    """Three holders and one coordinator at a time; the replicas count."""

    world: World

    @initialize(
        seed=st.integers(0, 9),
        slots=st.integers(1, _SLOTS_MAX),
        isolation=st.sampled_from(Isolation),
    )
    def begin(self, seed: int, slots: int, isolation: Isolation) -> None:
        self.world = World(seed=seed, replicas=2, slots=_SLOTS_MAX, isolation=isolation)
        change(self.world, slots=slots)

    # -- load ---------------------------------------------------------------------------------

    @rule(name=holders, count=st.integers(1, 4))
    def request(self, name: str, count: int) -> None:
        for _ in range(count):
            self.world.request(name)

    @rule()
    def everybody_asks(self) -> None:
        for name in _HOLDERS:
            self.request(name, _SLOTS_MAX)

    @rule(steps=st.integers(1, 40))
    def time_passes(self, steps: int) -> None:
        for _ in range(steps):
            self.world.step()

    @rule(seconds=st.floats(0.5, 3.0))
    def much_time_passes(self, seconds: float) -> None:
        let_pass(self.world, seconds)

    # -- links --------------------------------------------------------------------------------

    @rule(name=holders, delay_s=st.floats(0.0, 0.1))
    def slow_down(self, name: str, delay_s: float) -> None:
        """What was sent before keeps its time, so nothing overtakes on one link."""
        link = self.world.workers[name].link
        if link is not None:
            link.delay_s = max(link.delay_s, delay_s)

    @rule(name=holders)
    def break_link(self, name: str) -> None:
        self.world.hang_up(self.world.workers[name])

    @rule(name=holders)
    def cut_off(self, name: str) -> None:
        worker = self.world.workers[name]
        worker.reachable = False
        self.world.hang_up(worker)

    @rule(name=holders, seconds=st.floats(0.1, 3.0))
    def freeze(self, name: str, seconds: float) -> None:
        self.world.workers[name].frozen_until = self.world.now + seconds

    # -- processes ----------------------------------------------------------------------------

    @rule(name=holders)
    def kill(self, name: str) -> None:
        self.world.crash(name)

    @rule()
    def take_over(self) -> None:
        self.world.elect()

    @rule()
    def lose_the_coordinator(self) -> None:
        self.world.depose()

    # -- the deployment -----------------------------------------------------------------------

    @precondition(lambda self: self.world.directory is not None)
    @rule(slots=st.integers(1, _SLOTS_MAX))
    def change_the_limit(self, slots: int) -> None:
        change(self.world, slots=slots)

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def no_replica_runs_more_than_its_limit(self) -> None:
        if hasattr(self, "world"):
            assert self.world.over_limit == []

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.heal()

    def heal(self) -> None:
        """Everything is well again: then everybody is served, and no slot is lost."""
        world = self.world
        for worker in world.workers.values():
            worker.reachable, worker.frozen_until = True, 0.0
        if world.directory is None:
            world.elect()
        waiting = sum(len(worker.arrivals) for worker in world.workers.values())
        let_pass(world, _HEALED_S + waiting * world.request_max_s / 2)
        assert world.over_limit == []
        assert not any(worker.arrivals for worker in world.workers.values()), "somebody waits"
        capacity = sum(each.slots for each in world.registry.state.replicas[KEY])
        before = len(world.served)
        for n in range(capacity):
            world.request(_HOLDERS[n % len(_HOLDERS)])
        let_pass(world, 0.5)
        assert len(world.served) == before + capacity, "a slot is lost"


BothSides.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
test_whatever_happens_to_both_sides = BothSides.TestCase
