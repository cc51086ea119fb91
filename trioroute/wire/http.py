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


def _positive(_: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if value <= 0:
        raise ValueError(f"{attribute.name} must be greater than 0, it is {value}")


def _setting(default: float, *, at_least: float = 0, at_most: float = float("inf")) -> float:
    def check(_: object, attribute: "attrs.Attribute[float]", value: float) -> None:
        if not at_least <= value <= at_most:
            raise ValueError(
                f"{attribute.name} must be between {at_least} and {at_most}, it is {value}"
            )

    return attrs.field(default=default, validator=[_positive, check])


def _count(default: int, *, at_least: int = 1) -> int:
    return attrs.field(
        default=default,
        validator=[attrs.validators.instance_of(int), attrs.validators.ge(at_least)],
    )


@attrs.frozen(kw_only=True)
class Limits:
    """Every limit of the data plane (contract, section 3), with the reason for its default.

    Raises:
        ValueError: a value is not usable; the message names the field and its bounds.
    """

    #: No registered method is longer than 17 octets; 400 above.
    method_bytes_max: int = _count(32)
    #: RFC 9112 §3 asks for 8,000 at least; HAProxy buffers 16 KiB; 414 above.
    target_bytes_max: int = _count(16 * 1024, at_least=8_000)
    #: nginx allows 8 KiB a line; tokens of identity providers come near that; 431 above.
    field_bytes_max: int = _count(16 * 1024)
    #: Envoy allows 60 KiB, HAProxy 16 KiB; 431 above. Leading empty line not counted.
    head_bytes_max: int = _count(64 * 1024)
    #: Envoy allows 100, HAProxy 101; 431 above.
    field_count_max: int = _count(128)
    #: A size is at most 16 digits; the rest is extensions that nobody uses; 400 above.
    chunk_line_bytes_max: int = _count(4 * 1024, at_least=20)
    #: All extensions of one message together: they cost us time and carry nothing; 400 above.
    chunk_extension_bytes_max: int = _count(16 * 1024)
    #: Trailers carry checksums and signatures at most; 400 above.
    trailer_count_max: int = _count(32)
    #: As above, bytes.
    trailer_bytes_max: int = _count(8 * 1024)
    #: Azure ML v1 took 100 MB; an endpoint may set its own; 413 above.
    body_bytes_max: int = _count(100 * 1024 * 1024)
    #: From the first byte of a head and from accept: HAProxy advises 5 s, nginx 60 s; 408 above.
    head_read_s: float = _setting(10.0)
    #: Between two reads of a request body: nginx 60 s; 408 above.
    body_idle_s: float = _setting(30.0)
    #: Until the response head, where an endpoint says nothing: Azure's default; 504 above.
    request_timeout_s: float = _setting(5.0, at_most=300.0)
    #: Between two reads of a response body: Envoy's stream idle time; visible break above.
    response_idle_s: float = _setting(300.0)
    #: A replica is near: what does not connect in 1 s is not there.
    connect_s: float = _setting(1.0)
    #: Interim answers to one request, then 502: 1,000 of them were seen passed on elsewhere.
    interim_count_max: int = _count(16)
    #: How long a replica may stay silent before we send `100 Continue` ourselves.
    continue_wait_s: float = _setting(1.0)
    #: An idle client connection: nginx 75 s.
    client_idle_s: float = _setting(75.0)
    #: An idle upstream connection: common Python servers close theirs after 2 to 5 s.
    upstream_idle_s: float = _setting(1.5)
    #: Bytes held a direction before reading stops: Envoy's edge advice is 32 KiB.
    relay_bytes_max: int = _count(64 * 1024, at_least=4 * 1024)
    #: A lingering close reads and drops this much or this long (contract, item 28).
    linger_bytes_max: int = _count(64 * 1024)
    #: As above, seconds.
    linger_s: float = _setting(2.0)
    #: Client connections of one process: Envoy 10,000 a listener; 503 above.
    connection_count_max: int = _count(10_000)
    #: Client connections from one address; off where that address is a trusted proxy.
    connection_per_address_max: int = _count(256)
    #: A client that takes nothing for this long is reset: nginx `send_timeout`.
    write_stall_s: float = _setting(60.0)
    #: An upgraded connection without a byte either way (contract, U4).
    upgrade_idle_s: float = _setting(300.0)


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
