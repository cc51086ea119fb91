"""How often one address may present credentials that open nothing, before it has to wait.

Keys of 256 random bits need no such limit; those that people choose do, and so do logs and the CPU
that checks signatures. A credential that has opened something lately is never held up: whoever
shares an address with a guesser goes on. Everything kept is bounded, the oldest goes first.
"""

import ipaddress
from collections import OrderedDict
from typing import Final

import attrs

__all__ = ["FailureLimits"]

#: A client with an old key fails a few times before a person looks; a guesser needs billions.
_BURST: Final = 20
_PER_S: Final = 1.0
_ADDRESSES_MAX: Final = 4096
_CREDENTIALS_MAX: Final = 4096
#: One host has a whole /64 of IPv6 addresses to itself.
_IPV6_HOST_BITS: Final = 64


@attrs.define(eq=False)
class FailureLimits:
    """The failures of one process's listeners. One owner; `now` is any clock in seconds.

    Attributes:
        burst: so many failures at once are free.
        per_s: so many are forgiven each second.
    """

    burst: int = _BURST
    per_s: float = _PER_S
    addresses_max: int = _ADDRESSES_MAX
    credentials_max: int = _CREDENTIALS_MAX
    # Address → failures not yet forgiven, and as of when.
    _debts: OrderedDict[str, tuple[float, float]] = attrs.field(factory=OrderedDict, init=False)
    _accepted: OrderedDict[bytes, None] = attrs.field(factory=OrderedDict, init=False)

    def wait_s(self, address: str, credential: bytes, now: float) -> float:
        """How long the address must wait before another try; 0 when it may try now.

        Args:
            credential: digest of what it presents.
        """
        if not self._debts or credential in self._accepted:
            return 0.0
        debt = self._debt(_host_of(address), now)
        return max(0.0, debt + 1 - self.burst) / self.per_s

    def note_failure(self, address: str, now: float) -> None:
        """A credential from there opened nothing."""
        host = _host_of(address)
        debt = min(self._debt(host, now) + 1, self.burst)
        self._debts[host] = (debt, now)
        self._debts.move_to_end(host)
        while len(self._debts) > self.addresses_max:
            self._debts.popitem(last=False)

    def note_success(self, credential: bytes) -> None:
        """A credential of this digest opened something."""
        self._accepted[credential] = None
        self._accepted.move_to_end(credential)
        while len(self._accepted) > self.credentials_max:
            self._accepted.popitem(last=False)

    def _debt(self, host: str, now: float) -> float:
        debt, at = self._debts.get(host, (0.0, now))
        return max(0.0, debt - (now - at) * self.per_s)


def _host_of(address: str) -> str:
    """What one host counts as: its IPv4 address, or the network of its IPv6 address."""
    if ":" not in address:
        return address
    try:
        number = int(ipaddress.IPv6Address(address.partition("%")[0]))
    except ValueError:
        return address
    return f"{number >> _IPV6_HOST_BITS:x}::"
