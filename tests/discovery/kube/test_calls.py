"""Errors of the API server and of the way to it, as one kind."""

from kubernetes.client.exceptions import ApiException

from trioroute.discovery.kube.calls import KubeError


def test_a_status_gives_reason_message_and_conflicts() -> None:
    error = ApiException(status=409, reason="Conflict")
    error.body = (
        '{"reason": "Conflict", "message": "Apply failed", "details": {"causes": ['
        '{"reason": "FieldManagerConflict", "field": ".spec.replicas", "message": "with hpa"}]}}'
    )
    mapped = KubeError.of(error)
    assert (mapped.status, mapped.reason, str(mapped)) == (409, "Conflict", "Apply failed")
    assert mapped.conflicts == (".spec.replicas: with hpa",)


def test_an_overloaded_server_answers_in_plain_text() -> None:
    error = ApiException(status=429, reason="Too Many Requests")
    error.body = "Too many requests, please try again later.\n"
    error.headers = {"Retry-After": "3"}
    mapped = KubeError.of(error)
    assert (mapped.status, mapped.retry_after_s, mapped.conflicts) == (429, 3.0, ())


def test_no_answer_is_an_error_without_a_status() -> None:
    assert KubeError.of(ConnectionRefusedError("refused")).status == 0
