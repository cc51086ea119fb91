"""Tokens are read from digests, compared all alike, and never shown."""

import hashlib

import pytest

from trioroute.admin.roles import Access, Role, digest_of_token, parse_tokens, who_presents
from trioroute.errors import ConfigError


def line(role: str, name: str, token: str) -> str:
    return f"{role} {name} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"


TEXT = "# who may what\n\n" + line("read", "grafana", "a") + line("ADMIN", "ann@team", "b") + "\n"


def test_a_file_of_tokens_is_read() -> None:
    tokens = parse_tokens(TEXT, "tokens")
    assert [(t.name, t.role) for t in tokens] == [("grafana", Role.READ), ("ann@team", Role.ADMIN)]
    assert tokens[1].digest == digest_of_token("b")
    assert tokens[1].digest.hex() not in repr(tokens)


@pytest.mark.parametrize(
    ("authorization", "name"),
    [
        ("Bearer a", "grafana"),
        ("bEARER  b ", "ann@team"),
        ("Bearer c", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic a", None),
        ("a", None),
        ("", None),
        ("Bearer \udce9", None),
    ],
)
def test_a_token_says_who_presents_it(authorization: str, name: str | None) -> None:
    found = who_presents(parse_tokens(TEXT, "tokens"), authorization)
    assert (found.name if found else None) == name


def test_an_empty_credential_is_nobody_even_if_its_digest_is_listed() -> None:
    assert who_presents(parse_tokens(line("admin", "oops", ""), "t"), "Bearer ") is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "t: no token"),
        ("# nothing\n", "t: no token"),
        ("read grafana\n", "t:1: expected ROLE NAME sha256:HEX, found 2 words"),
        (line("root", "x", "a"), "t:1: the first word is a role: read, operate or admin"),
        (line("read", "a/b", "a"), "t:1: the second word is a name"),
        (line("read", "x", "a") * 2, "t:2: x has a token already"),
        ("read x hunter2hunter2\n", "t:1: the third word is sha256: and 64 hex digits"),
        ("read x sha256:abcd\n", "t:1: the third word is sha256:"),
    ],
)
def test_a_wrong_line_is_named_and_not_repeated(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_tokens(text, "t")
    assert str(caught.value).startswith(fault)
    assert "hunter2" not in str(caught.value)


def test_all_wrong_lines_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_tokens("a\nb\n" + line("read", "x", "a") + "c\n", "t")
    assert [one[:4] for one in str(caught.value).splitlines()] == ["t:1:", "t:2:", "t:4:"]


def test_each_access_needs_one_role_at_least() -> None:
    assert [access.role for access in Access] == [
        None,
        *(Role.READ, Role.READ, Role.OPERATE, Role.ADMIN),
    ]
    assert Role.READ < Role.OPERATE < Role.ADMIN
