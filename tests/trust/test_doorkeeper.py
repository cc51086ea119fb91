"""Keys and tokens open their own endpoints while they are good, and guesses are slowed."""

import attrs
import pytest

from tests.trust.test_tokens import AUDIENCE, CLAIMS, ISSUER, NOW, key_set, rsa, signed
from trioroute.core.auth import digest_of
from trioroute.core.guards.failures import FailureLimits
from trioroute.core.model import AuthMode, Endpoint, TokenIssuer
from trioroute.core.resources.state import TokenKey, key_set_of
from trioroute.errors import (
    NoIssuerKeysError,
    TooManyFailuresError,
    TrioRouteError,
    UnauthorizedError,
)
from trioroute.trust.doorkeeper import FOR_EVER, Doorkeeper
from trioroute.trust.tokens import OWN_ISSUER, make_key, sign_token

BY_KEY = Endpoint(name="keyed", key_digests=(digest_of("one"), digest_of("two")))
BY_TOKEN = Endpoint(name="tokened", auth_mode=AuthMode.AML_TOKEN, key_digests=(digest_of("one"),))
BY_ISSUER = Endpoint(
    name="issued",
    auth_mode=AuthMode.AAD_TOKEN,
    token_issuer=TokenIssuer(issuer=ISSUER, audience=AUDIENCE),
)
ALL = (BY_KEY, BY_TOKEN, BY_ISSUER)
SEED = bytes(range(32))
OWN_KEY = TokenKey(public=make_key(SEED).public_key.public_bytes_raw(), sealed=b"", made_at_s=NOW)


def own_token(**claims: object) -> bytes:
    wanted = {"iss": OWN_ISSUER, "aud": "tokened", "exp": NOW + 60, **claims}
    return b"Bearer " + sign_token(make_key(SEED), OWN_KEY.id, wanted).encode()


def keeper(**settings: object) -> Doorkeeper:
    made = Doorkeeper(**settings)  # type: ignore[arg-type]
    made.apply(ALL, {"tokened": key_set_of((OWN_KEY,)), "issued": key_set(rsa())})
    return made


def refusal(
    door: Doorkeeper, endpoint: Endpoint, credential: bytes | None, *, now: float = NOW
) -> type[TrioRouteError] | None:
    return door.admit(endpoint, credential, address="10.0.0.1", now=now).refusal


def test_each_endpoint_takes_its_own_kind_of_credential() -> None:
    door = keeper()
    credentials = {
        "keyed": b"Bearer one",
        "tokened": own_token(),
        "issued": b"Bearer " + signed(CLAIMS),
        "nobody": None,
    }
    for endpoint in ALL:
        for name, credential in credentials.items():
            is_open = refusal(door, endpoint, credential) is None
            assert is_open == (name == endpoint.name), (endpoint.name, name)


def test_an_endpoint_of_a_token_mode_refuses_keys_that_it_had_before() -> None:
    assert refusal(keeper(), BY_TOKEN, b"Bearer one") is UnauthorizedError


def test_a_token_is_for_one_endpoint() -> None:
    other = attrs.evolve(BY_TOKEN, name="other")
    door = Doorkeeper()
    door.apply((BY_TOKEN, other), dict.fromkeys(("tokened", "other"), key_set_of((OWN_KEY,))))
    assert refusal(door, BY_TOKEN, own_token()) is None
    assert refusal(door, other, own_token()) is UnauthorizedError


def test_a_verdict_holds_as_long_as_the_token() -> None:
    door = keeper()
    assert door.admit(BY_TOKEN, own_token(), address="a", now=NOW).until == NOW + 60
    assert door.admit(BY_KEY, b"Bearer one", address="a", now=NOW).until == FOR_EVER
    assert door.admit(BY_KEY, b"Bearer x", address="a", now=NOW).until == FOR_EVER
    assert refusal(door, BY_TOKEN, own_token(), now=NOW + 60) is UnauthorizedError


@pytest.mark.parametrize("left", [{}, {"tokened": key_set_of(())}])
def test_a_revoked_key_is_believed_no_more(left: dict[str, bytes]) -> None:
    door = keeper()
    assert refusal(door, BY_TOKEN, own_token()) is None
    door.apply(ALL, left)
    assert refusal(door, BY_TOKEN, own_token()) is UnauthorizedError


