"""W3C trace context: which parents are valid, and how a trace goes on."""

import pytest

from trioroute.telemetry.trace_context import TraceContext, parse_traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("value", "is_sampled"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"00-{TRACE}-{PARENT}-03", True),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", True),
        (f"01-{TRACE}-{PARENT}-01", True),
    ],
)
def test_valid_parents_are_read(value: str, is_sampled: bool) -> None:
    assert parse_traceparent(value.encode()) == TraceContext(TRACE, PARENT, is_sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f" 00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
        f"cc-{TRACE}-{PARENT}-01.extra",
        f"00-{TRACE}-{PARENT}-01, 00-{TRACE}-{PARENT}-01",
    ],
)
def test_invalid_parents_are_dropped(value: str) -> None:
    assert parse_traceparent(value.encode()) is None


@pytest.mark.parametrize("is_sampled", [True, False])
def test_the_trace_goes_on_below_a_new_parent(is_sampled: bool) -> None:
    context = TraceContext(TRACE, PARENT, is_sampled).with_parent(bytes(range(1, 9)))
    assert context.parent_id == "0102030405060708"
    assert parse_traceparent(context.encode()) == context
