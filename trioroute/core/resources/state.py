"""What is agreed on, as values: the registry's state and what became of a command."""

import base64
import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Final

import attrs

from trioroute.core.decisions import Decision
from trioroute.core.model import Deployment, Endpoint, Replica

__all__ = [
    "Death",
    "Forgotten",
    "Former",
    "Homes",
    "Refusal",
    "RegistryState",
    "Result",
    "TokenKey",
    "key_set_of",
]

#: 64 bits: enough to tell a handful of keys apart.
_KEY_ID_DIGITS: Final = 16

#: Of one deployment: replica id → holder → mask of the slots that are at home there.
Homes = Mapping[str, Mapping[str, int]]


class Refusal(enum.Enum):
    """Why a command was not applied, for whoever has to answer for it."""

    NONE = ""
    REFUSED = "refused"
    CONFLICT = "conflict"  # somebody else was faster: read again
    MISSING = "missing"


@attrs.frozen
class Result:
    """What became of a command.

    Attributes:
        error: empty when it was applied; else why nothing changed.
    """

    error: str = ""
    refusal: Refusal = Refusal.NONE


@attrs.frozen(kw_only=True)
class TokenKey:
    """One key that tokens of an `aml_token` endpoint are signed with (Ed25519).

    Attributes:
        public: 32 bytes; all that workers get.
        sealed: the private key under the cluster secret.
        made_at_s: Unix time.
    """

    public: bytes
    sealed: bytes = attrs.field(repr=False)
    made_at_s: float

    @property
    def id(self) -> str:
        """The `kid` of tokens signed with it."""
        return hashlib.sha256(self.public).hexdigest()[:_KEY_ID_DIGITS]


def key_set_of(keys: tuple[TokenKey, ...]) -> bytes:
    """The public keys as a JSON Web Key Set (RFC 7517, RFC 8037)."""
    listed = [
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "kid": key.id,
            "x": base64.urlsafe_b64encode(key.public).rstrip(b"=").decode("ascii"),
        }
        for key in keys
    ]
    return json.dumps({"keys": listed}).encode()


@attrs.frozen(kw_only=True)
class Death:
    """Proof that all incarnations of a holder below one have ended (decision 25).

    Attributes:
        ended_s_ago: for how long they had been dead when the proof was proposed.
    """

    below: int
    ended_s_ago: float


@attrs.frozen(kw_only=True)
class Forgotten:
    """What the log has named once: who comes back is not new.

    Attributes:
        holders: those that were fenced.
        replicas: those at fixed addresses that left; the ids of others never come back.
    """

    holders: tuple[str, ...] = ()
    replicas: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Former:
    """What a deployment allowed before a change: who has not heard of that may act on it yet.

    Attributes:
        index: of the newest such change.
        request_max_s: the longest request that was allowed (decision 14), where it is shorter now.
        unlimited: whether requests may run that were started without a slot.
        homes: who was at home where when the deployment was deleted, until it is made again.
    """

    index: int
    request_max_s: float = 0.0
    unlimited: bool = False
    homes: Homes = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class RegistryState:
    """The whole replicated state as one value, for snapshots of the log.

    Attributes:
        holders: known holders and the newest incarnation of each.
        dead: holders whose newest known incarnation is proven to have ended.
        clean: those of them whose newest incarnation ended with nothing in flight.
        orderly: holders and the incarnation before which all had ended with nothing in flight, or
            before which there was none.
        forgotten: what it named once and names no longer; None where that is not known, because
            an earlier version wrote it down or because it is too much.
        former: per deployment key, what was allowed before, until nothing of it can run or begin.
        ready_times_s: per deployment, what its replicas' last starts took, the oldest first.
        homes_index: per deployment, the index of the last change of its homes.
        versions: per endpoint name and deployment key, the index of its last change: the
            `resource_version` that a writer may insist on.
        documents: likewise, what its user wrote, as JSON; what `--set` edits.
        decisions: what coordinators decided lately, the oldest first.
        sealed_keys: per endpoint, its keys under the cluster secret. Workers never get them.
        traffic_before: per endpoint, its traffic before the last change; what is more now rises.
        halted: per endpoint, the deployments whose rising share was stopped, and why.
        token_keys: per `aml_token` endpoint, what its tokens were signed with; newest last.
    """

    epoch: int = 0
    index: int = 0
    endpoints: Mapping[str, Endpoint] = attrs.field(factory=dict)
    deployments: Mapping[str, Deployment] = attrs.field(factory=dict)
    replicas: Mapping[str, tuple[Replica, ...]] = attrs.field(factory=dict)
    ready_times_s: Mapping[str, tuple[float, ...]] = attrs.field(factory=dict)
    homes: Mapping[str, Homes] = attrs.field(factory=dict)
    leaving: Mapping[str, Homes] = attrs.field(factory=dict)
    homes_index: Mapping[str, int] = attrs.field(factory=dict)
    holders: Mapping[str, int] = attrs.field(factory=dict)
    dead: Mapping[str, Death] = attrs.field(factory=dict)
    clean: tuple[str, ...] = ()
    orderly: Mapping[str, int] = attrs.field(factory=dict)
    forgotten: Forgotten | None = None
    former: Mapping[str, Former] = attrs.field(factory=dict)
    versions: Mapping[str, int] = attrs.field(factory=dict)
    documents: Mapping[str, str] = attrs.field(factory=dict)
    sealed_keys: Mapping[str, bytes] = attrs.field(factory=dict)
    decisions: tuple[Decision, ...] = ()
    token_keys: Mapping[str, tuple[TokenKey, ...]] = attrs.field(factory=dict)
    traffic_before: Mapping[str, Mapping[str, int]] = attrs.field(factory=dict)
    halted: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)
