"""The peer wire contract as types: the envelope, the messages, and their MessagePack codec.

Every frame on an open session is one `Envelope`. Raft's own messages are translated to and from the
dictionaries of pysyncobj's core here, field by field, so nothing a peer sends reaches the core
unchecked. The contract in prose, with its MUSTs, is in consensus/DESIGN.md.
"""

from typing import Annotated, Any, Final

import msgspec

from consensus.errors import FrameRefusedError

__all__ = [
    "FRAME_BYTES_MAX",
    "WIRE_VERSION",
    "AppendAnswer",
    "AppendEntries",
    "Body",
    "Envelope",
    "Proposal",
    "ProposalRefused",
    "TimeoutNow",
    "Vote",
    "VoteRequest",
    "decode_envelope",
    "encode_envelope",
    "from_core",
    "to_core",
]

#: Raised with any change that an older member would misread; compared in the hello.
WIRE_VERSION: Final = 2

#: Entries travel in batches of 64 KiB and commands are at most 32 KiB; 1 MiB is never ours.
FRAME_BYTES_MAX: Final = 1024 * 1024

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
#: (command, index, term), as the core keeps its entries.
Entry = tuple[bytes, Count, Count]


class AppendEntries(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """Heartbeat, entries, or one chunk of a snapshot (`chunk` = bytes, is first, is last)."""

    term: Count
    commit_index: Count
    prev_index: Count | None = None
    prev_term: Count | None = None
    entries: list[Entry] = []
    chunk: tuple[bytes, bool, bool] | None = None


class AppendAnswer(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """A follower's answer: which index it wants next, and whether it matched."""

    next_index: Count
    reset: bool
    success: bool


class VoteRequest(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """A candidate's request. `transfer` when the leader itself asked for this election."""

    term: Count
    last_index: Count
    last_term: Count
    transfer: bool = False


class Vote(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """A vote for the candidate in this term."""

    term: Count


class TimeoutNow(msgspec.Struct, array_like=True, tag=5, frozen=True):
    """The leader asks this follower to stand at once."""

    term: Count


class Proposal(msgspec.Struct, array_like=True, tag=6, frozen=True):
    """A command on its way to the leader. `hops` = how often it may still be passed on."""

    payload: bytes
    origin: str
    incarnation: Count
    number: Count
    hops: Count = 1


class ProposalRefused(msgspec.Struct, array_like=True, tag=7, frozen=True):
    """This member is not the leader and appended nothing.

    Numbers begin anew in each life, so the life is named: what an earlier one proposed may be
    refused late, over a session of the later one.
    """

    origin: str
    incarnation: Count
    number: Count


class Follow(msgspec.Struct, array_like=True, tag=8, frozen=True):
    """An observer asks for the snapshot and every command applied after it."""

    after_index: Count


class FeedSnapshot(msgspec.Struct, array_like=True, tag=9, frozen=True):
    """A chunk of the state at `index`, for an observer."""

    index: Count
    data: bytes
    is_first: bool
    is_last: bool


class FeedCommand(msgspec.Struct, array_like=True, tag=10, frozen=True):
    """A command that was applied at `index`, for an observer."""

    index: Count
    payload: bytes


RaftMessage = AppendEntries | AppendAnswer | VoteRequest | Vote | TimeoutNow
Body = RaftMessage | Proposal | ProposalRefused | Follow | FeedSnapshot | FeedCommand


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """What stands around every message; without a body it is a ping.

    Attributes:
        term: the sender's term when it made the message.
        fresh: the sender is the leader or hears a live one.
        pristine: the sender's log is empty: it never acknowledged anything.
        sent_at: the sender's clock when it made the message, which is never after it was sent.
        echo: for answers, `sent_at` of the message that is answered; else 0.
        leader: who the sender thinks leads, or empty.
    """

    term: Count
    fresh: bool
    pristine: bool
    sent_at: float
    echo: float
    leader: str
    body: Body | None = None


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Envelope)


def encode_envelope(envelope: Envelope) -> bytes:
    """The frame's payload."""
    return _ENCODER.encode(envelope)


def decode_envelope(data: bytes) -> Envelope:
    """The envelope in a frame's payload.

    Raises:
        FrameRefusedError: it is not one.
    """
    if len(data) > FRAME_BYTES_MAX:
        raise FrameRefusedError(f"frame of {len(data)} bytes, at most {FRAME_BYTES_MAX} allowed")
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameRefusedError(f"not a message of version {WIRE_VERSION}: {error}") from None


def from_core(message: dict[str, Any], *, transfer: bool) -> RaftMessage:
    """A message that the core sends, as one of ours.

    Raises:
        FrameRefusedError: a kind that this library never lets the core send (forwarded commands,
            chunked entries); reaching it means a rule was bypassed.
    """
    match message:
        case {"type": "append_entries", "transmission": _}:
            raise FrameRefusedError("an entry longer than one batch")
        case {"type": "append_entries", "serialized": chunk}:
            return AppendEntries(message["term"], message["commit_index"], chunk=chunk)
        case {"type": "append_entries"}:
            return AppendEntries(
                message["term"],
                message["commit_index"],
                message["prevLogIdx"],
                message["prevLogTerm"],
                message["entries"],
            )
        case {"type": "next_node_idx"}:
            return AppendAnswer(message["next_node_idx"], message["reset"], message["success"])
        case {"type": "request_vote"}:
            return VoteRequest(
                message["term"], message["last_log_index"], message["last_log_term"], transfer
            )
        case {"type": "response_vote"}:
            return Vote(message["term"])
        case {"type": "timeout_now"}:
            return TimeoutNow(message["term"])
    raise FrameRefusedError(f"the core must not send {message['type']}")


def to_core(message: RaftMessage) -> dict[str, Any]:
    """One of our messages as the core reads it.

    The commit index is cut to what the message itself proves to match the leader's log: behind it
    this member may hold entries of an earlier leader, and the core would commit those (gap 2.24).
    """
    match message:
        case AppendEntries(prev_index=int()):
            return {
                "type": "append_entries",
                "term": message.term,
                "commit_index": min(message.commit_index, _last_index(message)),
                "entries": message.entries,
                "prevLogIdx": message.prev_index,
                "prevLogTerm": message.prev_term,
            }
        case AppendEntries():
            return {
                "type": "append_entries",
                "term": message.term,
                "commit_index": 0,
                "serialized": message.chunk,
            }
        case AppendAnswer():
            return {
                "type": "next_node_idx",
                "next_node_idx": message.next_index,
                "reset": message.reset,
                "success": message.success,
            }
        case VoteRequest():
            return {
                "type": "request_vote",
                "term": message.term,
                "last_log_index": message.last_index,
                "last_log_term": message.last_term,
            }
        case Vote():
            return {"type": "response_vote", "term": message.term}
        case TimeoutNow():
            return {"type": "timeout_now", "term": message.term}


def _last_index(message: AppendEntries) -> int:
    return message.entries[-1][1] if message.entries else message.prev_index or 0
