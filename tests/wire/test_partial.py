"""Cutting heads out of bytes; whole messages are in tests/conformance."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.errors import MalformedRequestError
from trioroute.wire.http import Limits
from trioroute.wire.partial import PartialHead

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_whole_head_is_cut_from_what_follows() -> None:
    partial = PartialHead(Limits(), is_request=True)
    assert partial.cut(HEAD + b"body") == (HEAD, b"body")
    assert partial.cut(HEAD) == (HEAD, b"")


@given(st.lists(st.integers(0, len(HEAD) - 1), max_size=5), st.booleans())
def test_a_head_is_whole_with_its_last_byte(cuts: list[int], empty_line: bool) -> None:
    partial = PartialHead(Limits(), is_request=True)
    data = (b"\r\n" if empty_line else b"") + HEAD
    bounds = [0, *sorted(cuts), len(data) - 1]
    for start, stop in itertools.pairwise(bounds):
        assert partial.cut(data[start:stop]) is None
    assert partial.cut(data[-1:] + b"x") == (HEAD, b"x")
    assert partial.buffer == b""


def test_no_data_is_no_news() -> None:
    partial = PartialHead(Limits(), is_request=True)
    assert partial.cut(b"") is None
    assert partial.cut(HEAD[:-1]) is None
    assert partial.cut(b"") is None
    assert partial.cut(HEAD[-1:]) == (HEAD, b"")


def test_an_answer_may_not_begin_with_an_empty_line() -> None:
    with pytest.raises(MalformedRequestError):
        PartialHead(Limits(), is_request=False).cut(b"\r\n")


def test_one_byte_at_a_time_costs_linear_work() -> None:
    """Each feed may look at the new byte only: 60,000 feeds must stay far below the timeout."""
    partial = PartialHead(Limits(), is_request=True)
    partial.cut(b"GET / HTTP/1.1\r\n")
    line = b"x: " + b"y" * 10_000 + b"\r\n"
    for _ in range(6):
        for byte in line:
            assert partial.cut(bytes((byte,))) is None
    assert len(partial.buffer) > 60_000
