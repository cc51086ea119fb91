"""The sliding maximum against the obvious one."""

from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.windows import MaxWindow


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 5)), max_size=50))
def test_the_maximum_of_the_last_ten_seconds(steps: list[tuple[int, float]]) -> None:
    window, now, seen = MaxWindow(10.0), 0.0, []
    for value, gap in steps:
        now += gap
        seen.append((now, value))
        assert window.record(value, now) == max(v for at, v in seen if at > now - 10.0)
