"""Who somebody is to the admin API: roles, the tokens that stand for them, what each may do."""

import enum
import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import Final

import attrs

from trioroute.errors import ConfigError

__all__ = ["Access", "AdminToken", "Role", "digest_of_token", "parse_tokens", "who_presents"]

_SCHEME: Final = "bearer "
_NAME: Final = re.compile(r"[A-Za-z0-9][-.@A-Za-z0-9_]{0,62}")
_DIGEST: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")


class Role(enum.IntEnum):
    """What a token stands for; each role may do all that those before it may.

    READ sees everything but keys. OPERATE runs what is there: traffic, deployments, drains,
    scoring tokens. ADMIN makes and deletes endpoints and handles their keys.
    """

    READ = 1
    OPERATE = 2
    ADMIN = 3


class Access(enum.Enum):
    """What an operation needs."""

    #: Anybody, on every listener: load balancers and the kubelet have no tokens.
    HEALTH = "health"
    #: `read`; on the read-only listener anybody, for scrapers and dashboards.
    SCRAPE = "scrape"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    @property
    def role(self) -> Role | None:
        """The least role that may; None: whoever asks."""
        if self is Access.HEALTH:
            return None
        return Role.READ if self is Access.SCRAPE else Role[self.name]


@attrs.frozen(kw_only=True)
class AdminToken:
    """One token, of which only the SHA-256 is known here.

    Attributes:
        name: who has it, for the log.
    """

    name: str
    role: Role
    digest: bytes = attrs.field(repr=False)


def digest_of_token(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def parse_tokens(text: str, source: str) -> tuple[AdminToken, ...]:
    """Read a file of tokens: `ROLE NAME sha256:HEX` on each line, `#` begins a comment.

    Args:
        source: the file's name, for messages.

    Raises:
        ConfigError: names every line that is wrong, and what it should be.
    """
    tokens: list[AdminToken] = []
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        fault = next(_faults(words, {token.name for token in tokens}), None)
        if fault is not None:
            faults.append(f"{source}:{number}: {fault}")
            continue
        role, name, digest = words
        value = bytes.fromhex(digest.removeprefix("sha256:"))
        tokens.append(AdminToken(name=name, role=Role[role.upper()], digest=value))
    if not tokens and not faults:
        faults.append(f"{source}: no token: without any, nobody could do anything")
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(tokens)


def who_presents(tokens: tuple[AdminToken, ...], authorization: str) -> AdminToken | None:
    """Whose token an `Authorization` value is. Always compares with all of them."""
    is_bearer = authorization[: len(_SCHEME)].lower() == _SCHEME
    credential = authorization[len(_SCHEME) :].strip() if is_bearer else ""
    presented = hashlib.sha256(credential.encode(errors="replace")).digest()
    found: AdminToken | None = None
    for token in tokens:
        # Not `or`: that would skip the comparisons that follow a match.
        if hmac.compare_digest(presented, token.digest) & bool(credential):
            found = token
    return found


def _faults(words: list[str], names: set[str]) -> Iterator[str]:
    # What stands in a wrong line may be a token itself: nothing of it is repeated but the role.
    if len(words) != 3:
        yield f"expected ROLE NAME sha256:HEX, found {len(words)} words"
        return
    role, name, digest = words
    if role.upper() not in Role.__members__:
        yield "the first word is a role: read, operate or admin"
    if not _NAME.fullmatch(name):
        yield "the second word is a name of letters, digits, `-`, `.`, `_` and `@`"
    elif name in names:
        yield f"{name} has a token already; names tell tokens apart"
    if not _DIGEST.fullmatch(digest):
        yield (
            "the third word is sha256: and 64 hex digits, the digest of the token and not the "
            "token itself: printf %s TOKEN | sha256sum"
        )
