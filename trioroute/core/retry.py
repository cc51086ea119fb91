"""Decides whether an attempt that failed may be tried again (contract, section 4).

Two questions, kept apart: is it *safe* (could the replica have begun to work?) and is it *worth
it* (a budget, so that retries cannot double the load of a system that is failing already).
"""

import enum
from typing import Final

import attrs

__all__ = ["ATTEMPTS_MAX", "IDEMPOTENT_METHODS", "Failure", "RetryBudget", "is_retry_safe"]

#: RFC 9110 §9.2.2, less TRACE, which is never forwarded.
IDEMPOTENT_METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))

#: The first and two more. Connect failures do not count: each costs nothing and excludes a replica.
ATTEMPTS_MAX: Final = 3


class Failure(enum.Enum):
    """How far an attempt had come when it failed."""

    UNSENT = "unsent"  # refused, unreachable, too slow to connect, or found closed: no byte written
    WRITING = "writing"  # some of the request written, no byte of an answer
    WRITTEN = "written"  # all of it written, no byte of an answer
    ANSWERED = "answered"  # after any byte of an answer, an interim one included
    TIMEOUT = "timeout"  # our own limit: the replica may still be working
    CLIENT_GONE = "client-gone"  # nobody is left to answer


_ALWAYS: Final = frozenset((Failure.UNSENT,))
_IF_IDEMPOTENT: Final = frozenset((Failure.WRITING, Failure.WRITTEN))


def is_retry_safe(failure: Failure, *, is_idempotent: bool, is_body_whole: bool) -> bool:
    """Whether the same request may be sent to another replica.

    Args:
        is_idempotent: the method is, or the request or its endpoint opted in.
        is_body_whole: every byte of the body is still in memory.
    """
    if not is_body_whole:
        return False
    return failure in _ALWAYS or (is_idempotent and failure in _IF_IDEMPOTENT)


@attrs.define
class RetryBudget:
    """Retries as a share of an endpoint's requests (Envoy's and linkerd's retry budget).

    Attributes:
        ratio: retries allowed for each request.
        balance_max: how many retries may be saved up; also what an idle endpoint starts with.
    """

    ratio: float = 0.2
    balance_max: float = 10.0
    balance: float = attrs.field(
        default=attrs.Factory(lambda self: self.balance_max, takes_self=True)
    )

    def record_request(self) -> None:
        """One more first attempt."""
        if self.balance < self.balance_max:
            self.balance += self.ratio

    def take(self) -> bool:
        """Spend one retry; False when the budget is used up."""
        if self.balance < 1.0:
            return False
        self.balance -= 1.0
        return True
