"""Answers may grow, wishes may not."""

import msgspec
import pytest

from trioroute.wire.resources import Credentials, KeyWish, TrafficWish, Written


def test_credentials_have_azure_s_names() -> None:
    body = msgspec.json.encode(Credentials("a", "b"))
    assert msgspec.json.decode(body) == {"primaryKey": "a", "secondaryKey": "b"}


def test_an_answer_of_a_newer_version_is_read() -> None:
    body = b'{"index": 1, "resource_version": 1, "later": true}'
    assert msgspec.json.decode(body, type=Written) == Written(index=1, resource_version=1)


@pytest.mark.parametrize("kind", [TrafficWish, KeyWish])
def test_a_wish_with_a_misspelt_field_is_refused(kind: type[msgspec.Struct]) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"traffic": {}, "trafic": {}}', type=kind)
