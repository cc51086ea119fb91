"""Tokens are believed by their signature, issuer, audience and time, and by nothing else."""

import base64
import hmac
import json
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from trioroute.trust.tokens import (
    ISSUER_ALGORITHMS,
    KEY_SET_BYTES_MAX,
    KeySetError,
    TokenError,
    TokenVerifier,
    make_key,
    sign_token,
)

NOW = 1_000_000.0
ISSUER, AUDIENCE = "https://login.example/tenant", "api://scoring"
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 600}

Key = RSAKey | ECKey | OKPKey


@cache
def rsa(bits: int = 2048) -> RSAKey:
    return RSAKey.generate_key(bits, {"kid": "rsa", "use": "sig"})


def key_set(*keys: Key, **more: Any) -> bytes:
    return json.dumps({"keys": [{**key.as_dict(private=False), **more} for key in keys]}).encode()


def signed(claims: dict[str, Any] | bytes, key: Key | None = None, **header: Any) -> bytes:
    key = key or rsa()
    protected = {"alg": "RS256", "kid": key.kid or "", **header}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    token = jws.serialize_compact(protected, payload, key, algorithms=list(ISSUER_ALGORITHMS))
    return token.encode()


def verifier(keys: bytes | None = None, **settings: Any) -> TokenVerifier:
    return TokenVerifier(
        key_set(rsa()) if keys is None else keys, issuer=ISSUER, audience=AUDIENCE, **settings
    )


@pytest.mark.parametrize("algorithm", ISSUER_ALGORITHMS)
def test_every_algorithm_of_the_list_verifies(algorithm: str) -> None:
    curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
    key: Key = rsa()
    if algorithm in curves:
        key = ECKey.generate_key(curves[algorithm], {"kid": "ec"})
    elif algorithm == "Ed25519":
        key = OKPKey.generate_key("Ed25519", {"kid": "ed"})
    token = signed(CLAIMS, key, alg=algorithm)
    assert verifier(key_set(key)).verify(token, NOW) == NOW + 600


