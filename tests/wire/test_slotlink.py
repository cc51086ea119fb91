"""The slot link's bytes."""

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.slots import messages as m
from trioroute.core.slots.priority import Priority
from trioroute.wire.frames import FrameError, encode_frame
from trioroute.wire.slotlink import BatchDecoder, coordinator_decoder, encode_batch, holder_decoder

slots = st.dictionaries(st.text(max_size=8), st.binary(max_size=20), max_size=4)
numbers = st.integers(0, 2**60)
times = st.floats(0, 1e9)

from_holder = st.one_of(
    st.builds(m.Hello, version=numbers, holder=st.text(), incarnation=numbers, uptime_s=times),
    st.builds(
        m.Renew,
        sent_at=times,
        held=slots,
        busy=slots,
        waiting=st.dictionaries(st.text(), numbers, max_size=3),
        routing_version=numbers,
        round_trip_s=times,
        service_s=st.dictionaries(st.text(), times, max_size=3),
        served=st.dictionaries(st.text(), st.tuples(numbers, numbers, times), max_size=3),
    ),
    st.builds(m.Acquire, number=numbers, deployment=st.text(), waited_s=times, wait_max_s=times),
    st.builds(m.Cancel, number=numbers),
    st.builds(m.Return, slots=slots),
    st.builds(m.Stock, deployment=st.text(), idle=numbers),
    st.builds(m.Failed, replica=st.text(), is_unreachable=st.booleans()),
    st.builds(m.Goodbye, busy=slots),
    st.builds(
        m.Observed,
        rows=st.dictionaries(
            st.text(),
            st.tuples(numbers, numbers, st.lists(numbers, max_size=4).map(tuple)),
            max_size=3,
        ),
    ),
)
from_coordinator = st.one_of(
    st.builds(m.Welcome, version=numbers, epoch=numbers),
    st.builds(m.Lease, echo_sent_at=times, seen=numbers, slots=slots),
    st.builds(m.Grant, number=numbers, replica=st.text(), slot=numbers, oldest_waited_s=times),
    st.builds(m.Refuse, number=numbers, reason=st.text()),
    st.builds(
        m.Mode,
        deployment=st.text(),
        contended=st.booleans(),
        own_age_s=times,
        oldest_waited_s=times,
    ),
    st.builds(m.Expect, deployment=st.text(), wait_s=times),
    st.builds(m.Recall, deployment=st.text(), keep=numbers, most=numbers),
)


@given(st.lists(from_holder, max_size=5))
def test_what_a_holder_says_is_heard(batch: list[m.FromHolder]) -> None:
    assert holder_decoder().feed(encode_batch(batch)) == batch


@given(st.lists(from_coordinator, max_size=5))
def test_what_the_coordinator_says_is_heard(batch: list[m.FromCoordinator]) -> None:
    assert coordinator_decoder().feed(encode_batch(batch)) == batch


def test_the_coordinators_words_are_not_taken_from_a_holder() -> None:
    with pytest.raises(FrameError, match="not said on this side"):
        holder_decoder().feed(encode_batch([m.Welcome(version=1, epoch=9)]))


def test_a_message_without_its_fields_is_refused() -> None:
    with pytest.raises(FrameError, match="kind 4"):
        holder_decoder().feed(encode_frame([(4, {})]))


def test_fields_of_a_later_version_are_ignored() -> None:
    newer = encode_frame([(4, {"number": 7, "why": "later versions say why"})])
    assert holder_decoder().feed(newer) == [m.Cancel(number=7)]


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_awaited_never_an_accident(garbage: bytes) -> None:
    try:
        holder_decoder().feed(garbage)
    except FrameError:
        return


def test_the_numbers_of_the_kinds_are_the_contract() -> None:
    """They may be added to, never changed: versions N and N-1 talk to each other."""
    for number, message in (
        (3, m.Acquire(number=1, deployment="", waited_s=0)),
        (6, m.Goodbye(busy={})),
        (7, m.Stock(deployment="", idle=0)),
        (8, m.Failed(replica="", is_unreachable=True)),
        (9, m.Observed(rows={})),
        (71, m.Expect(deployment="", wait_s=1.0)),
        (70, m.Recall(deployment="", keep=0, most=1)),
    ):
        assert msgspec.msgpack.decode(encode_batch([message])[4:])[0][0] == number


def test_what_version_1_says_is_understood() -> None:
    """Its renewals and modes lack the fields that version 2 added."""
    renew = {"sent_at": 1.0, "held": {}, "busy": {}, "waiting": {}, "routing_version": 3}
    (said,) = holder_decoder().feed(encode_frame([(2, renew)]))
    assert said == m.Renew(sent_at=1.0, held={}, busy={}, waiting={}, routing_version=3)
    mode = encode_frame([(69, {"deployment": "e/d", "contended": True})])
    assert coordinator_decoder().feed(mode) == [m.Mode(deployment="e/d", contended=True)]


def test_what_is_said_of_requests_without_a_slot_may_be_left_out() -> None:
    """A holder of the version before does not tell; that is not the same as having none."""
    goodbye = encode_frame([(6, {"busy": {}})])
    assert holder_decoder().feed(goodbye) == [m.Goodbye(busy={}, unnumbered={})]
    renew = {"sent_at": 1.0, "held": {}, "busy": {}, "waiting": {}, "routing_version": 3}
    (said,) = holder_decoder().feed(encode_frame([(2, renew)]))
    assert isinstance(said, m.Renew)
    assert said.unnumbered is None
    said = attrs.evolve(said, unnumbered={})
    assert holder_decoder().feed(encode_batch([said])) == [said]
    words = [(65, {"version": 2, "epoch": 3}), (71, {"deployment": "e/d", "wait_s": 1.0})]
    assert coordinator_decoder().feed(encode_frame(words)) == [
        m.Welcome(version=2, epoch=3, index=0),
        m.Expect(deployment="e/d", wait_s=1.0, is_doubt=False),
    ]


@attrs.frozen(kw_only=True)
class OldAcquire:
    """As versions before priorities had it."""

    number: int
    deployment: str
    waited_s: float
    wait_max_s: float = 0.0


def test_a_request_with_a_priority_is_understood_by_who_knows_none() -> None:
    new = m.Acquire(number=7, deployment="e/d", waited_s=0.5, priority=0, size=9)
    old: list[OldAcquire] = BatchDecoder[OldAcquire]({3: OldAcquire}).feed(encode_batch([new]))
    assert old == [OldAcquire(number=7, deployment="e/d", waited_s=0.5)]


def test_a_request_without_a_priority_is_a_normal_one() -> None:
    frame = encode_frame([(3, OldAcquire(number=7, deployment="e/d", waited_s=0.5))])
    assert holder_decoder().feed(frame) == [
        m.Acquire(number=7, deployment="e/d", waited_s=0.5, priority=Priority.NORMAL, size=0)
    ]
