"""credentials, regenerate-keys and token."""

import json

from tests.admin.small_desk import make_signing_key
from tests.cli.console import Console


def test_one_key_is_replaced_and_the_other_stays(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    before = json.loads(console("credentials fraud"))
    console("regenerate-keys fraud --key secondary")
    after = json.loads(console("credentials fraud"))
    assert after["primaryKey"] == before["primaryKey"]
    assert after["secondaryKey"] != before["secondaryKey"]
    assert console("credentials fraud --query primaryKey -o tsv") == before["primaryKey"] + "\n"


def test_a_token_endpoint_has_a_token_instead(console: Console) -> None:
    console("online-endpoint create -n fraud --auth-mode aml_token")
    make_signing_key(console.desk, "fraud")
    bare = console("token fraud --ttl 90s")
    assert bare.count(".") == 2
    assert "valid for 90 s" in console.err
    shown = json.loads(console("token fraud -o json"))
    assert list(shown) == ["accessToken", "expiryTimeUtc", "refreshAfterTimeUtc", "tokenType"]
    assert shown["expiryTimeUtc"] > shown["refreshAfterTimeUtc"]
    for verb in ("credentials fraud", "online-endpoint get-credentials -n fraud"):
        assert console(f"{verb} --query tokenType -o tsv") == "Bearer\n"
    console("regenerate-keys fraud", status=5)
    assert "'fraud' does not use keys" in console.err
    assert "trioroute token fraud --revoke" in console.err
    assert "none issued so far" in console("token fraud --revoke")
    assert console.desk.state.token_keys.get("fraud", ()) == ()


def test_tokens_that_there_are_not(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    console("token fraud", status=5)
    assert "'fraud' does not use tokens" in console.err
    console("token fruad", status=5)
    assert "did you mean fraud?" in console.err
    console("token fraud --ttl 2d", status=2)
    console("token fraud --ttl 59s", status=2)
    assert "not within 1m to 24h" in console.err