def test_our_own_tokens_are_believed_by_the_public_half() -> None:
    key = make_key(bytes(range(32)))
    token = sign_token(key, "k1", CLAIMS).encode()
    keys = key_set(key, kid="k1")
    assert b'"d"' not in keys
    assert verifier(keys, algorithms=("Ed25519",)).verify(token, NOW) == NOW + 600
    other = make_key(bytes(32))
    with pytest.raises(TokenError, match="signature"):
        verifier(key_set(other, kid="k1")).verify(token, NOW)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"iss": [ISSUER]}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "api://other"}, "somebody else"),
        ({"aud": []}, "somebody else"),
        ({"aud": {AUDIENCE: 1}}, "somebody else"),
        ({"aud": None}, "somebody else"),
        ({"exp": NOW}, "expired"),
        ({"exp": NOW - 1}, "expired"),
        ({"exp": None}, "no time"),
        ({"exp": True}, "no time"),
        ({"exp": "2099-01-01"}, "no time"),
        ({"exp": 1e308}, "no time"),
        ({"exp": float("nan")}, "no time"),
        ({"nbf": NOW + 1}, "not valid yet"),
        ({"nbf": "now"}, "no time"),
    ],
)
def test_claims_that_do_not_fit_are_refused(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(TokenError, match=why):
        verifier().verify(signed({**CLAIMS, **claims}), NOW)


def test_several_audiences_and_a_time_before_are_fine() -> None:
    token = signed({**CLAIMS, "aud": ["x", AUDIENCE], "nbf": NOW - 1})
    assert verifier().verify(token, NOW) == NOW + 600


def test_the_leeway_is_for_both_ends() -> None:
    late = signed({**CLAIMS, "exp": NOW - 29})
    early = signed({**CLAIMS, "nbf": NOW + 29})
    for token in (late, early):
        assert verifier(leeway_s=30.0).verify(token, NOW) > NOW
        with pytest.raises(TokenError):
            verifier(leeway_s=28.0).verify(token, NOW)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unsigned(algorithm: str) -> bytes:
    head = _text(json.dumps({"alg": algorithm, "kid": "rsa"}).encode())
    return f"{head}.{_text(json.dumps(CLAIMS).encode())}.".encode()


def _signed_with_the_public_key(secret: bytes) -> bytes:
    """HS256 with the issuer's public key as the secret: what a confused verifier believes."""
    first = _text(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
    body = f"{first}.{_text(json.dumps(CLAIMS).encode())}".encode()
    return body + b"." + _text(hmac.digest(secret, body, "sha256")).encode()


FORGERIES = {
    "none": _unsigned("none"),
    "None": _unsigned("None"),
    "empty signature": _unsigned("RS256"),
    "HMAC by the PEM": _signed_with_the_public_key(rsa().as_pem(private=False)),
    "HMAC by the JWK": _signed_with_the_public_key(key_set(rsa())),
    "key in the header": signed(
        CLAIMS,
        RSAKey.generate_key(2048, {"kid": "own"}),
    ),
    "unknown kid": signed(CLAIMS, rsa(), kid="other"),
    "five parts": b"a.b.c.d.e",
    "two parts": b"a.b",
    "no token": b"trk_abc",
    "nothing": b"",
    "not base64": b"\xff.\xff.\xff",
    "huge": b"a" * 20_000 + b".b.c",
    "a list": signed(b"[]"),
    "no JSON": signed(b"{"),
    "deep": signed(b"[" * 5_000),
}


@pytest.mark.parametrize("token", FORGERIES.values(), ids=FORGERIES.keys())
def test_forgeries_are_refused_without_repeating_them(token: bytes) -> None:
    # A second key in the set: with one alone the library would not look at the kid.
    keys = key_set(rsa(), ECKey.generate_key("P-256", {"kid": "ec"}))
    with pytest.raises(TokenError) as caught:
        verifier(keys).verify(token, NOW)
    assert token[:8].decode("latin-1") not in str(caught.value) or not token


def test_a_changed_payload_is_refused() -> None:
    head, payload, signature = signed(CLAIMS).split(b".")
    longer = _text(json.dumps({**CLAIMS, "exp": NOW + 9_999}).encode()).encode()
    assert payload != longer
    with pytest.raises(TokenError, match="signature"):
        verifier().verify(b".".join((head, longer, signature)), NOW)


def test_a_key_is_used_for_its_own_algorithm_only() -> None:
    keys = key_set(rsa(), alg="RS512")
    with pytest.raises(TokenError, match="signature"):
        verifier(keys).verify(signed(CLAIMS), NOW)
    assert verifier(keys).verify(signed(CLAIMS, alg="RS512"), NOW)


def test_a_token_is_verified_once_and_refused_when_it_expires() -> None:
    believes = verifier()
    token = signed(CLAIMS)
    assert not believes.is_known(token)
    believes.verify(token, NOW)
    assert believes.is_known(token)
    assert believes.verify(token, NOW + 599.9) == NOW + 600
    for _ in range(2):
        with pytest.raises(TokenError, match="expired"):
            believes.verify(token, NOW + 600)
    assert not believes.is_known(token)


def test_what_is_kept_of_tokens_is_bounded() -> None:
    key = make_key(bytes(range(32)))
    believes = verifier(key_set(key, kid="k"))
    tokens = [sign_token(key, "k", {**CLAIMS, "jti": n}).encode() for n in range(4_100)]
    for token in tokens:
        believes.verify(token, NOW)
    assert sum(map(believes.is_known, tokens)) == 4_096
    assert [believes.is_known(token) for token in tokens[:4]] == [False] * 4


def test_a_refused_token_is_not_remembered_as_good() -> None:
    believes = verifier()
    early = signed({**CLAIMS, "nbf": NOW + 5})
    with pytest.raises(TokenError, match="not valid yet"):
        believes.verify(early, NOW)
    assert believes.verify(early, NOW + 5)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keys": 1}',
        b'{"keys": []}',
        b'{"keys": [1, null, {}]}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
        b'{"keys": [{"kty": "RSA", "n": "AQAB"}]}',
        b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}',
        key_set(rsa(), use="enc"),
        b"[" * 100_000,
        b" " * (KEY_SET_BYTES_MAX + 1),
    ],
)
def test_a_set_without_a_key_that_verifies_is_refused(text: bytes) -> None:
    with pytest.raises(KeySetError):
        verifier(text)


def test_keys_that_cannot_be_used_are_passed_over() -> None:
    strange = [{"kty": "oct", "k": "c2VjcmV0"}, {"kty": "quantum"}, "text"]
    listed = [*strange, rsa().as_dict(private=False)]
    assert verifier(json.dumps({"keys": listed}).encode()).verify(signed(CLAIMS), NOW)


def test_weak_keys_are_not_taken() -> None:
    numbers = generate_private_key(65537, 1024).public_key().public_numbers()
    modulus = _text(numbers.n.to_bytes(128))
    weak = json.dumps({"keys": [{"kty": "RSA", "n": modulus, "e": "AQAB"}]}).encode()
    with pytest.raises(KeySetError, match="2048"):
        verifier(weak)


def test_private_parts_in_a_public_set_are_not_kept() -> None:
    keys = json.dumps({"keys": [rsa().as_dict(private=True)]}).encode()
    believes = verifier(keys)
    assert believes.verify(signed(CLAIMS), NOW)
    assert not any(key.is_private for key in believes._keys.keys)
