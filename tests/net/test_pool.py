"""Last in first out, never more than allowed, never one in doubt."""

import attrs

from trioroute.net.pool import Pool


@attrs.define(eq=False)
class Fake:
    """A connection that remembers whether it was closed."""

    idle_until: float = 10.0
    has_arrived: bool = False
    is_closed: bool = False

    def is_quiet(self) -> bool:
        """See `Poolable`."""
        return not self.has_arrived

    def close(self) -> None:
        """See `Poolable`."""
        self.is_closed = True


def filled(*connections: Fake, idle_max: int = 8) -> Pool[Fake]:
    pool = Pool[Fake](idle_max=idle_max)
    for connection in connections:
        pool.put(connection)
    return pool


def test_the_last_one_used_is_used_next() -> None:
    first, second = Fake(), Fake()
    pool = filled(first, second)
    assert [pool.take(0.0), pool.take(0.0), pool.take(0.0)] == [second, first, None]
    assert pool.statistics().reused == 2


def test_more_than_the_slots_are_not_kept() -> None:
    first, second = Fake(), Fake()
    pool = filled(first, second, idle_max=1)
    assert second.is_closed
    assert pool.statistics().idle == 1


def test_one_that_turned_readable_is_closed_and_never_given_out() -> None:
    good, spoilt = Fake(), Fake(has_arrived=True)
    pool = filled(good, spoilt)
    assert pool.take(0.0) is good
    assert spoilt.is_closed
    assert pool.statistics().spoilt == 1


def test_one_that_idled_too_long_is_closed() -> None:
    old = Fake(idle_until=5.0)
    pool = filled(old)
    assert pool.take(5.1) is None
    assert old.is_closed


def test_a_sweep_closes_what_is_late_or_readable_and_keeps_the_order() -> None:
    late, first, spoilt, second = Fake(idle_until=1.0), Fake(), Fake(has_arrived=True), Fake()
    pool = filled(late, first, spoilt, second)
    pool.sweep(2.0)
    assert (late.is_closed, spoilt.is_closed) == (True, True)
    assert [pool.take(2.0), pool.take(2.0)] == [second, first]
    assert (pool.statistics().expired, pool.statistics().spoilt) == (1, 1)


def test_a_closed_pool_closes_what_comes_back() -> None:
    idle, in_use = Fake(), Fake()
    pool = filled(idle)
    pool.close()
    pool.put(in_use)
    assert (idle.is_closed, in_use.is_closed) == (True, True)
