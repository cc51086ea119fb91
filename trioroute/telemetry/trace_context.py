"""Reads and continues a W3C trace (Trace Context, https://www.w3.org/TR/trace-context/).

A valid `traceparent` is passed on with a new parent id, so that the replica's spans hang below the
router's; an invalid one is dropped together with `tracestate` (section 4.2 of that document).
"""

import re
from typing import Final

import attrs

__all__ = ["PARENT_ID_BYTES", "TraceContext", "parse_traceparent"]

#: Random bytes that a new parent id takes.
PARENT_ID_BYTES: Final = 8

_TRACEPARENT: Final = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.DOTALL,
)
_SAMPLED: Final = 0x01


@attrs.frozen
class TraceContext:
    """The trace a request belongs to. Ids are lower-case hex, as in the header."""

    trace_id: str
    parent_id: str
    is_sampled: bool

    def with_parent(self, parent_id: bytes) -> "TraceContext":
        """The same trace below a new parent.

        Args:
            parent_id: PARENT_ID_BYTES random bytes, not all zero.
        """
        return TraceContext(self.trace_id, parent_id.hex(), self.is_sampled)

    def encode(self) -> bytes:
        """The header's value, in version 00 whatever was received: that is what we understand."""
        return f"00-{self.trace_id}-{self.parent_id}-{self.is_sampled:02x}".encode("ascii")


def parse_traceparent(value: bytes) -> TraceContext | None:
    """The context a `traceparent` value names, or None when it is invalid.

    Higher versions are read by the fields of version 00 and may have more; version ff, all-zero
    ids, upper case and a version 00 with more are invalid (section 3.2.2).
    """
    found = _TRACEPARENT.fullmatch(value)
    if found is None or found["version"] == b"ff":
        return None
    if found["version"] == b"00" and found["more"] is not None:
        return None
    if not int(found["trace"], 16) or not int(found["parent"], 16):
        return None
    return TraceContext(
        found["trace"].decode("ascii"),
        found["parent"].decode("ascii"),
        bool(int(found["flags"], 16) & _SAMPLED),
    )
