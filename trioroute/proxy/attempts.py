"""Getting a request to a replica: a slot, a connection, the request's bytes, the answer's head.

One attempt after another until one is answered or the retry table says no (contract, section 4).
"""

from collections.abc import Callable

import trio

from trioroute.core.headers import response_fields
from trioroute.core.health import Outcome
from trioroute.core.holding.holding import Grant
from trioroute.core.model import Deployment
from trioroute.core.retry import ATTEMPTS_MAX, Failure, is_retry_safe
from trioroute.core.slots.priority import Priority
from trioroute.errors import BrokenAnswerError, UpstreamError
from trioroute.net.stream import StreamBrokenError
from trioroute.proxy.admission import Place
from trioroute.proxy.dispatch import Plan
from trioroute.proxy.relay import CONTINUE, Upload, framed
from trioroute.proxy.state import ExchangeState
from trioroute.proxy.upstream import AttemptFailedError, UpstreamConnection
from trioroute.wire.encode import encode_response_head
from trioroute.wire.http import Framing, ResponseHead

__all__ = [
    "LeaseEndedError",
    "check_sent",
    "encode_request",
    "go_off",
    "join_queue",
    "note_answered",
    "run_attempts",
    "start_dispatch",
    "take_upstream",
    "wait_for_slot",
    "write_request",
]


class LeaseEndedError(UpstreamError):
    """The lease ended between check and write: the request was taken back by a reset."""

    reason = "lease-ended"


def join_queue(
    state: ExchangeState, deployment: Deployment, *, go: Callable[[Grant], None] | None = None
) -> Place:
    """Take a place in the queue; `wait_for_slot` waits there for the request's turn.

    Args:
        go: what to do with the grant as soon as it is there.

    Raises:
        TrioRouteError: refused, with the reason.
    """
    asked_at = trio.current_time()
    if not state.asked_at:
        state.asked_at = asked_at
    state.connection.deadline = float("inf")  # the queue has its own
    place = state.place = state.plane.admission.join_queue(
        state.key,
        arrived_at=state.asked_at,
        deadline=min(asked_at + deployment.queue_wait_max_s, state.answer_deadline),
        priority=Priority.NORMAL if state.plan is None else state.plan.priority,
        size=len(state.body or b""),
        go=go,
    )
    return place


async def wait_for_slot(state: ExchangeState, place: Place) -> None:
    """Wait in the queue. The client is watched meanwhile, so this needs a scope.

    Raises:
        TrioRouteError: refused, with the reason; or the client left.
    """
    connection = state.connection
    with connection.open_scope():
        try:
            state.grant = await state.plane.admission.wait(place)
        finally:
            state.place = None
            if not place.has_gone:
                state.queue_s += trio.current_time() - place.joined_at
        return
    raise connection.interruption_error()  # the scope was cancelled


def go_off(state: ExchangeState, plan: Plan, deployment: Deployment, grant: Grant) -> None:
    """The turn of a request that waits has come: send it, if a connection is there.

    A plain call, made where the grant is heard of: until the exchange's task has its turn the slot
    would stand idle. The task goes on from wherever this has come to.
    """
    state.place, state.grant = None, grant
    state.queue_s += trio.current_time() - state.asked_at
    scope = state.connection.scope
    if scope is not None and scope.cancel_called:
        return  # the client left in this very turn: the task gives the slot back
    try:
        start_dispatch(state, deployment)
        upstream = take_upstream(state)
        if upstream is None:
            state.attempts = 0  # the task begins the attempt, with a new connection
            return
        encode_request(state, upstream, plan, deployment)
        write_request(state, upstream)
        if not state.unsent and upstream.stream.is_flushed():
            check_sent(state, upstream)
    except Exception as raised:  # noqa: BLE001 - raised again in the connection's own task
        state.pending = raised


def start_dispatch(state: ExchangeState, deployment: Deployment) -> None:
    """From now on the replica's time limit runs (decision 14).

    As long as the present routing says: who waited may have come when it was longer, and once this
    worker has told that it knows of the change nobody reckons with that any more (S46).
    """
    if state.plan is not None and state.plan.table is not state.plane.table:
        deployment = state.deployment = state.plane.table.newest(deployment)
    state.dispatched_at = now = trio.current_time()
    state.answer_deadline = state.connection.deadline = now + deployment.request_timeout_s


