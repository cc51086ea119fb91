"""From errors to answers: codes, the original's texts byte for byte, and the fields of each."""

import json

import pytest

from trioroute.core.routing import NO_ROUTE_TEXT
from trioroute.errors import (
    AnswerTimeoutError,
    BodyTooLargeError,
    BrokenAnswerError,
    ConnectFailedError,
    DrainingError,
    MalformedRequestError,
    NoReplicaError,
    NoSuchEndpointError,
    QueueFullError,
    QueueWaitExceededError,
    TrioRouteError,
    UnauthorizedError,
)
from trioroute.proxy.answers import Answer, Date, answer_to, encode_answer

OVERLOADED = b"Too many requests for service iris (overloaded)"
CLOSED = b"Replica closed connection before replying"


def told(error: TrioRouteError, *, uses_managed_codes: bool = False) -> Answer:
    return answer_to(
        error, endpoint="iris", request_id=b"id-1", uses_managed_codes=uses_managed_codes
    )


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (NoSuchEndpointError(""), 404, NO_ROUTE_TEXT.encode()),
        (QueueWaitExceededError(""), 503, OVERLOADED),
        (QueueFullError(""), 503, OVERLOADED),
        (DrainingError(""), 503, OVERLOADED),
        (NoReplicaError(""), 503, b"No ready replicas for service iris."),
        (BrokenAnswerError(""), 502, CLOSED),
        (ConnectFailedError(""), 502, CLOSED),
    ],
)
def test_where_the_original_has_a_text_it_is_sent_byte_for_byte(
    error: TrioRouteError, status: int, body: bytes
) -> None:
    answer = told(error)
    assert (answer.status, answer.body) == (status, body)
    assert (b"content-type", b"text/plain; charset=utf-8") in answer.fields
    assert not answer.closes


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (UnauthorizedError(""), 401, "unauthorized"),
        (AnswerTimeoutError(""), 504, "answer-timeout"),
        (MalformedRequestError("received text"), 400, "bad-request"),
        (MalformedRequestError("", status=501, reason="coding"), 501, "coding"),
        (BodyTooLargeError(""), 413, "body-too-large"),
    ],
)
def test_all_else_is_json_without_received_text(
    error: TrioRouteError, status: int, reason: str
) -> None:
    answer = told(error)
    said = json.loads(answer.body)["error"]
    assert (said["code"], said["reason"], said["request_id"]) == (status, reason, "id-1")
    assert b"received text" not in answer.body
    assert answer.closes is (status in (400, 413, 501))


def test_fields_that_a_code_demands() -> None:
    assert (b"www-authenticate", b"Bearer") in told(UnauthorizedError("")).fields
    assert (b"retry-after", b"1") in told(QueueFullError("")).fields
    dated = QueueFullError("")
    dated.retry_after_s = 2.1
    assert (b"retry-after", b"3") in told(dated).fields
    starting = NoReplicaError("")
    assert (b"retry-after", b"1") in told(starting).fields
    starting.retry_after_s = 6.5
    assert (b"retry-after", b"7") in told(starting).fields
    refused = MalformedRequestError("", status=405, reason="method-not-allowed")
    assert b"allow" in dict(told(refused).fields)
    assert not told(refused).closes


NO_VALID = (
    b"No valid deployments to route to. Please check that the endpoint has at least one deployment "
    b"with positive weight values or use a deployment specific header to route."
)
STATUS, REASON = b"ms-azureml-model-error-statuscode", b"ms-azureml-model-error-reason"


@pytest.mark.parametrize(
    ("error", "status", "model", "reason", "body"),
    [
        (BrokenAnswerError(""), 424, b"502", b"model_error", CLOSED),
        (ConnectFailedError(""), 424, b"502", b"model_error", CLOSED),
        (NoReplicaError(""), 424, None, b"model_not_ready", b"No ready replicas for service iris."),
        (QueueFullError(""), 429, None, b"too_many_pending_request", b""),
        (QueueWaitExceededError(""), 429, None, b"too_many_pending_request", b""),
        (DrainingError(""), 429, None, b"too_many_pending_request", b""),
        (AnswerTimeoutError(""), 408, None, None, None),
        (NoSuchEndpointError(""), 404, None, None, NO_VALID),
        (BodyTooLargeError(""), 413, None, None, None),
        (UnauthorizedError(""), 401, None, None, None),
    ],
)
def test_managed_codes_are_a_setting(
    error: TrioRouteError,
    status: int,
    model: bytes | None,
    reason: bytes | None,
    body: bytes | None,
) -> None:
    answer = told(error, uses_managed_codes=True)
    fields = dict(answer.fields)
    assert (answer.status, fields.get(STATUS), fields.get(REASON)) == (status, model, reason)
    assert answer.closes is (status == 413)
    assert (b"retry-after" in fields) is (
        reason in (b"model_not_ready", b"too_many_pending_request")
    )
    if body is None:
        assert json.loads(answer.body)["error"]["code"] == status
    else:
        assert answer.body == body
        assert fields[b"content-type"].startswith(b"text/plain")
    assert REASON not in dict(told(error).fields)


def test_an_answer_as_bytes() -> None:
    answer = Answer(status=503, reason="queue-full", fields=(), body=b"no", closes=False)
    out = encode_answer(answer, own_lines=b"x-request-id: 1\r\n", date=b"now", must_close=True)
    head, _, body = out.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 503 Service Unavailable",
        b"server: trioroute",
        b"date: now",
        b"content-length: 2",
        b"x-trioroute-error: queue-full",
        b"connection: close",
        b"x-request-id: 1",
    ]
    assert body == b"no"


def test_head_gets_the_length_without_the_body() -> None:
    answer = Answer(status=404, reason="no-route", fields=(), body=b"text", closes=False)
    out = encode_answer(answer, own_lines=b"", date=b"now", is_head_request=True)
    assert b"content-length: 4\r\n" in out
    assert out.endswith(b"\r\n\r\n")


def test_the_date_has_the_form_that_http_asks_for() -> None:
    date = Date()
    assert date.now().endswith(b" GMT")
    assert len(date.now()) == len(b"Sun, 06 Nov 1994 08:49:37 GMT")
