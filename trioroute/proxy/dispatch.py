"""From a client's head to the head that a replica gets: rewritten, never copied.

Nearly everything in it follows from the client's head and the deployment alone, and a keep-alive
client repeats its head byte for byte (the codec then hands out the same object). So a `Plan` is
made once for each head of a connection; an exchange adds what is its own: request id, trace parent
and slot.
"""

import os
from collections.abc import Callable
from typing import Final

import attrs

from trioroute.core.headers import (
    ForwardedBy,
    client_request_id,
    cors_fields,
    decrement_max_forwards,
    is_preflight,
    preflight_fields,
    request_fields,
    trace_parent,
    trusted_request_id,
)
from trioroute.core.holding.holding import Grant
from trioroute.core.model import Deployment, Endpoint
from trioroute.core.retry import IDEMPOTENT_METHODS, RetryBudget
from trioroute.core.routing import Match, RoutingTable
from trioroute.core.slots.priority import Priority
from trioroute.errors import MalformedRequestError
from trioroute.proxy.answers import ALLOW
from trioroute.telemetry.trace_context import parse_traceparent
from trioroute.trust.doorkeeper import Verdict
from trioroute.wire.encode import encode_field_lines, encode_request_head
from trioroute.wire.http import REFUSED_METHODS, Field, Framing, RequestHead

__all__ = ["UPGRADE_PROTOCOLS", "OwnAnswerError", "Plan", "RequestIds", "make_plan"]

#: Protocols that may be switched to where the deployment allows upgrades (contract, U1).
UPGRADE_PROTOCOLS: Final = frozenset((b"websocket",))

#: Methods whose requests have content by definition: without any they still say how much.
_CONTENT_METHODS: Final = frozenset((b"POST", b"PUT", b"PATCH"))

_IDS_AT_ONCE: Final = 256
#: What clients call the bands.
_PRIORITIES: Final = {each.name.lower().encode(): each for each in Priority}
#: The fourth group of a version 4 UUID begins with binary 10 (RFC 9562 §5.4).
_VARIANT: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


class OwnAnswerError(Exception):
    """The request is for the router itself: `OPTIONS *`, no forwards left, a CORS preflight."""

    def __init__(self, fields: tuple[Field, ...] = ((b"allow", ALLOW),)) -> None:
        """Remember what the answer says."""
        super().__init__()
        self.fields = fields


class RequestIds:
    """Fresh version 4 UUIDs, made in batches: one system call for 256 of them."""

    __slots__ = ("_ready",)

    def __init__(self) -> None:
        self._ready: list[bytes] = []

    def next(self) -> bytes:
        """An id that nobody has had before."""
        if not self._ready:
            self._refill()
        return self._ready.pop()

    def parent_id(self) -> bytes:
        """16 hex digits for `traceparent` (all zeros is forbidden, and will not come up)."""
        return os.urandom(8).hex().encode()

    def _refill(self) -> None:
        digits = os.urandom(16 * _IDS_AT_ONCE).hex()
        for start in range(0, len(digits), 32):
            h = digits[start : start + 32]
            text = f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:]}"
            self._ready.append(text.encode())


@attrs.define(eq=False)
class Plan:
    """All that follows from one head under one routing table.

    Attributes:
        is_idempotent: a retry after the request was written is safe (contract, section 4).
        verdict: whether its credential opens the endpoint, and for how long that holds.
        echoed: header lines for the client that only the request decides.
        priority: its band in the queue, where the endpoint lets clients choose.
        upgrade: the protocol that the client may switch to, empty for none.
    """

    head: RequestHead
    table: RoutingTable
    match: Match
    is_idempotent: bool
    verdict: Verdict
    client_request_id: bytes
    echoed: bytes
    trusted_id: bytes | None
    trace_id: str
    budget: RetryBudget
    priority: Priority
    _forwarded_by: ForwardedBy
    _deployments: dict[str, tuple[str, bytes]] = attrs.field(factory=dict)

    def check(self) -> None:
        """Whether the request may go on. Apart from making a plan: a refusal needs the endpoint.

        Raises:
            TrioRouteError: no credential that opens the endpoint, or none can be checked now.
            OwnAnswerError: the router answers this itself.
        """
        origins = self.match.endpoint.cors_origins
        if origins and is_preflight(self.head.method, self.head.index):  # without credentials
            origin = self.head.index[b"origin"]
            raise OwnAnswerError(tuple(preflight_fields(origins, origin, methods=ALLOW)))
        self.verdict.check()

    def upgrade_for(self, deployment: Deployment) -> bytes:
        """The protocol that this request may switch to, empty for none."""
        protocol = self.head.upgrade.lower()
        allowed = deployment.upgrade_max_s is not None and protocol in UPGRADE_PROTOCOLS
        return protocol if allowed else b""

    def deployment_key(self, deployment: Deployment) -> str:
        """The deployment's key, without making the string anew for each request."""
        return self._of(deployment)[0]

    def request_bytes(
        self,
        deployment: Deployment,
        grant: Grant,
        request_id: bytes,
        *,
        host: bytes,
        ids: RequestIds,
    ) -> bytes:
        """The whole head for one attempt.

        Args:
            host: the replica's authority, for a 1.0 request that named none.
        """
        head = self.head
        extra = b""
        if b"traceparent" in head.index:
            parent = trace_parent(head.index[b"traceparent"], ids.parent_id())
            if parent is not None:
                extra = b"traceparent: %b\r\n" % parent
                state = head.index.get(b"tracestate")
                if state:
                    extra += b"tracestate: %b\r\n" % state
        if not head.authority:
            extra += b"host: %b\r\n" % host
        return (b"%bx-request-id: %b\r\nx-ms-request-id: %b\r\nx-trioroute-slot: %b\r\n%b\r\n") % (
            self._of(deployment)[1],
            request_id,
            request_id,
            f"{grant.replica}/{grant.slot}/{grant.epoch}/{grant.number}".encode(),
            extra,
        )

    def _of(self, deployment: Deployment) -> tuple[str, bytes]:
        found = self._deployments.get(deployment.name)
        if found is None:
            found = (deployment.key, self._static_lines(deployment))
            self._deployments[deployment.name] = found
        return found

    def _static_lines(self, deployment: Deployment) -> bytes:
        head = self.head
        fields: list[Field] = []
        if head.authority:
            fields.append((b"host", head.authority))
        fields += request_fields(
            head.fields,
            head.connection_options,
            keep_authorization=self.match.endpoint.forwards_authorization,
        )
        if head.framing is Framing.CHUNKED:
            fields.append((b"transfer-encoding", b"chunked"))
        elif head.framing is Framing.LENGTH or head.method in _CONTENT_METHODS:
            fields.append((b"content-length", b"%d" % head.content_length))
        fields += self._forwarded_by.fields(head.index, head.authority)
        if head.expect_continue:
            fields.append((b"expect", b"100-continue"))
        protocol = self.upgrade_for(deployment)
        if protocol:
            fields += [(b"connection", b"upgrade"), (b"upgrade", protocol)]
        remaining = _remaining_forwards(head)
        if remaining is not None:
            fields.append((b"max-forwards", b"%d" % remaining))
        if self.client_request_id:
            fields.append((b"x-ms-client-request-id", self.client_request_id))
        target = self.match.upstream_target(deployment)
        return encode_request_head(head.method, target, fields)[:-2]


