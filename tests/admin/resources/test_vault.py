"""Keys sealed under the cluster secret."""

import pytest

from trioroute.admin.resources.vault import EndpointKeys, KeyVault
from trioroute.admin.view import RefusedError
from trioroute.core.auth import is_authorized
from trioroute.core.model import Endpoint

SECRET = b"s" * 32


def test_what_was_sealed_opens_on_any_front_end() -> None:
    keys = EndpointKeys.fresh()
    sealed = KeyVault(SECRET).seal("iris", keys)
    assert KeyVault(SECRET).open("iris", sealed) == keys


def test_sealing_twice_gives_two_values_and_no_key_shows_in_either() -> None:
    keys = EndpointKeys("first-key", "second-key")
    one, other = (KeyVault(SECRET).seal("iris", keys) for _ in range(2))
    assert one != other
    assert b"-key" not in one + other


def test_keys_open_the_endpoint_and_show_in_no_representation() -> None:
    keys = EndpointKeys.fresh()
    endpoint = Endpoint(name="iris", key_digests=keys.digests)
    for key in (keys.primary, keys.secondary):
        assert is_authorized(endpoint, f"Bearer {key}".encode())
        assert key not in repr(keys)
    assert keys.primary != keys.secondary


@pytest.mark.parametrize(
    ("vault", "endpoint", "damage", "says"),
    [
        (KeyVault(None), "iris", b"", "TRIOROUTE_SECRET_FILE"),
        (KeyVault(b"t" * 32), "iris", b"", "another cluster secret"),
        (KeyVault(SECRET), "wine", b"", "damaged"),
        (KeyVault(SECRET), "iris", b"x", "damaged"),
    ],
)
def test_a_value_that_cannot_be_opened_says_why(
    vault: KeyVault, endpoint: str, damage: bytes, says: str
) -> None:
    sealed = KeyVault(SECRET).seal("iris", EndpointKeys.fresh())
    with pytest.raises(RefusedError, match=says):
        vault.open(endpoint, sealed + damage)


def test_nothing_is_sealed_without_a_secret() -> None:
    with pytest.raises(RefusedError, match="TRIOROUTE_SECRET_FILE"):
        KeyVault(None).seal("iris", EndpointKeys.fresh())
