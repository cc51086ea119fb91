"""HTTP/1.1 as values: heads, limits, and what a codec must do, whichever parser is inside.

Two codecs obey these Protocols: `wire.fast` (httptools, the hot path) and `wire.complete` (h11,
the judge). A decoder belongs to one connection and has one owner. It never parses past the end of
the message it is in: what follows stays unparsed until the owner asks for the next head.

A whole small request costs one call::

    head = decoder.feed_head(data)          # None: need more
    if head is not None and not decoder.body_done:
        decoder.limit_body(endpoint_limit)
        body = decoder.feed_body()          # what came along with the head, then feed_body(data)

Heads are immutable, and a connection that repeats a head byte for byte gets *the same object*
again. So whatever is derived from a head alone may be kept and reused while `head is last_head`.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import attrs

__all__ = [
    "FORWARDED_METHODS",
    "REFUSED_METHODS",
    "Field",
    "Framing",
    "Limits",
    "RequestDecoder",
    "RequestHead",
    "ResponseDecoder",
    "ResponseHead",
    "explain_limits",
]

#: A header field: lower-case name, value without surrounding white space.
Field: TypeAlias = tuple[bytes, bytes]

#: Methods that go to a replica (contract, item 4).
FORWARDED_METHODS: Final = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
)
#: Understood and refused: the exchange answers 405 with `Allow` (contract, item 4).
REFUSED_METHODS: Final = frozenset((b"CONNECT", b"TRACE"))


class Framing(enum.Enum):
    """How a body ends. Decided once, from the head, and never again (RFC 9112 §6.3)."""

    NONE = "none"  # no body follows, whatever the fields say
    LENGTH = "length"  # exactly content_length bytes
    CHUNKED = "chunked"  # until the last chunk and its trailers
    EOF = "eof"  # responses only: until the upstream closes cleanly


#: A day. Whoever wants a limit longer than that wants none, and there is none that is none.
_SECONDS_MAX: Final = 86_400.0
_SECONDS_MIN: Final = 0.001


def _seconds(default: float, *, struck: str, why: str) -> float:
    """A time limit. See `explain_limits` for `struck` and `why`."""

    def check(_: object, attribute: "attrs.Attribute[float]", value: float) -> None:
        if not _SECONDS_MIN <= value <= _SECONDS_MAX:
            raise ValueError(
                f"{attribute.name} must be {_SECONDS_MIN:g} to {_SECONDS_MAX:g} seconds,"
                f" it is {value:g}"
            )

    return attrs.field(default=default, validator=check, metadata={"struck": struck, "why": why})


def _count(default: int, *, struck: str, why: str, at_least: int = 1) -> int:
    """A limit of bytes or of things. See `explain_limits` for `struck` and `why`."""

    def check(_: object, attribute: "attrs.Attribute[int]", value: int) -> None:
        if not isinstance(value, int):
            raise TypeError(f"{attribute.name} must be a whole number, it is {value!r}")
        if value < at_least:
            raise ValueError(f"{attribute.name} must be at least {at_least}, it is {value}")

    return attrs.field(default=default, validator=check, metadata={"struck": struck, "why": why})


@attrs.frozen(kw_only=True)
class Limits:
    """Every limit of the data plane (contract, section 3); times in seconds.

    Limits of one endpoint or deployment (its body, its request, its queue) are settings of theirs.

    Raises:
        ValueError: a value is not usable; the message names the field and its bounds.
    """

    method_bytes_max: int = _count(
        32, struck="400", why="no registered method is longer than 17 octets"
    )
    target_bytes_max: int = _count(
        16 * 1024,
        struck="414",
        why="RFC 9112 §3 asks for 8,000 at least; HAProxy buffers 16 KiB",
        at_least=8_000,
    )
    field_bytes_max: int = _count(
        16 * 1024,
        struck="431",
        why="one line: nginx allows 8 KiB; tokens of identity providers come near that",
    )
    head_bytes_max: int = _count(
        64 * 1024, struck="431, 502", why="Envoy allows 60 KiB, HAProxy 16 KiB"
    )
    field_count_max: int = _count(128, struck="431, 502", why="Envoy allows 100, HAProxy 101")
    chunk_line_bytes_max: int = _count(
        4 * 1024,
        struck="400, break",
        why="a size has at most 16 digits; the rest is extensions that nobody uses",
        at_least=20,
    )
    chunk_extension_bytes_max: int = _count(
        16 * 1024,
        struck="400, break",
        why="all of one message together: they cost time and carry nothing",
    )
    trailer_count_max: int = _count(
        32, struck="400, break", why="trailers carry checksums and signatures at most"
    )
    trailer_bytes_max: int = _count(8 * 1024, struck="400, break", why="all of them together")
    body_bytes_max: int = _count(
        100 * 1024 * 1024, struck="413", why="Azure ML v1 took 100 MB; an endpoint may set its own"
    )
    head_read_s: float = _seconds(
        10.0,
        struck="408",
        why="from accept and from a head's first byte: HAProxy advises 5 s, nginx 60 s",
    )
    body_idle_s: float = _seconds(
        30.0, struck="408", why="between two reads of a request's body: nginx 60 s"
    )
    response_idle_s: float = _seconds(
        300.0, struck="break", why="between two reads of an answer's body: Envoy's stream idle time"
    )
    connect_s: float = _seconds(
        1.0,
        struck="next replica, 502",
        why="a replica is near: what does not connect in 1 s is not there",
    )
    interim_count_max: int = _count(
        16, struck="502", why="answers 1xx to one request; proxies passed 1,000 of them on"
    )
    continue_wait_s: float = _seconds(
        1.0, struck="100 by us", why="a client that waits for `100 Continue` may wait for ever"
    )
    client_idle_s: float = _seconds(75.0, struck="close", why="between two requests: nginx 75 s")
    upstream_idle_s: float = _seconds(
        1.5,
        struck="close",
        why="common Python servers close after 2 to 5 s; a replica's Keep-Alive wins",
    )
    relay_bytes_max: int = _count(
        64 * 1024,
        struck="back-pressure",
        why="one read, and so what is held a direction: Envoy's edge advice is 32 KiB",
        at_least=4 * 1024,
    )
    linger_bytes_max: int = _count(
        64 * 1024, struck="close", why="a lingering close reads and drops this much"
    )
    linger_s: float = _seconds(2.0, struck="close", why="or for this long")
    connection_count_max: int = _count(
        10_000, struck="503, close", why="of one worker process: Envoy 10,000 a listener"
    )
    connection_per_address_max: int = _count(
        256, struck="503, close", why="one address of them; not trusted proxies' (decision 19)"
    )
    write_stall_s: float = _seconds(
        60.0, struck="reset", why="a client takes nothing: nginx `send_timeout`"
    )
    upgrade_idle_s: float = _seconds(
        300.0, struck="reset", why="an upgraded connection is silent both ways (contract, U4)"
    )


def explain_limits() -> list[tuple[str, str, str, str]]:
    """Of each limit: its name, its default, what happens when it is struck, and why so."""
    return [
        (limit.name, f"{limit.default:,}", limit.metadata["struck"], limit.metadata["why"])
        for limit in attrs.fields(Limits)
    ]


@attrs.define(slots=True, eq=False)  # not frozen: that would triple the cost of making one
class RequestHead:
    """One request head as understood. Treat as immutable: it may be handed out again.

    Attributes:
        method: one of FORWARDED_METHODS or REFUSED_METHODS.
        target: origin-form (absolute-form is converted), or `*` for OPTIONS, or the authority for
            CONNECT.
        minor_version: 0 for HTTP/1.0, 1 for everything treated as 1.1.
        fields: in received order; Host is replaced by the authority of an absolute target.
        index: every name once; values of repeated fields joined with `, ` (RFC 9110 §5.3).
        authority: `host[:port]` of the target or of Host; empty for a 1.0 request without Host.
        framing: NONE, LENGTH or CHUNKED; decided before any field is removed.
        content_length: the body's length for LENGTH, 0 for NONE, -1 for CHUNKED.
        keep_alive: the client lets the connection live on after this exchange.
        expect_continue: the client waits for `100 Continue` before it sends the body.
        connection_options: lower-case names that Connection listed.
        upgrade: the Upgrade value, only when it may be honoured (contract, U1): GET, 1.1, no body,
            `Connection: upgrade`; otherwise empty.
        accepts_trailers: the client sent `TE: trailers`.
    """

    method: bytes
    target: bytes
    minor_version: int
    fields: Sequence[Field]
    index: Mapping[bytes, bytes]
    authority: bytes
    framing: Framing
    content_length: int
    keep_alive: bool
    expect_continue: bool
    connection_options: frozenset[bytes]
    upgrade: bytes
    accepts_trailers: bool


@attrs.define(slots=True, eq=False)  # not frozen, as above
class ResponseHead:
    """One response head as understood; interim (1xx) ones too. Treat as immutable.

    Attributes:
        status: 100 to 999.
        minor_version: 0 for HTTP/1.0, 1 for everything treated as 1.1.
        fields: in received order.
        index: every name once; values of repeated fields joined with `, `.
        framing: how this answer's body ends, after the rules for HEAD, 1xx, 204 and 304.
        content_length: the value of Content-Length, also where no body follows (HEAD); else -1.
        keep_alive: the upstream lets the connection live on.
        connection_options: lower-case names that Connection listed.
        upgrade: the Upgrade value of a 101 with `Connection: upgrade`; otherwise empty.
    """

    status: int
    minor_version: int
    fields: Sequence[Field]
    index: Mapping[bytes, bytes]
    framing: Framing
    content_length: int
    keep_alive: bool
    connection_options: frozenset[bytes]
    upgrade: bytes


class RequestDecoder(Protocol):
    """Reads the requests of one client connection, one at a time.

    After an error nothing more can be read from the connection: answer, linger, close.
    """

    @property
    def body_done(self) -> bool:
        """The body of the current request has been handed out to its end (at once without one)."""

    @property
    def trailers(self) -> Sequence[Field]:
        """Of a chunked body once it is done: grammar and limits checked, nothing removed."""

    @property
    def held_bytes(self) -> int:
        """Bytes received and not yet parsed: an unfinished head, or what a pipelining client sent.

        More than 0 between exchanges means that a head has begun (head read time applies).
        """

    def feed_head(self, data: bytes = b"") -> RequestHead | None:
        """Take received bytes; return the head when it is whole. None means: need more.

        Call it with no data first after each finished exchange: a pipelined head may be held.

        Raises:
            MalformedRequestError: with the answer's status and reason; the connection is over.
            InvariantError: the current request's body is not done.
        """

    def limit_body(self, bytes_max: int) -> None:
        """Set this request's body limit; call between feed_head and feed_body.

        Raises:
            BodyTooLargeError: Content-Length says at once that it will be exceeded.
        """

    def feed_body(self, data: bytes = b"") -> bytes:
        """Take received bytes; return the decoded body bytes now known (may be empty).

        Bytes beyond the end of the body are held.

        Raises:
            MalformedRequestError: broken chunk framing or trailers.
            BodyTooLargeError: the limit is passed at this byte.
        """

    def hold(self, data: bytes) -> None:
        """Keep bytes that arrived while an exchange whose request is done is in flight."""

    def take_held(self) -> bytes:
        """Hand over all unparsed bytes and forget them (after an upgrade)."""


class ResponseDecoder(Protocol):
    """Reads the answers of one upstream connection; `begin` starts each exchange."""

    @property
    def body_done(self) -> bool:
        """The body of the current answer has been handed out to its end (at once without one)."""

    @property
    def trailers(self) -> Sequence[Field]:
        """Of a chunked body once it is done: grammar and limits checked, nothing removed."""

    @property
    def held_bytes(self) -> int:
        """Bytes received and not parsed. After the end of an answer: desync, discard."""

    @property
    def reusable(self) -> bool:
        """The answer is whole, both sides keep the connection, and nothing was left over."""

    def begin(self, method: bytes) -> None:
        """A request with this method is about to be written: the next head answers it.

        Raises:
            InvariantError: the last exchange left the connection not reusable.
        """

    def feed_head(self, data: bytes = b"") -> ResponseHead | None:
        """Take received bytes; return the next head, interim or final. None means: need more.

        After an interim head (status below 200, not 101) call again, first without data.

        Raises:
            BrokenAnswerError: what arrived is no valid answer; discard the connection.
        """

    def feed_body(self, data: bytes = b"") -> bytes:
        """Take received bytes; return the decoded body bytes now known (may be empty).

        Bytes beyond the end of the answer are held: they make the connection unusable.

        Raises:
            BrokenAnswerError: broken chunk framing or trailers.
        """

    def feed_eof(self) -> None:
        """The upstream closed cleanly (FIN). Ends a close-delimited body.

        Raises:
            BrokenAnswerError: the answer is not whole.
        """

    def take_held(self) -> bytes:
        """Hand over all unparsed bytes and forget them (after a 101)."""
