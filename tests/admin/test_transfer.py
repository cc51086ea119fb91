"""Answers are not stored; the limits of bodies are tested through the API (`test_views`)."""

from trioroute.admin.transfer import json_answer


def test_an_answer_is_json_that_nobody_keeps() -> None:
    answer = json_answer({"a": 1})
    assert answer.body == b'{"a":1}'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
