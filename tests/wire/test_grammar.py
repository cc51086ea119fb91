"""The patterns that decide, at their edges; whole messages are in tests/conformance."""

import pytest

from trioroute.wire.grammar import (
    CHUNK_LINE,
    CHUNK_LINE_BEGUN,
    CONTROLS,
    FIELD_LINE,
    REQUEST_LINE,
    is_authority,
    is_safe_path,
)


def test_controls_are_all_but_tab_and_line_ends() -> None:
    assert len(CONTROLS) == 30
    assert b"\0" in CONTROLS
    assert b"\x7f" in CONTROLS
    assert not set(CONTROLS) & set(b"\t\r\n ")


def test_targets_are_visible_ascii_without_hash_and_backslash() -> None:
    allowed = {
        code
        for code in range(256)
        if REQUEST_LINE.match(b"GET /%c HTTP/1.1\r\n" % code) is not None
    }
    assert allowed == set(range(0x21, 0x7F)) - set(b"#\\")


def test_names_are_tokens() -> None:
    allowed = {code for code in range(256) if FIELD_LINE.fullmatch(b"%c: v" % code)}
    letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    assert allowed == set(letters + b"!#$%&'*+-.^_`|~")


def test_values_are_anything_but_controls() -> None:
    allowed = {code for code in range(256) if FIELD_LINE.fullmatch(b"x:%c" % code)}
    assert allowed == set(range(256)) - set(CONTROLS) - set(b"\r\n")


@pytest.mark.parametrize(
    "value", [b"a", b"a.b-c_d~", b"A:0", b"[::]:65535", b"1.2.3.4:80", b"a:", b"!$&'()*+;=", b"%41"]
)
def test_authorities(value: bytes) -> None:
    assert is_authority(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b":80",
        b"a,b",
        b"u@a",
        b"a/b",
        b"a:65536",
        b"a:000080",
        b"a:-1",
        b"[::1",
        b"[]",
        b"[1.2.3.4]",
        b"[v1.x]",
        b"[fe80::1%25eth0]",
        b"%",
        b"%4",
        b"a b",
        b"a\n",
        b"<a>",
    ],
)
def test_no_authorities(value: bytes) -> None:
    assert not is_authority(value)


@pytest.mark.parametrize(
    "path", [b"/", b"/...", b"/a.", b"/.a", b"/%2e%2e%2e", b"/a?/../%00\\", b"/%25"]
)
def test_safe_paths(path: bytes) -> None:
    assert is_safe_path(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/.",
        b"/..",
        b"/../",
        b"/./a",
        b"/%2E",
        b"/.%2e/",
        b"/a%2f..",
        b"/..%2Fa",
        b"/..;",
        b"/.%3ba",
        b"/%00",
        b"/%0A",
        b"/%0d",
        b"/%5C",
        b"/%",
        b"/%4",
        b"/%zz",
    ],
)
def test_unsafe_paths(path: bytes) -> None:
    assert not is_safe_path(path)


@pytest.mark.parametrize("line", [b"0", b"fF", b"1;a", b"1;a=b;c", b'1;a="b;\\"\xff"', b"0" * 16])
def test_chunk_lines(line: bytes) -> None:
    assert CHUNK_LINE.fullmatch(line)
    for end in range(len(line) + 1):
        assert CHUNK_LINE_BEGUN.fullmatch(line[:end])
    assert CHUNK_LINE_BEGUN.fullmatch(line + b"\r")


@pytest.mark.parametrize("line", [b"", b";a", b"1 ", b"1; a", b"1;", b"1;a=", b'1;a="', b"0" * 17])
def test_no_chunk_lines(line: bytes) -> None:
    assert CHUNK_LINE.fullmatch(line) is None