@pytest.mark.parametrize("broken", [b"{", b'{"keys": []}'])
def test_unusable_keys_change_nothing_but_the_issuer_s_own(broken: bytes) -> None:
    door = keeper()
    door.apply(ALL, {"issued": broken})
    assert refusal(door, BY_ISSUER, b"Bearer " + signed(CLAIMS)) is None
    other = attrs.evolve(
        BY_ISSUER, token_issuer=TokenIssuer(issuer="https://other.example", audience=AUDIENCE)
    )
    door.apply((other,), {"issued": broken})
    assert refusal(door, other, b"Bearer " + signed(CLAIMS)) is NoIssuerKeysError


def test_an_issuer_rolls_its_key_over() -> None:
    door = keeper()
    old, new = signed(CLAIMS), make_key(SEED)
    fresh = signed(CLAIMS, new, alg="Ed25519", kid="new")
    assert refusal(door, BY_ISSUER, b"Bearer " + fresh) is UnauthorizedError
    door.apply(ALL, {"issued": key_set(new, kid="new")})
    assert refusal(door, BY_ISSUER, b"Bearer " + fresh) is None
    assert refusal(door, BY_ISSUER, b"Bearer " + old) is UnauthorizedError


def test_unchanged_keys_keep_what_was_verified() -> None:
    door = keeper()
    verifier = door._verifiers["issued"]
    door.apply(ALL, {"tokened": key_set_of((OWN_KEY,)), "issued": key_set(rsa())})
    assert door._verifiers["issued"] is verifier
    changed = attrs.evolve(BY_ISSUER, token_issuer=TokenIssuer(issuer=ISSUER, audience="other"))
    door.apply((changed,), {"issued": key_set(rsa())})
    assert refusal(door, changed, b"Bearer " + signed(CLAIMS)) is UnauthorizedError


@pytest.mark.parametrize("issuer", [None, BY_ISSUER.token_issuer])
def test_without_the_issuers_keys_nobody_is_told_that_the_token_is_wrong(
    issuer: TokenIssuer | None,
) -> None:
    door = Doorkeeper()
    endpoint = attrs.evolve(BY_ISSUER, token_issuer=issuer)
    for key_sets in ({}, {"issued": b"no keys"}):
        door.apply((endpoint,), key_sets)
        verdict = door.admit(endpoint, b"Bearer " + signed(CLAIMS), address="a", now=NOW)
        assert (verdict.refusal, verdict.until) == (NoIssuerKeysError, NOW + 1)


def test_guesses_wait_and_those_who_share_the_address_do_not() -> None:
    door = keeper(limits=FailureLimits(burst=3))
    assert refusal(door, BY_KEY, b"Bearer one") is None
    found = [refusal(door, BY_KEY, b"Bearer %d" % number) for number in range(6)]
    assert found == [UnauthorizedError] * 3 + [TooManyFailuresError] * 3
    assert refusal(door, BY_KEY, b"Bearer one") is None
    assert refusal(door, BY_KEY, None) is UnauthorizedError  # no credential is no guess
    assert refusal(door, BY_KEY, b"Bearer two", now=NOW + 1) is None


def test_no_signature_is_checked_for_an_address_that_has_to_wait() -> None:
    door = keeper(limits=FailureLimits(burst=1))
    refusal(door, BY_KEY, b"Bearer guess")
    token = signed({**CLAIMS, "jti": "new"})
    assert refusal(door, BY_ISSUER, b"Bearer " + token) is TooManyFailuresError
    assert not door._verifiers["issued"].is_known(token)


def test_a_trusted_proxy_is_never_made_to_wait() -> None:
    door = keeper(limits=FailureLimits(burst=1))
    for number in range(5):
        verdict = door.admit(BY_KEY, b"Bearer %d" % number, address="", now=NOW)
        assert verdict.refusal is UnauthorizedError


def test_a_refusal_is_raised_anew_each_time() -> None:
    verdict = keeper().admit(BY_KEY, b"Bearer x", address="a", now=NOW)
    raised = []
    for _ in range(2):
        with pytest.raises(UnauthorizedError) as caught:
            verdict.check()
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    keeper().admit(BY_KEY, b"Bearer one", address="a", now=NOW).check()
