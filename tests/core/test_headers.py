"""Which fields pass, which the router writes (contract items 15 to 18 and section 6)."""

import pytest

from trioroute.core.headers import (
    OWNED,
    PROTECTED,
    ForwardedBy,
    client_request_id,
    cors_fields,
    decrement_max_forwards,
    forwardable_trailers,
    index_fields,
    is_origin,
    is_reserved,
    preflight_fields,
    request_fields,
    response_fields,
    trace_parent,
    trusted_request_id,
)


def test_request_fields_lose_what_belongs_to_the_connection_or_to_the_router() -> None:
    fields = [
        (b"host", b"a"),
        (b"accept", b"*/*"),
        (b"connection", b"x-a"),
        (b"x-a", b"1"),
        (b"keep-alive", b"timeout=5"),
        (b"te", b"trailers"),
        (b"trailer", b"x"),
        (b"upgrade", b"h2c"),
        (b"transfer-encoding", b"chunked"),
        (b"content-length", b"5"),
        (b"authorization", b"Bearer secret"),
        (b"proxy-authorization", b"Basic secret"),
        (b"x-trioroute-slot", b"1"),
        (b"accept", b"text/plain"),
        *((name, b"forged") for name in sorted(OWNED)),
    ]
    kept = request_fields(fields, frozenset((b"x-a",)))
    assert kept == [(b"accept", b"*/*"), (b"accept", b"text/plain")]


def test_request_fields_keep_authorization_only_on_request() -> None:
    fields = [(b"authorization", b"Bearer secret"), (b"accept", b"*/*")]
    kept = request_fields(fields, keep_authorization=True)
    assert sorted(kept) == [(b"accept", b"*/*"), (b"authorization", b"Bearer secret")]


def test_response_fields_lose_framing_connection_and_forged_ids() -> None:
    fields = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"5"),
        (b"connection", b"x-secret"),
        (b"x-secret", b"1"),
        (b"keep-alive", b"timeout=5"),
        (b"upgrade", b"h2c"),
        (b"x-request-id", b"theirs"),
        (b"x-ms-request-id", b"theirs"),
        (b"x-ms-client-request-id", b"theirs"),
        (b"x-trioroute-error", b"forged"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"via", b"1.1 cache"),
    ]
    assert response_fields(fields, frozenset((b"x-secret",))) == [
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"via", b"1.1 cache"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"x-request-id",
        b"cookie",
    ],
)
def test_trailers_that_could_change_the_message_are_dropped(name: bytes) -> None:
    assert forwardable_trailers([(name, b"1"), (b"x-sum", b"2")]) == [(b"x-sum", b"2")]


def test_trailers_named_by_connection_or_reserved_are_dropped() -> None:
    trailers = [(b"x-a", b"1"), (b"x-trioroute-x", b"2"), (b"x-b", b"3")]
    assert forwardable_trailers(trailers, frozenset((b"x-a",))) == [(b"x-b", b"3")]


def test_reserved_names() -> None:
    assert is_reserved(b"x-trioroute-slot")
    assert not is_reserved(b"x-trio")


def test_every_owned_field_is_protected() -> None:
    assert OWNED <= PROTECTED
    assert {b"host", b"content-length", b"authorization"} <= PROTECTED


def test_forwarded_fields_of_an_untrusted_peer_are_replaced() -> None:
    writer = ForwardedBy(b"192.0.2.1", tls=False, trusted=False)
    received = {
        b"x-forwarded-for": b"6.6.6.6",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"evil",
        b"forwarded": b"for=6.6.6.6",
    }
    assert writer.fields(received, b"a:80") == [
        (b"via", b"1.1 trioroute"),
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"a:80"),
        (b"forwarded", b'for=192.0.2.1;host="a:80";proto=http'),
    ]


def test_forwarded_fields_of_a_trusted_peer_are_appended_to() -> None:
    writer = ForwardedBy(b"2001:db8::1", tls=True, trusted=True)
    received = {
        b"via": b"1.0 fred",
        b"x-forwarded-for": b"192.0.2.7",
        b"x-forwarded-proto": b"http",
        b"forwarded": b"for=192.0.2.7",
    }
    assert writer.fields(received, b"a") == [
        (b"via", b"1.0 fred, 1.1 trioroute"),
        (b"x-forwarded-for", b"192.0.2.7, 2001:db8::1"),
        (b"x-forwarded-proto", b"http, https"),
        (b"x-forwarded-host", b"a"),
        (b"forwarded", b'for=192.0.2.7, for="[2001:db8::1]";host="a";proto=https'),
    ]