def take_upstream(state: ExchangeState) -> UpstreamConnection | None:
    """Begin an attempt: a pooled connection to the grant's replica, None when one must be opened.

    Raises:
        AttemptFailedError: the replica is not known here any more.
    """
    grant = state.grant
    assert grant is not None
    state.attempts += 1
    state.replica, state.slot, state.epoch = grant.replica, grant.slot, grant.epoch
    return state.plane.upstreams.take(grant.replica, trio.current_time())


def encode_request(
    state: ExchangeState, upstream: UpstreamConnection, plan: Plan, deployment: Deployment
) -> None:
    """Put the head and what is there of the body into `state.unsent`."""
    connection, grant, head = state.connection, state.grant, state.head
    assert grant is not None
    state.upstream = connection.upstream = upstream
    state.is_begun = state.is_sent = False
    upstream.begin(head.method)
    host = b"" if head.authority else state.plane.upstreams.authority(grant.replica)
    data = plan.request_bytes(deployment, grant, state.request_id, host=host, ids=state.plane.ids)
    body = state.body
    if head.framing is Framing.CHUNKED:
        data += framed(body or b"", is_chunked=True, is_last=connection.decoder.body_done)
    elif body:
        data += body
    state.unsent = data
    upstream.note_length(len(data) if connection.decoder.body_done else None)


def write_request(state: ExchangeState, upstream: UpstreamConnection) -> None:
    """Begin to write `state.unsent`; what was not taken stays there.

    Raises:
        AttemptFailedError: the lease ended, or the connection was found closed: nothing was sent.
    """
    assert state.grant is not None
    if state.plane.admission.must_stop_sending(state.grant):
        raise _lease_ended(state, Failure.UNSENT)
    data = state.unsent
    try:
        if upstream.stream.has_edge:  # since it was taken: an end, or bytes nobody asked for
            raise StreamBrokenError("spoke before it was asked")
        sent = upstream.stream.send_nowait(data)
    except StreamBrokenError as error:
        raise AttemptFailedError(Failure.UNSENT, BrokenAnswerError(str(error))) from None
    state.is_begun = True
    state.unsent = b"" if sent == len(data) else data[sent:]


def check_sent(state: ExchangeState, upstream: UpstreamConnection) -> None:
    """What was to be written now is with the kernel: was it still ours to write? (decision 27).

    Raises:
        AttemptFailedError: the lease had ended meanwhile.
    """
    assert state.grant is not None
    state.is_sent = True
    state.sent_at = trio.current_time()
    if state.plane.admission.must_stop_sending(state.grant):
        raise _lease_ended(state, Failure.TIMEOUT)
    upstream.is_written = state.connection.decoder.body_done


def note_answered(state: ExchangeState) -> None:
    """The final answer's head is there."""
    state.upstream_s = trio.current_time() - state.sent_at
    state.was_answered = True


async def run_attempts(state: ExchangeState, plan: Plan, deployment: Deployment) -> ResponseHead:
    """Try replicas until one answers or the table says no (contract, section 4).

    Raises:
        AttemptFailedError: the last attempt's failure.
        TrioRouteError: no other slot in time, or the client's fault.
        StreamBrokenError: the client's connection broke.
        StreamInterruptedError: the sweep struck.
    """
    unreached: list[str] = []
    failed_on: set[str] = set()
    while True:
        try:
            return await _attempt(state, plan, deployment)
        except AttemptFailedError as failed:
            if failed.outcome is Outcome.UNREACHABLE:
                unreached.append(state.replica)
            if failed.outcome is not Outcome.SERVED:  # else a kept connection was merely old
                failed_on.add(state.replica)
            state.let_go(is_replica_done=True, outcome=failed.outcome)
            if not _may_try_again(state, plan, failed, unreached):
                raise
        await _acquire_again(state, deployment, failed_on)


def _may_try_again(
    state: ExchangeState,
    plan: Plan,
    failed: AttemptFailedError,
    unreached: list[str],
) -> bool:
    is_unsent = failed.failure is Failure.UNSENT
    is_safe = is_retry_safe(
        failed.failure,
        is_idempotent=plan.is_idempotent,
        # What has not been sent at all is still in memory, if nothing streams yet.
        is_body_whole=state.upload is None and (is_unsent or state.connection.decoder.body_done),
    )
    if not is_safe or trio.current_time() >= state.answer_deadline:
        return False
    if failed.outcome is Outcome.UNREACHABLE:  # as often as replicas are left (decision 17)
        return len(set(unreached)) < state.plane.upstreams.count(state.key)
    # A pooled connection that was found closed has cost nobody anything: no budget for that.
    return state.attempts - len(unreached) < ATTEMPTS_MAX and (is_unsent or plan.budget.take())


