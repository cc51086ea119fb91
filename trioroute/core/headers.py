"""Which header fields pass through the router, which it owns, and what it adds.

Pure functions on lists of (lower-case name, value) pairs; the rules are contract items 15 to 18
and section 6. Nothing here reads a message's framing: that was decided before, from the fields as
they came (item 16).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

__all__ = [
    "CLIENT_REQUEST_ID_MAX",
    "HOP_BY_HOP",
    "OWNED",
    "PROTECTED",
    "REQUEST_ID_MAX",
    "ForwardedBy",
    "client_request_id",
    "cors_fields",
    "decrement_max_forwards",
    "forwardable_trailers",
    "index_fields",
    "is_cors_field",
    "is_origin",
    "is_preflight",
    "is_reserved",
    "preflight_fields",
    "request_fields",
    "response_fields",
    "trace_parent",
    "trusted_request_id",
]

Field: TypeAlias = tuple[bytes, bytes]

#: Fields about one connection, never forwarded (RFC 9110 §7.6.1; Proxy-Connection and Keep-Alive
#: are the historic ones; HTTP2-Settings belongs to an upgrade that is not offered).
HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

#: Fields that decide where a message ends or who may send it.
_FRAMING_AND_IDENTITY: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"proxy-authorization",
        b"proxy-authenticate",
    )
)

#: Fields the router writes itself (contract, section 6).
OWNED: Final = frozenset(
    (
        b"x-request-id",
        b"x-ms-request-id",
        b"x-ms-client-request-id",
        b"traceparent",
        b"tracestate",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"via",
        b"max-forwards",
        b"expect",
    )
)

#: Fields by which a request is routed or its body read. CGI and WSGI servers take `Content_Type`
#: for `Content-Type`, so both names must not reach one.
_MEANING: Final = frozenset(
    (
        b"azureml-model-deployment",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"idempotency-key",
    )
)

#: `Connection` must not name one of these and no name may equal one after `_` became `-`
#: (items 16 and 35): dropping or doubling them behind our back is an attack.
PROTECTED: Final = _FRAMING_AND_IDENTITY | _MEANING | OWNED

_RESERVED_PREFIX: Final = b"x-trioroute-"

#: Request fields that are dropped or rewritten, not copied.
_NOT_COPIED_UP: Final = (
    HOP_BY_HOP
    | OWNED
    | frozenset((b"host", b"content-length", b"authorization", b"proxy-authorization"))
    # CGI servers hand it on as HTTP_PROXY, which clients of their own obey ("httpoxy").
    | frozenset((b"proxy",))
)

#: Response fields that are dropped or rewritten, not copied. A replica's own `x-request-id` never
#: replaces ours; a client's `x-ms-client-request-id` is echoed by us.
_NOT_COPIED_DOWN: Final = HOP_BY_HOP | frozenset(
    (b"content-length", b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id")
)

#: Trailers that could change how the message is framed, routed, authenticated or read (RFC 9110
#: §6.5.1). Kept apart from the head in any case.
_NOT_TRAILERS: Final = (
    HOP_BY_HOP
    | PROTECTED
    | frozenset(
        (
            b"age",
            b"cache-control",
            b"content-encoding",
            b"content-range",
            b"content-type",
            b"cookie",
            b"date",
            b"expires",
            b"location",
            b"pragma",
            b"range",
            b"retry-after",
            b"set-cookie",
            b"vary",
            b"warning",
            b"www-authenticate",
        )
    )
)

#: A trusted proxy's request id: long enough for a UUID and a prefix (contract, section 6).
REQUEST_ID_MAX: Final = 64
#: Azure cuts the client's id at this length.
CLIENT_REQUEST_ID_MAX: Final = 40

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,%d}" % REQUEST_ID_MAX)
_CLIENT_ID: Final = re.compile(rb"[A-Za-z0-9_-]+")
#: W3C Trace Context, version 00 and any later one that keeps its shape; `ff` is forbidden.
_TRACE_PARENT: Final = re.compile(
    rb"((?!ff)[0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})"
)


#: An origin as browsers serialise it (RFC 6454 §6.2): no path, no user, lower case.
_ORIGIN: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)

_CORS_PREFIX: Final = b"access-control-"

#: How long a browser may remember what it was allowed, seconds; Chromium's limit is two hours.
_PREFLIGHT_AGE: Final = b"600"


def is_reserved(name: bytes) -> bool:
    """Whether a lower-case name is ours in both directions (`x-trioroute-…`)."""
    return name.startswith(_RESERVED_PREFIX)


def request_fields(
    fields: Iterable[Field],
    connection_options: frozenset[bytes] = frozenset(),
    *,
    keep_authorization: bool = False,
) -> list[Field]:
    """The part of a request's fields that depends on the request alone, for the replica.

    Removed: hop-by-hop fields and those that Connection names, Host, framing, everything the
    router owns, and credentials. The caller adds Host, framing, Via and the rest per exchange.

    Args:
        fields: as received, names in lower case.
        connection_options: what Connection named.
        keep_authorization: the endpoint opted in to forwarding `Authorization`.
    """
    kept = [
        field
        for field in fields
        if field[0] not in _NOT_COPIED_UP
        and field[0] not in connection_options
        and not field[0].startswith(_RESERVED_PREFIX)
    ]
    if keep_authorization:
        kept += [field for field in fields if field[0] == b"authorization"]
    return kept


def response_fields(
    fields: Iterable[Field],
    connection_options: frozenset[bytes] = frozenset(),
    *,
    drops_cors: bool = False,
) -> list[Field]:
    """The part of a replica's fields that passes to the client; framing is written anew.

    Args:
        fields: as received, names in lower case.
        connection_options: what Connection named.
        drops_cors: the endpoint has CORS rules of its own; with two answers browsers refuse both.
    """
    return [
        field
        for field in fields
        if field[0] not in _NOT_COPIED_DOWN
        and field[0] not in connection_options
        and not field[0].startswith(_RESERVED_PREFIX)
        and not (drops_cors and is_cors_field(field[0]))
    ]


def is_origin(text: str) -> bool:
    """Whether a configured text can be what a browser sends in `Origin`."""
    return _ORIGIN.fullmatch(text) is not None


def is_cors_field(name: bytes) -> bool:
    """Whether a lower-case name belongs to the CORS protocol (Fetch, section 3.3)."""
    return name.startswith(_CORS_PREFIX)


def is_preflight(method: bytes, index: Mapping[bytes, bytes]) -> bool:
    """Whether a browser asks for permission first (Fetch, section 3.3.2)."""
    return method == b"OPTIONS" and b"origin" in index and b"access-control-request-method" in index


def cors_fields(origins: Sequence[str], origin: bytes | None) -> list[Field]:
    """What an answer says to the page that asked.

    Args:
        origins: whom the endpoint allows; `*` alone for everybody.
        origin: the request's Origin; the answer repeats the configured value, never this.
    """
    if "*" in origins:
        allowed: bytes | None = b"*"
        fields: list[Field] = []
    else:
        allowed = next((o.encode() for o in origins if o.encode() == origin), None)
        fields = [(b"vary", b"origin")]  # caches: the answer to another page differs
    if allowed is None or origin is None:
        return fields
    return [
        *fields,
        (b"access-control-allow-origin", allowed),
        (b"access-control-expose-headers", b"*"),
    ]


def preflight_fields(origins: Sequence[str], origin: bytes, *, methods: bytes) -> list[Field]:
    """The answer to a preflight; only `Vary` for an origin that is not allowed.

    `*` stands for every header but Authorization (Fetch, section 3.3.3). Credentials that browsers
    add by themselves (cookies) are not allowed: no endpoint reads them.

    Args:
        methods: what an endpoint takes, separated by commas.
    """
    fields = cors_fields(origins, origin)
    if not any(name == b"access-control-allow-origin" for name, _ in fields):
        return fields
    return [
        *(field for field in fields if field[0] != b"access-control-expose-headers"),
        (b"access-control-allow-methods", methods),
        (b"access-control-allow-headers", b"*, authorization"),
        (b"access-control-max-age", _PREFLIGHT_AGE),
    ]


def forwardable_trailers(
    trailers: Iterable[Field], connection_options: frozenset[bytes] = frozenset()
) -> list[Field]:
    """Trailers that may follow a body; only for a client that sent `TE: trailers` (item 15)."""
    return [
        field
        for field in trailers
        if field[0] not in _NOT_TRAILERS
        and field[0] not in connection_options
        and not field[0].startswith(_RESERVED_PREFIX)
    ]


class ForwardedBy:
    """Writes Via and the `X-Forwarded-*` family for one client connection.

    What depends on the connection alone is prepared once: most exchanges of a connection come
    from the same peer and say the same authority.
    """

    __slots__ = ("_address", "_node", "_proto", "_trusted")

    def __init__(self, address: bytes, *, tls: bool, trusted: bool) -> None:
        """Remember who the peer is.

        Args:
            address: the peer's IP address as text.
            tls: the connection is encrypted.
            trusted: the peer lies in `trusted_proxies`: its fields are appended to, not replaced.
        """
        self._address = address
        # RFC 7239 §6: an IPv6 node is bracketed and quoted.
        self._node = b'"[%b]"' % address if b":" in address else address
        self._proto = b"https" if tls else b"http"
        self._trusted = trusted

    def fields(self, index: Mapping[bytes, bytes], authority: bytes) -> list[Field]:
        """Via, Forwarded and X-Forwarded-* for one request.

        Args:
            index: the request's fields by name.
            authority: Host as understood; empty for a 1.0 request without one.
        """
        via = index.get(b"via")
        added: list[Field] = [
            (b"via", b"%b, 1.1 trioroute" % via if via else b"1.1 trioroute"),
        ]
        host = b';host="%b"' % authority if authority else b""
        node = b"for=%b%b;proto=%b" % (self._node, host, self._proto)
        # An appended list stays a list of one entry a hop; Proto and Host describe the first hop,
        # so a trusted value stays and ours comes after it.
        for name, own in (
            (b"x-forwarded-for", self._address),
            (b"x-forwarded-proto", self._proto),
            (b"x-forwarded-host", authority),
            (b"forwarded", node),
        ):
            received = index.get(name) if self._trusted else None
            if received and own:
                added.append((name, b"%b, %b" % (received, own)))
            elif received or own:
                added.append((name, received or own))
        return added


def trusted_request_id(value: bytes | None) -> bytes | None:
    """A trusted proxy's `x-request-id` if it may be kept, else None (contract, section 6)."""
    return value if value is not None and _REQUEST_ID.fullmatch(value) else None


