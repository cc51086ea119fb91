"""Bodies are read strictly."""

import pytest

from trioroute.admin.registry_json import RegistryJSONError
from trioroute.admin.resources.bodies import read_deployment, read_endpoint, read_wish
from trioroute.admin.view import RefusedError
from trioroute.wire.resources import KeyWish

BLUE = b'{"deployment": {"endpoint": "iris", "name": "blue", "source": %s}}'
STATIC = b'{"kind": "StaticSource", "addresses": []}'


def test_no_body_stands_for_all_defaults() -> None:
    assert read_wish(b"", KeyWish) == KeyWish()


def test_an_endpoint_comes_with_its_document_and_first_keys() -> None:
    body = (
        b'{"endpoint": {"name": "iris", "traffic": {"blue": 100}}, "document": "{}",'
        b' "keys": {"primaryKey": "a", "secondaryKey": "b"}}'
    )
    endpoint, wish = read_endpoint(body, "iris")
    assert endpoint.traffic == {"blue": 100}
    assert wish.keys is not None
    assert (wish.document, wish.keys.primary_key) == ("{}", "a")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "object"),
        (b'{"endpoint": {"name": "wine"}}', "differ"),
        (b'{"endpoint": {"name": "iris", "trafic": {}}}', "unknown: trafic"),
        (b'{"endpoint": {"name": "iris"}, "extra": 1}', "extra"),
    ],
)
def test_what_is_no_endpoint_says_where(body: bytes, says: str) -> None:
    with pytest.raises(RegistryJSONError, match=says):
        read_endpoint(body, "iris")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"endpoint": {"name": "iris", "traffic": {"blue": 50}}}', "sum to 0 or 100"),
        (b'{"endpoint": {"name": "iris", "tags": {"a": 99999999999999999999}}}', "64 bits"),
    ],
)
def test_an_endpoint_that_breaks_a_rule_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        read_endpoint(body, "iris")


def test_a_deployment_is_checked_alike() -> None:
    deployment, _ = read_deployment(BLUE % STATIC, "iris", "blue")
    assert deployment.key == "iris/blue"
    with pytest.raises(RegistryJSONError, match="differ"):
        read_deployment(BLUE % STATIC, "iris", "green")
    with pytest.raises(RegistryJSONError, match="kind"):
        read_deployment(BLUE % b"{}", "iris", "blue")
    with pytest.raises(RefusedError, match="slots_per_replica"):
        read_deployment(
            BLUE.replace(b'"name"', b'"slots_per_replica": 0, "name"') % STATIC, "iris", "blue"
        )
