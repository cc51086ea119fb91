"""Requests as evidence."""

import pytest

from tests.drills.small_drill import request


@pytest.mark.parametrize(("status", "is_ok"), [(200, True), (503, False), (0, False), (201, False)])
def test_only_200_is_an_answer_as_it_should_be(status: int, is_ok: bool) -> None:
    assert request(1.0, status=status).is_ok is is_ok


def test_a_request_takes_from_when_it_was_due() -> None:
    assert request(1.0, ended_s=3.5).took_s == 2.5
