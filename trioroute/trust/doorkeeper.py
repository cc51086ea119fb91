"""Whether a request may enter its endpoint: by key, by token, and how often an address may fail.

One for each worker. Everything it needs comes with the routing snapshot, so no request waits for
anybody: an endpoint whose issuer's keys have not been fetched yet refuses with 503.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import attrs

from trioroute.core.auth import credential_of, is_authorized
from trioroute.core.guards.failures import FailureLimits
from trioroute.core.model import AuthMode, Endpoint, TokenIssuer
from trioroute.errors import (
    NoIssuerKeysError,
    TooManyFailuresError,
    TrioRouteError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from trioroute.trust.tokens import TokenVerifier

__all__ = ["FOR_EVER", "Doorkeeper", "Verdict"]

#: Clocks of other organisations are kept less well than those of one cluster.
_ISSUER_LEEWAY_S: Final = 30.0
#: A refusal that time alone can change is looked at again after this long.
_AGAIN_S: Final = 1.0
#: Until the routing changes.
FOR_EVER: Final = float("inf")


@attrs.frozen
class Verdict:
    """Whether a credential opens an endpoint.

    Attributes:
        refusal: the kind of error to answer with; None when it does open.
        until: Unix time until which this holds while the routing stays the same.
    """

    refusal: type[TrioRouteError] | None = None
    message: str = ""
    until: float = FOR_EVER

    def check(self) -> None:
        """Raise the refusal, if it is one; anew each time, for a kept one would keep its frames."""
        if self.refusal is not None:
            raise self.refusal(self.message)


_WELCOME: Final = Verdict()

_MadeFrom = tuple[bytes | None, AuthMode, TokenIssuer | None]


@attrs.define(eq=False)
class Doorkeeper:
    """Decides about credentials. One owner; `now` is Unix time in seconds."""

    limits: FailureLimits = attrs.field(factory=FailureLimits)
    _verifiers: dict[str, "TokenVerifier"] = attrs.field(factory=dict)
    _made_from: dict[str, _MadeFrom] = attrs.field(factory=dict)

    def apply(self, endpoints: tuple[Endpoint, ...], key_sets: Mapping[str, bytes]) -> None:
        """Believe these from now on.

        Args:
            key_sets: endpoint name → the JSON Web Key Set that its tokens are verified by.
        """
        wanted = {e.name: e for e in endpoints if e.auth_mode is not AuthMode.KEY}
        for name in self._made_from.keys() - (wanted.keys() & key_sets.keys()):
            del self._made_from[name], self._verifiers[name]
        for name, endpoint in wanted.items():
            made_from = (key_sets.get(name), *_source(endpoint))
            if name not in key_sets or self._made_from.get(name) == made_from:
                continue
            verifier = _verifier_of(endpoint, key_sets[name])
            if verifier is not None:
                self._verifiers[name], self._made_from[name] = verifier, made_from
            elif not self._is_same_issuer(endpoint):
                # Revoked, or another issuer's: what was believed before must not be any more.
                self._made_from.pop(name, None)
                self._verifiers.pop(name, None)

    def _is_same_issuer(self, endpoint: Endpoint) -> bool:
        """Whether an unusable key set is a slip of the issuer whose keys are known already."""
        known = self._made_from.get(endpoint.name)
        is_issuer = endpoint.auth_mode is AuthMode.AAD_TOKEN
        return is_issuer and known is not None and known[1:] == _source(endpoint)

    def admit(
        self, endpoint: Endpoint, authorization: bytes | None, *, address: str, now: float
    ) -> Verdict:
        """Whether this credential opens the endpoint.

        Args:
            authorization: the field's value as received, None when it is missing.
            address: who presents it; empty for a trusted proxy, behind which many are.
        """
        if endpoint.anonymous:
            return _WELCOME
        credential = credential_of(authorization)
        digest = sha256(credential).digest()
        wait_s = self.limits.wait_s(address, digest, now) if address else 0.0
        if wait_s and credential:
            message = "too many wrong credentials from this address"
            return Verdict(TooManyFailuresError, message, now + wait_s)
        verdict = self._judge(endpoint, authorization, credential, now)
        if verdict.refusal is None:
            self.limits.note_success(digest)
        elif verdict.refusal is UnauthorizedError and credential and address:
            self.limits.note_failure(address, now)
        return verdict

    def _judge(
        self, endpoint: Endpoint, authorization: bytes | None, credential: bytes, now: float
    ) -> Verdict:
        if endpoint.auth_mode is AuthMode.KEY:
            is_open = is_authorized(endpoint, authorization)
            return _WELCOME if is_open else _refusal("no key that opens this endpoint")
        verifier = self._verifiers.get(endpoint.name)
        if verifier is None:
            if endpoint.auth_mode is AuthMode.AML_TOKEN:
                return _refusal("no token opens this endpoint: none was issued, or all are revoked")
            return Verdict(NoIssuerKeysError, "the issuer's keys are not known", now + _AGAIN_S)
        from trioroute.trust.tokens import TokenError

        try:
            return Verdict(until=verifier.verify(credential, now))
        except TokenError as error:
            return Verdict(UnauthorizedError, str(error), now + _AGAIN_S)


def _source(endpoint: Endpoint) -> tuple[AuthMode, TokenIssuer | None]:
    """Whose tokens open the endpoint."""
    return endpoint.auth_mode, endpoint.token_issuer


def _refusal(message: str) -> Verdict:
    return Verdict(UnauthorizedError, message)


def _verifier_of(endpoint: Endpoint, key_set: bytes) -> "TokenVerifier | None":
    # Imported where it is needed: a worker without such endpoints does without 120 ms and 12 MB.
    from trioroute.trust.tokens import OWN_ALGORITHMS, OWN_ISSUER, KeySetError, TokenVerifier

    issuer = endpoint.token_issuer
    try:
        if endpoint.auth_mode is AuthMode.AML_TOKEN:
            return TokenVerifier(
                key_set, issuer=OWN_ISSUER, audience=endpoint.name, algorithms=OWN_ALGORITHMS
            )
        if issuer is None:
            return None
        return TokenVerifier(
            key_set,
            issuer=issuer.issuer,
            audience=issuer.audience,
            leeway_s=_ISSUER_LEEWAY_S,
        )
    except KeySetError:
        # Whoever fetched it has checked and said so.
        return None