def make_plan(
    head: RequestHead,
    table: RoutingTable,
    *,
    forwarded_by: ForwardedBy,
    is_trusted: bool,
    budget_of: Callable[[str], RetryBudget],
    admit: Callable[[Endpoint, bytes | None], Verdict],
) -> Plan:
    """Decide where a request goes, and whether it may: `Plan.check` says so.

    Args:
        admit: judges an `Authorization` value.
        budget_of: the retry budget of an endpoint.
        is_trusted: the peer is a trusted proxy, whose request id is kept.

    Raises:
        MalformedRequestError: 405 for a method that is not forwarded, 400 for a bad target.
        NoSuchEndpointError: nothing answers there.
        OwnAnswerError: the router answers this itself.
    """
    if head.method in REFUSED_METHODS:
        raise MalformedRequestError(
            "this method is not forwarded", status=405, reason="method-not-allowed"
        )
    remaining = _remaining_forwards(head)
    if head.target == b"*" or remaining == -1:
        raise OwnAnswerError
    match = table.match(head.target, head.index)
    endpoint = match.endpoint
    client_id = client_request_id(head.index.get(b"x-ms-client-request-id")) or b""
    own_id = trusted_request_id(head.index.get(b"x-request-id")) if is_trusted else None
    trace = parse_traceparent(head.index.get(b"traceparent", b""))
    return Plan(
        head,
        table,
        match,
        is_idempotent=head.method in IDEMPOTENT_METHODS
        or b"idempotency-key" in head.index
        or endpoint.idempotent,
        verdict=admit(endpoint, head.index.get(b"authorization")),
        client_request_id=client_id,
        echoed=_echoed_lines(endpoint, head, client_id),
        trusted_id=own_id,
        trace_id=trace.trace_id if trace else "",
        budget=budget_of(endpoint.name),
        priority=_priority(endpoint, head),
        forwarded_by=forwarded_by,
    )


def _priority(endpoint: Endpoint, head: RequestHead) -> Priority:
    """What the client asks for, where it may (decision 18)."""
    asked = head.index.get(b"x-trioroute-priority") if endpoint.priority else None
    if asked is None:
        return Priority.NORMAL
    found = _PRIORITIES.get(asked.strip().lower())
    if found is None:
        raise MalformedRequestError(
            "x-trioroute-priority must be high, normal or low", reason="bad-priority"
        )
    return found


def _echoed_lines(endpoint: Endpoint, head: RequestHead, client_id: bytes) -> bytes:
    """What the answer says because of the request alone."""
    fields: list[Field] = []
    if client_id:
        fields.append((b"x-ms-client-request-id", client_id))
    if endpoint.cors_origins:
        fields += cors_fields(endpoint.cors_origins, head.index.get(b"origin"))
    return encode_field_lines(fields)


def _remaining_forwards(head: RequestHead) -> int | None:
    """What is left of Max-Forwards, which only OPTIONS obeys here (contract, item 18)."""
    if head.method != b"OPTIONS":
        return None
    try:
        return decrement_max_forwards(head.index.get(b"max-forwards"))
    except ValueError as error:
        raise MalformedRequestError(str(error)) from None
