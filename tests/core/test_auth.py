"""Keys open their endpoint, nothing else does, and the work is always the same."""

import hmac

import attrs
import pytest

from trioroute.core.auth import ENTROPY_BYTES, digest_of, is_authorized, key_from
from trioroute.core.model import AuthMode, Endpoint

PRIMARY = key_from(bytes(range(32)))
SECONDARY = key_from(bytes(range(32, 64)))
ENDPOINT = Endpoint(name="echo", key_digests=(digest_of(PRIMARY), digest_of(SECONDARY)))


def bearer(key: str) -> bytes:
    return b"Bearer " + key.encode()


def test_a_key_is_printable_recognisable_and_holds_all_its_entropy() -> None:
    assert PRIMARY == "trk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert key_from(b"\xff" * ENTROPY_BYTES).isascii()
    with pytest.raises(ValueError, match="32 random bytes, got 31"):
        key_from(bytes(31))


@pytest.mark.parametrize("key", [PRIMARY, SECONDARY])
@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER  "])
def test_either_key_opens_whatever_the_scheme_s_case(key: str, scheme: bytes) -> None:
    assert is_authorized(ENDPOINT, scheme + key.encode())


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer trk_wrong",
        b"Basic " + PRIMARY.encode(),
        PRIMARY.encode(),
        bearer(PRIMARY[:-1]),
        bearer(PRIMARY + "x"),
        bearer(PRIMARY.lower()),
        bearer(PRIMARY + "," + SECONDARY),
        b"Bearer " + bytes(32),
        b"Bearer \xff\xfe",
    ],
)
def test_anything_else_is_refused(authorization: bytes | None) -> None:
    assert not is_authorized(ENDPOINT, authorization)


def test_an_endpoint_without_keys_opens_for_nobody() -> None:
    keyless = Endpoint(name="echo", auth_mode=AuthMode.AML_TOKEN)
    assert not is_authorized(keyless, None)
    assert not is_authorized(keyless, bearer(""))
    assert not is_authorized(keyless, bearer(PRIMARY))


def test_an_anonymous_endpoint_needs_no_credential() -> None:
    assert is_authorized(Endpoint(name="echo", anonymous=True), None)


@pytest.mark.parametrize("authorization", [None, bearer(PRIMARY), bearer(SECONDARY), b"Bearer no"])
@pytest.mark.parametrize("slots", [0, 1, 2])
def test_both_slots_are_always_compared(
    monkeypatch: pytest.MonkeyPatch, authorization: bytes | None, slots: int
) -> None:
    """Counts the calls of the real comparison: a match in the first slot must not end the work."""
    compared = 0
    real = hmac.compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        nonlocal compared
        compared += 1
        return real(a, b)

    monkeypatch.setattr("trioroute.core.auth.hmac.compare_digest", counting)
    is_authorized(attrs.evolve(ENDPOINT, key_digests=ENDPOINT.key_digests[:slots]), authorization)
    assert compared == 2