async def _acquire_again(state: ExchangeState, deployment: Deployment, failed_on: set[str]) -> None:
    """Another slot for another attempt, on another replica while one has a slot free.

    The slot that was just given back is often the first to be had again: without this, every
    attempt would meet the replica that is broken.
    """
    admission, key = state.plane.admission, state.key
    passed_over: list[Grant] = []
    grant = admission.acquire_nowait(key)
    while grant is not None and grant.replica in failed_on:
        passed_over.append(grant)
        grant = admission.acquire_nowait(key)
    for spare in passed_over:
        admission.release(spare)
    state.grant = grant or admission.acquire_nowait(key)  # all that is free may have failed
    if state.grant is None:
        await wait_for_slot(state, join_queue(state, deployment))
    state.connection.deadline = state.answer_deadline


async def _attempt(state: ExchangeState, plan: Plan, deployment: Deployment) -> ResponseHead:
    """One attempt, from wherever it has come to; returns the final answer's head."""
    if state.pending is not None:
        failed, state.pending = state.pending, None
        raise failed
    upstream = state.upstream
    if upstream is None:
        upstream = take_upstream(state) or await _open(state)
        encode_request(state, upstream, plan, deployment)
    if not state.is_sent:
        if not state.is_begun:
            write_request(state, upstream)
        if state.unsent or not upstream.stream.is_flushed():
            await upstream.send_all(state.unsent)
        check_sent(state, upstream)
    if upstream.is_written:
        answer = await _final_head(state, upstream)
    else:
        answer = await _upload(state, upstream)
    note_answered(state)
    return answer


async def _open(state: ExchangeState) -> UpstreamConnection:
    connection = state.connection
    began_at = trio.current_time()
    with connection.open_scope():
        upstream = await state.plane.upstreams.open(state.replica)
        state.connect_s += trio.current_time() - began_at
        state.was_dialled = True
        return upstream
    raise connection.interruption_error()  # the scope was cancelled


def _lease_ended(state: ExchangeState, failure: Failure) -> AttemptFailedError:
    """Take the request back: the replica must not see a request whose slot is not ours."""
    state.plane.lease_ends += 1
    return AttemptFailedError(failure, LeaseEndedError("the lease ended"))


async def _upload(state: ExchangeState, upstream: UpstreamConnection) -> ResponseHead:
    """Stream the rest of the body while waiting for the answer."""
    limits, connection = state.plane.limits, state.connection
    upload = state.upload = Upload(
        client=connection.stream,
        decoder=connection.decoder,
        upstream=upstream,
        is_chunked=state.head.framing is Framing.CHUNKED,
        waits_to_continue_s=None if state.has_continued else limits.continue_wait_s,
        on_wait=state.await_body,
        on_read=state.count_and_await_replica,
    )
    answer = await upload.run_until(lambda: _final_head(state, upstream))
    state.is_early = not upstream.is_written
    return answer


async def _final_head(state: ExchangeState, upstream: UpstreamConnection) -> ResponseHead:
    """The final answer's head; interim ones go to the client (contract, item 20)."""
    answer = state.first_head or await upstream.receive_head()
    state.first_head = None
    interim_count = 0
    while answer.status < 200:
        if answer.status == 101:
            _check_switch(state, upstream, answer)
            return answer
        interim_count += 1
        if interim_count > state.plane.limits.interim_count_max:
            raise upstream.failed(BrokenAnswerError("too many interim answers"))
        await _relay_interim(state, answer)
        answer = await upstream.receive_head()
    return answer


def _check_switch(state: ExchangeState, upstream: UpstreamConnection, answer: ResponseHead) -> None:
    assert state.plan is not None
    assert state.deployment is not None
    asked = state.plan.upgrade_for(state.deployment)
    if not asked or answer.upgrade.lower() != asked:
        raise upstream.failed(BrokenAnswerError("switched to a protocol nobody asked for"))


async def _relay_interim(state: ExchangeState, answer: ResponseHead) -> None:
    if state.head.minor_version < 1:
        return  # RFC 9110 §15.2: HTTP/1.0 does not know them
    if answer.status != 100:
        fields = response_fields(answer.fields, answer.connection_options)
        await state.connection.stream.send_all(encode_response_head(answer.status, fields))
    elif state.upload is not None and not (state.has_continued or state.upload.has_continued):
        state.upload.go_ahead()
        await state.connection.stream.send_all(CONTINUE)
