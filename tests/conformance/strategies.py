"""Hypothesis strategies: messages put together from good and bad parts, then damaged a little."""

from typing import Final

from hypothesis import strategies as st

__all__ = ["damaged", "requests", "responses"]

#: Bytes that matter to some parser somewhere.
_NASTY: Final = [
    bytes((code,)) for code in b'\0\t\n\v\f\r !"#%,-./:;=?@[\\]_aAfFxX0159\x7f\x80\xa0\xff'
] + [
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\n ",
    b"\r\n\t",
    b", ",
    b"%2e",
    b"..",
]

_METHODS: Final = [b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"PUT", b"get", b"BREW", b""]
_TARGETS: Final = [
    b"/",
    b"/a?b",
    b"/a/../b",
    b"/%2e%2e/",
    b"//a",
    b"*",
    b"a:80",
    b"http://h/x",
    b"http://h",
    b"http://u@h/",
    b"HTTP://[::1]:1/?q",
    b"/a b",
    b"/\x80",
    b"",
]
_VERSIONS: Final = [b"HTTP/1.1"] * 6 + [
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/1",
    b"http/1.1",
]
_LENGTHS: Final = [b"0", b"3", b"5", b"005", b"+5", b"5, 5", b"-1", b"1_0", b"", b"9" * 19]
_CODINGS: Final = [b"chunked"] * 4 + [
    b"Chunked",
    b"gzip",
    b"identity",
    b"chunked, chunked",
    b"x\x0b",
    b"",
]
_HOSTS: Final = [b"h"] * 4 + [b"h:80", b"[::1]", b"h,i", b"u@h", b"", b"h/x", b"h:x", b"%41"]
_FIELD_NAMES: Final = [
    b"X",
    b"Accept",
    b"Content_Length",
    b"X_Request_Id",
    b"X Y",
    b"",
    b"\xff",
    b"my_x",
]
_VALUES: Final = [b"a", b"", b"a b", b"\x80", b"a\x01", b" a ", b"\t", b"a\r\n b"]
_CONNECTIONS: Final = [
    b"close",
    b"keep-alive",
    b"X, close",
    b"host",
    b"upgrade",
    b"a b",
    b",",
    b"te",
]


def _field(names: list[bytes], values: list[bytes]) -> st.SearchStrategy[bytes]:
    separators = [b": "] * 6 + [b":", b":\t", b" : ", b":  "]
    ends = [b"\r\n"] * 12 + [b" \r\n", b"\n", b"\r", b"\r\n "]
    return st.tuples(
        st.sampled_from(names),
        st.sampled_from(separators),
        st.sampled_from(values),
        st.sampled_from(ends),
    ).map(b"".join)


_FIELDS: Final = st.one_of(
    _field([b"Content-Length", b"content-length"], _LENGTHS),
    _field([b"Transfer-Encoding", b"TRANSFER-ENCODING"], _CODINGS),
    _field([b"Connection"], _CONNECTIONS),
    _field([b"Host", b"hOST"], _HOSTS),
    _field([b"Expect"], [b"100-continue", b"x"]),
    _field([b"Upgrade"], [b"websocket", b"h2c"]),
    _field([b"TE"], [b"trailers", b"gzip"]),
    _field(_FIELD_NAMES, _VALUES),
)

_CHUNKS: Final = st.lists(
    st.sampled_from(
        [
            b"3\r\nabc\r\n",
            b"1;a=b\r\nx\r\n",
            b"0\r\n\r\n",
            b"0\r\nT: v\r\n\r\n",
            b"0\r\nT : v\r\n\r\n",
            b"3\r\nabcd\r\n",
            b"3\nabc\r\n",
            b"g\r\n",
            b"7fffffffffffffff\r\n",
            b"FFFFFFFFFFFFFFFF\r\n",
            b"2 \r\nab\r\n",
            b"2;\r\nab\r\n",
            b'0;x="y"\r\n\r\n',
            b"00\r\n\r\n",
        ]
    ),
    max_size=5,
).map(b"".join)

_BODIES: Final = st.one_of(st.just(b""), st.just(b"abc"), st.binary(max_size=8), _CHUNKS)


def _request(draw_fields: list[bytes], line: bytes, host: bytes, body: bytes) -> bytes:
    return line + host + b"".join(draw_fields) + b"\r\n" + body


_LINES: Final = st.tuples(
    st.sampled_from([b""] * 8 + [b"\r\n", b"\r\n\r\n", b" "]),
    st.sampled_from(_METHODS[:2] * 6 + _METHODS),
    st.just(b" "),
    st.sampled_from(_TARGETS[:2] * 8 + _TARGETS),
    st.sampled_from([b" "] * 8 + [b"  ", b"\t"]),
    st.sampled_from(_VERSIONS),
    st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b" \r\n"]),
).map(b"".join)

_STATUS_LINES: Final = st.tuples(
    st.sampled_from(_VERSIONS),
    st.just(b" "),
    st.sampled_from([b"200"] * 4 + [b"100", b"101", b"103", b"204", b"304", b"404", b"099", b"20"]),
    st.sampled_from([b" OK", b"", b" ", b" \x80", b" \x01"]),
    st.sampled_from([b"\r\n"] * 8 + [b"\n"]),
).map(b"".join)


def requests() -> st.SearchStrategy[bytes]:
    """One to three requests' bytes, most of them nearly valid."""
    one = st.builds(
        _request,
        st.lists(_FIELDS, max_size=4),
        _LINES,
        st.sampled_from([b"Host: h\r\n"] * 8 + [b""]),
        _BODIES,
    )
    return st.lists(one, min_size=1, max_size=3).map(b"".join)


def responses() -> st.SearchStrategy[bytes]:
    """One to three answers' bytes, most of them nearly valid."""
    one = st.builds(_request, st.lists(_FIELDS, max_size=4), _STATUS_LINES, st.just(b""), _BODIES)
    return st.lists(one, min_size=1, max_size=3).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """A message with up to three insertions, deletions or replacements."""
    data = draw(messages)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        kept = draw(st.integers(0, 2))
        inserted = draw(st.sampled_from([*_NASTY, b""]))
        data = data[:place] + inserted + data[place + kept :]
    return data