def test_forwarded_fields_without_an_authority() -> None:
    """A 1.0 request without Host: there is no host to report, a trusted one is passed on."""
    plain = ForwardedBy(b"192.0.2.1", tls=False, trusted=False)
    assert dict(plain.fields({}, b"")) == {
        b"via": b"1.1 trioroute",
        b"x-forwarded-for": b"192.0.2.1",
        b"x-forwarded-proto": b"http",
        b"forwarded": b"for=192.0.2.1;proto=http",
    }
    trusted = ForwardedBy(b"192.0.2.1", tls=False, trusted=True)
    assert (b"x-forwarded-host", b"a") in trusted.fields({b"x-forwarded-host": b"a"}, b"")


@pytest.mark.parametrize("value", [b"a", b"A-Z_09", b"x" * 64])
def test_a_trusted_request_id_is_kept(value: bytes) -> None:
    assert trusted_request_id(value) == value


@pytest.mark.parametrize("value", [None, b"", b"a b", b"x" * 65, b"a\n", b"\xe4"])
def test_another_request_id_is_not_kept(value: bytes | None) -> None:
    assert trusted_request_id(value) is None


def test_client_request_id_is_cut_or_dropped() -> None:
    assert client_request_id(None) is None
    assert client_request_id(b"a/b") is None
    assert client_request_id(b"abc_-9") == b"abc_-9"
    assert client_request_id(b"x" * 41) == b"x" * 40


_TRACE = b"0af7651916cd43dd8448eb211c80319c"


def test_trace_parent_gets_a_new_parent() -> None:
    received = b"00-%b-b7ad6b7169203331-01" % _TRACE
    assert trace_parent(received, b"00f067aa0ba902b7") == b"00-%b-00f067aa0ba902b7-01" % _TRACE
    later = b"01-%b-b7ad6b7169203331-01" % _TRACE
    assert trace_parent(later, b"00f067aa0ba902b7") == b"00-%b-00f067aa0ba902b7-01" % _TRACE


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"00-%b-b7ad6b7169203331" % _TRACE,
        b"ff-%b-b7ad6b7169203331-01" % _TRACE,
        b"00-%b-0000000000000000-01" % _TRACE,
        b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
        b"00-%b-b7ad6b7169203331-01" % _TRACE.upper(),
    ],
)
def test_invalid_trace_parent_is_dropped(value: bytes | None) -> None:
    assert trace_parent(value, b"00f067aa0ba902b7") is None


def test_max_forwards_counts_down() -> None:
    assert decrement_max_forwards(None) is None
    assert decrement_max_forwards(b"0") == -1
    assert decrement_max_forwards(b"7") == 6


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"+1", b"1.0", b"1" * 11])
def test_invalid_max_forwards(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a number"):
        decrement_max_forwards(value)


def test_index_joins_repeated_fields_in_order() -> None:
    fields = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"a", b"4")]
    assert index_fields(fields) == {b"a": b"1, 3, 4", b"b": b"2"}
    assert index_fields(fields[:2]) == {b"a": b"1", b"b": b"2"}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("https://app.example", True),
        ("http://localhost:3000", True),
        ("http://[::1]:3000", True),
        ("chrome-extension://abcdef", True),
        ("*", False),
        ("https://app.example/", False),
        ("https://user@app.example", False),
        ("app.example", False),
        ("https://a\r\nx: y", False),
        ("https://a\n", False),
    ],
)
def test_origins_are_as_browsers_write_them(text: str, is_one: bool) -> None:
    assert is_origin(text) is is_one


def test_nobody_else_is_told_who_may_read() -> None:
    assert cors_fields(("https://a",), b"https://b") == [(b"vary", b"origin")]
    assert cors_fields(("https://a",), None) == [(b"vary", b"origin")]
    assert cors_fields(("*",), None) == []
    assert preflight_fields(("https://a",), b"https://b", methods=b"GET") == [(b"vary", b"origin")]
