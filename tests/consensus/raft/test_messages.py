"""The wire contract: what goes out comes in, and nothing else does."""

import contextlib
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import FrameRefusedError
from consensus.raft.messages import (
    FRAME_BYTES_MAX,
    AppendAnswer,
    AppendEntries,
    Body,
    Envelope,
    FeedCommand,
    FeedSnapshot,
    Follow,
    Proposal,
    ProposalRefused,
    TimeoutNow,
    Vote,
    VoteRequest,
    decode_envelope,
    encode_envelope,
    from_core,
    to_core,
)

BODIES: list[Body | None] = [
    None,
    AppendEntries(3, 7, 6, 2, [(b"\x00x", 7, 3)]),
    AppendEntries(3, 7, chunk=(b"part", True, False)),
    AppendEntries(3, 7),
    AppendAnswer(8, reset=False, success=True),
    VoteRequest(4, 7, 3, transfer=True),
    Vote(4),
    TimeoutNow(4),
    Proposal(b"payload", "fe-3", 4, 12),
    ProposalRefused("fe-3", 4, 12),
    Follow(7),
    FeedSnapshot(7, b"data", is_first=True, is_last=True),
    FeedCommand(8, b""),
]


def envelope(body: Body | None) -> Envelope:
    """Some envelope."""
    return Envelope(
        term=3, fresh=True, pristine=False, sent_at=1.5, echo=1.25, leader="fe-0", body=body
    )


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_every_message_survives_the_wire(body: Body | None) -> None:
    assert decode_envelope(encode_envelope(envelope(body))) == envelope(body)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_are_an_envelope(data: bytes) -> None:
    with contextlib.suppress(FrameRefusedError):
        assert isinstance(decode_envelope(data), Envelope)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps("readonly"),
        msgspec.msgpack.encode([-1, True, False, 0.0, 0.0, "", None]),
        msgspec.msgpack.encode([2**63, True, False, 0.0, 0.0, "", None]),
        msgspec.msgpack.encode([1, True, False, 0.0, 0.0, "", [99, 1]]),
        msgspec.msgpack.encode([1, True, False, 0.0, 0.0, "", [1, 1, 1, 1, 1, [["x", 1, 1]]]]),
        b"\x91" * 5000,
        bytes(FRAME_BYTES_MAX + 1),
    ],
    ids=["pickle", "negative", "huge", "unknown tag", "bad entry", "deep", "long"],
)
def test_what_is_not_of_the_contract_is_refused(data: bytes) -> None:
    with pytest.raises(FrameRefusedError):
        decode_envelope(data)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "append_entries", "term": 1, "transmission": "start", "data": b""},
        {"type": "apply_command", "command": b"x"},
    ],
)
def test_the_core_cannot_send_what_would_need_pickle_or_lose_answers(
    message: dict[str, Any],
) -> None:
    with pytest.raises(FrameRefusedError):
        from_core(message, transfer=False)


def test_messages_become_the_cores_and_back() -> None:
    for body in BODIES[1:8]:
        assert isinstance(body, AppendEntries | AppendAnswer | VoteRequest | Vote | TimeoutNow)
        back = from_core(to_core(body), transfer=True)
        assert type(back) is type(body)


def test_a_commit_index_covers_only_what_the_message_proves() -> None:
    """Stock: a follower commits the stale tail that stands behind a snapshot (gap 2.24)."""
    entries = AppendEntries(3, 100, 6, 2, [(b"", 7, 3)])
    heartbeat = AppendEntries(3, 100, 6, 2)
    chunk = AppendEntries(3, 100, chunk=(b"", True, False))
    assert [to_core(m)["commit_index"] for m in (entries, heartbeat, chunk)] == [7, 6, 0]
