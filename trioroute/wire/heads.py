"""From parsed names and values to a head with a meaning: framing, Host, target, Connection.

Both codecs come here with what their parser made of the bytes, and with the raw head, because
some ambiguity is no longer visible in parsed values. All refusals are MalformedRequestError; the
response codecs turn them into BrokenAnswerError.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from trioroute.core.headers import HOP_BY_HOP, PROTECTED, index_fields, is_reserved
from trioroute.errors import MalformedRequestError
from trioroute.wire.grammar import (
    ABSOLUTE_TARGET,
    CONTENT_LENGTH,
    CONTROLS,
    REQUEST_LINE,
    STATUS_LINE,
    TOKEN,
    TRANSFER_ENCODING_CHUNKED,
    is_authority,
    is_safe_path,
)
from trioroute.wire.http import (
    FORWARDED_METHODS,
    REFUSED_METHODS,
    Field,
    Framing,
    Limits,
    RequestHead,
    ResponseHead,
)

__all__ = [
    "check_raw_head",
    "head_too_large",
    "read_request_line",
    "read_status_line",
    "target_too_long",
    "understand_request",
    "understand_response",
]

_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()
#: The two values that nearly every client sends, understood in advance.
_COMMON_OPTIONS: Final = {
    b"keep-alive": frozenset((b"keep-alive",)),
    b"close": frozenset((b"close",)),
}
#: Fields of which two cannot be joined into one meaning. Host, Content-Length and
#: Transfer-Encoding need no entry: their joined values fail their own patterns.
_SINGLE: Final = (b"authorization", b"content-type", b"expect", b"max-forwards")
#: Names that must not come in disguise (item 35).
_DISGUISES: Final = PROTECTED | HOP_BY_HOP


def head_too_large(message: str) -> MalformedRequestError:
    """The 431 of contract section 3."""
    return MalformedRequestError(message, status=431, reason="head-too-large")


def target_too_long() -> MalformedRequestError:
    """The 414 of contract section 3."""
    return MalformedRequestError("the target is too long", status=414, reason="target-too-long")


def check_raw_head(raw: bytes, limits: Limits) -> int:
    """Refuse what no parser may repair: bare CR or LF, controls, oversize.

    Args:
        raw: the whole head with its final CRLF CRLF.
        limits: the sizes allowed.

    Returns:
        How many field lines there are: a parser that finds another number of fields has folded
        or skipped a line.

    Raises:
        MalformedRequestError: 400, or 431 for sizes.
    """
    ends = raw.count(b"\r\n")
    if raw.count(b"\n") != ends or raw.count(b"\r") != ends:
        raise MalformedRequestError("a line of the head does not end in CRLF")
    if len(raw.translate(None, CONTROLS)) != len(raw):
        raise MalformedRequestError("a control character in the head")
    if ends - 2 > limits.field_count_max:
        raise head_too_large("too many fields")
    if len(raw) > limits.field_bytes_max:
        _check_line_sizes(raw, limits)
    return ends - 2


def _check_line_sizes(raw: bytes, limits: Limits) -> None:
    if len(raw) > limits.head_bytes_max:
        raise head_too_large("the head is too long")
    if max(map(len, raw.split(b"\r\n")[1:])) > limits.field_bytes_max:
        raise head_too_large("a field line is too long")


def read_request_line(raw: bytes, limits: Limits) -> tuple[bytes, bytes, int, int]:
    """The request line of a head: method, target, minor version, where the fields begin.

    Raises:
        MalformedRequestError: 400, 414, 501 or 505; contract items 4, 5 and 7.
    """
    matched = REQUEST_LINE.match(raw)
    if matched is None:
        raise _refuse_request_line(raw.partition(b"\r\n")[0], limits)
    method, target, major, minor = matched.groups()
    if len(method) > limits.method_bytes_max:
        raise MalformedRequestError("the method is too long")
    if len(target) > limits.target_bytes_max:
        raise target_too_long()
    if major != b"1":
        raise _refuse_version(major)
    if method not in FORWARDED_METHODS and method not in REFUSED_METHODS:
        raise MalformedRequestError("unknown method", status=501, reason="unknown-method")
    # 1.2 and above are answered as 1.1 would be (RFC 9110 §2.5).
    return method, target, 0 if minor == b"0" else 1, matched.end()


def read_status_line(raw: bytes) -> tuple[int, int, int]:
    """The status line of a head: status, minor version, where the fields begin.

    Raises:
        MalformedRequestError: not a status line of HTTP/1.x.
    """
    matched = STATUS_LINE.match(raw)
    if matched is None or matched[1] != b"1":
        raise MalformedRequestError("not a status line of HTTP/1.x")
    return int(matched[3]), 0 if matched[2] == b"0" else 1, matched.end()


def _refuse_request_line(line: bytes, limits: Limits) -> MalformedRequestError:
    method, _, rest = line.partition(b" ")
    target = rest.partition(b" ")[0]
    if len(method) <= limits.method_bytes_max and len(target) > limits.target_bytes_max:
        return target_too_long()
    return MalformedRequestError("not a request line")


def _refuse_version(major: bytes) -> MalformedRequestError:
    if major == b"0":  # HTTP/0.9 has no version in its request line: this is nonsense
        return MalformedRequestError("HTTP/0.x is not spoken")
    return MalformedRequestError("only HTTP/1.x is spoken", status=505, reason="version")


def understand_request(
    line: tuple[bytes, bytes, int], fields: Sequence[Field], raw: bytes
) -> RequestHead:
    """Decide what a request head means, once.

    Args:
        line: method, target and minor version, from read_request_line.
        fields: lower-case names and trimmed values in received order.
        raw: the head as received; check_raw_head has passed.

    Raises:
        MalformedRequestError: 400, 417 or 501; contract items 6, 7, 11 to 13, 16, 35 and 36.
    """
    method, target, minor = line
    index = index_fields(fields)
    if len(index) != len(fields):
        _refuse_doubles(fields)
    if b"_" in raw:
        _refuse_disguises(index)
    authority = _read_host(index, minor)
    if target[0] != 0x2F:  # "/"
        target, named = _read_special_target(method, target)
        if named is not None:
            authority, fields = named, _replace_host(fields, named)
            index = index_fields(fields)
    elif method == b"CONNECT":
        raise MalformedRequestError("CONNECT needs an authority as its target")
    if (b"%" in target or b"/." in target) and not is_safe_path(target):
        raise MalformedRequestError("the path could be read as another one")
    framing, length = _read_request_framing(index, minor, raw)
    options = _read_options(index)
    return RequestHead(
        method,
        target,
        minor,
        fields,
        index,
        authority,
        framing,
        length,
        minor == 1 and b"close" not in options and method != b"CONNECT",
        _expects_continue(index, minor) and framing is not Framing.NONE,
        options,
        _read_upgrade(index, options, method == b"GET" and minor == 1 and length == 0),
        b"te" in index and _lists(index[b"te"], b"trailers"),
    )


def understand_response(
    status: int, minor: int, fields: Sequence[Field], raw: bytes, method: bytes
) -> ResponseHead:
    """Decide what a response head means to a request with `method`, once.

    Args:
        status: 100 to 999.
        minor: 0 or 1.
        fields: lower-case names and trimmed values in received order.
        raw: the head as received; check_raw_head has passed.
        method: of the request that this answers.

    Raises:
        MalformedRequestError: framing that cannot be trusted; contract items 13, 16, 22.
    """
    index = index_fields(fields)
    options = _read_options(index)
    length = _read_length(index)
    chunked = b"transfer-encoding" in index
    if chunked:
        if length >= 0:
            raise MalformedRequestError("both Content-Length and Transfer-Encoding")
        _check_chunked(index, minor, raw)
    if status < 200 or status in (204, 304) or method == b"HEAD":
        framing = Framing.NONE
    elif chunked:
        framing = Framing.CHUNKED
    elif length >= 0:
        framing = Framing.LENGTH if length else Framing.NONE
    else:
        framing = Framing.EOF
    return ResponseHead(
        status,
        minor,
        fields,
        index,
        framing,
        length,
        # 1.0 upstreams are not kept: their keep-alive has no rule that all of them follow.
        minor == 1 and b"close" not in options and framing is not Framing.EOF,
        options,
        _read_upgrade(index, options, status == 101 and minor == 1),
    )


def _refuse_doubles(fields: Sequence[Field]) -> None:
    names = [name for name, _ in fields]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise MalformedRequestError("a field that must be single is repeated")


def _refuse_disguises(index: Mapping[bytes, bytes]) -> None:
    for name in index:
        if b"_" in name:
            plain = name.replace(b"_", b"-")
            if plain in _DISGUISES or is_reserved(plain):
                raise MalformedRequestError("a field name in disguise")


def _read_host(index: Mapping[bytes, bytes], minor: int) -> bytes:
    host = index.get(b"host")
    if host is None:
        if minor:
            raise MalformedRequestError("no Host")
        return b""
    if not is_authority(host):
        raise MalformedRequestError("Host is not one authority")
    return host


def _read_special_target(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """A target that is not in origin-form: what to forward, and the authority that it names."""
    if method == b"CONNECT":
        if not is_authority(target) or not target.rpartition(b":")[2].isdigit():
            raise MalformedRequestError("CONNECT needs an authority as its target")
        return target, None
    if target == b"*" and method == b"OPTIONS":
        return target, None
    matched = ABSOLUTE_TARGET.fullmatch(target)
    if matched is None or not is_authority(matched[1]):
        raise MalformedRequestError("the target has no known form")
    authority, path = matched.groups()
    if path[:1] != b"/":
        # RFC 9112 §3.2.4: without path and query OPTIONS is about the server as a whole.
        path = b"*" if method == b"OPTIONS" and not path else b"/" + path
    return path, authority


def _replace_host(fields: Sequence[Field], authority: bytes) -> Sequence[Field]:
    """RFC 9112 §3.2.2: the received Host is ignored when the target names an authority."""
    replaced = [(name, authority if name == b"host" else value) for name, value in fields]
    if (b"host", authority) not in replaced:
        replaced.insert(0, (b"host", authority))
    return replaced


def _read_request_framing(
    index: Mapping[bytes, bytes], minor: int, raw: bytes
) -> tuple[Framing, int]:
    length = _read_length(index)
    if b"transfer-encoding" in index:
        if length >= 0:
            raise MalformedRequestError("both Content-Length and Transfer-Encoding")
        _check_chunked(index, minor, raw)
        return Framing.CHUNKED, -1
    return (Framing.LENGTH, length) if length > 0 else (Framing.NONE, 0)


def _read_length(index: Mapping[bytes, bytes]) -> int:
    """Content-Length, or -1 without one. Repeated fields were joined and fail the pattern."""
    value = index.get(b"content-length")
    if value is None:
        return -1
    if CONTENT_LENGTH.fullmatch(value) is None:
        raise MalformedRequestError("Content-Length is not a number of 1 to 18 digits")
    return int(value)


def _check_chunked(index: Mapping[bytes, bytes], minor: int, raw: bytes) -> None:
    if minor == 0:
        raise MalformedRequestError("Transfer-Encoding in HTTP/1.0")
    if TRANSFER_ENCODING_CHUNKED.search(raw) is not None:
        if len(index[b"transfer-encoding"]) != len(b"chunked"):
            raise MalformedRequestError("more than one Transfer-Encoding")
        return
    coding = index[b"transfer-encoding"].lower()
    if coding in (b"chunked", b"identity") or TOKEN.fullmatch(coding) is None:
        raise MalformedRequestError("Transfer-Encoding is not exactly chunked")
    raise MalformedRequestError("unknown coding", status=501, reason="unknown-coding")


def _read_options(index: Mapping[bytes, bytes]) -> frozenset[bytes]:
    """What Connection lists, lower case. Refuses attempts to have fields removed (item 16)."""
    value = index.get(b"connection")
    if value is None:
        return _NO_OPTIONS
    value = value.lower()
    known = _COMMON_OPTIONS.get(value)
    if known is not None:
        return known
    options = frozenset(option for part in value.split(b",") if (option := part.strip(b" \t")))
    for option in options:
        if TOKEN.fullmatch(option) is None:
            raise MalformedRequestError("Connection is not a list of names")
        if option in PROTECTED or is_reserved(option):
            raise MalformedRequestError("Connection names a field that must arrive")
    return options


def _expects_continue(index: Mapping[bytes, bytes], minor: int) -> bool:
    value = index.get(b"expect")
    if value is None or minor == 0:  # RFC 9110 §10.1.1: ignored in 1.0
        return False
    if value.lower() != b"100-continue":
        raise MalformedRequestError("unknown expectation", status=417, reason="expectation")
    return True


def _read_upgrade(index: Mapping[bytes, bytes], options: frozenset[bytes], allowed: bool) -> bytes:
    return index.get(b"upgrade", b"") if allowed and b"upgrade" in options else b""


def _lists(value: bytes, member: bytes) -> bool:
    return any(part.partition(b";")[0].strip() == member for part in value.lower().split(b","))
