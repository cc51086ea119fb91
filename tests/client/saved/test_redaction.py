"""Nothing secret is left, and what is no secret stays."""

import pytest

from trioroute.client.saved.redaction import Redaction, redact_content

PEM = "-----BEGIN EC PRIVATE KEY-----\nMIGk\nAgEB\n-----END EC PRIVATE KEY-----"


def test_known_values_go_wherever_they_stand_the_longest_first() -> None:
    redaction = Redaction.of(["planted-key", "planted-key-2", "true"])
    assert redaction.clean("a planted-key-2,planted-key true") == "a (redacted),(redacted) true"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("authorization=basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        (PEM, "MIGk"),
        ("x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl y", "eyJzdWIiOiJhIn0"),
        ('{"db_password": "hunter22"}', "hunter22"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI", "wJalrXUtnFEMI"),
        ("api-key: abcd1234", "abcd1234"),
    ],
)
def test_what_looks_like_a_secret_goes(text: str, secret: str) -> None:
    cleaned = Redaction.of([]).clean(text)
    assert secret not in cleaned
    assert "(redacted)" in cleaned


def test_ordinary_lines_stay() -> None:
    line = '2026-11-22 fe-0 INFO epoch 3 begins; tokens generated: 17, "state": "ready"'
    assert Redaction.of(["x"]).clean(line) == line


def test_variables_keep_their_names() -> None:
    content = {"name": "blue", "environment_variables": {"A": "1", "B": "2"}}
    shown = redact_content(content)
    assert shown["environment_variables"] == {"A": "(redacted)", "B": "(redacted)"}
    assert content["environment_variables"] == {"A": "1", "B": "2"}