def client_request_id(value: bytes | None) -> bytes | None:
    """A client's `x-ms-client-request-id` as it is passed both ways, or None to drop it."""
    if value is None or not _CLIENT_ID.fullmatch(value):
        return None
    return value[:CLIENT_REQUEST_ID_MAX]


def trace_parent(value: bytes | None, parent_id: bytes) -> bytes | None:
    """`traceparent` with a new parent id, or None when the received one is missing or invalid.

    Args:
        value: as received.
        parent_id: 16 lower-case hex digits, made for this exchange.
    """
    matched = _TRACE_PARENT.fullmatch(value) if value else None
    # A later version may only be forwarded as version 00 (W3C Trace Context §4.3).
    return b"00-%b-%b-%b" % (matched[2], parent_id, matched[3]) if matched else None


def decrement_max_forwards(value: bytes | None) -> int | None:
    """What is left of `Max-Forwards` for OPTIONS (item 18).

    Returns:
        None without the field; -1 when it was 0: the router answers itself; else the number to
        send on.

    Raises:
        ValueError: not a number of 1 to 10 digits.
    """
    if value is None:
        return None
    if not value.isdigit() or len(value) > 10:
        raise ValueError("Max-Forwards is not a number")
    return int(value) - 1


def index_fields(fields: Sequence[Field]) -> Mapping[bytes, bytes]:
    """Every name once; values of repeated fields joined with `, ` (RFC 9110 §5.3)."""
    index = dict(fields)
    if len(index) == len(fields):
        return index
    joined: dict[bytes, bytes] = {}
    for name, value in fields:
        before = joined.get(name)
        joined[name] = value if before is None else b"%b, %b" % (before, value)
    return joined
