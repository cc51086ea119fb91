"""Error answers have stable codes and are RFC 9457 JSON."""

import json
import re
from pathlib import Path

from trioroute import admin
from trioroute.admin.problems import PROBLEM_KINDS, problem_response

MANUAL = Path(admin.__path__[0], "README.md").read_text()


def test_codes_are_unique_and_say_what_they_mean() -> None:
    assert len({kind.code for kind in PROBLEM_KINDS}) == len(PROBLEM_KINDS) == 17
    for kind in PROBLEM_KINDS:
        assert re.fullmatch(r"TR08\d\d", kind.code)
        assert 400 <= kind.status < 600


def test_every_problem_is_rfc_9457_json() -> None:
    for kind in PROBLEM_KINDS:
        response = problem_response(kind, 'a "detail"')
        assert response.media_type == "application/problem+json"
        assert json.loads(bytes(response.body)) == {
            "title": kind.title,
            "status": kind.status,
            "code": kind.code,
            "detail": 'a "detail"',
        }


def test_the_manual_lists_every_code() -> None:
    rows = re.findall(r"^\| (TR\d{4}) \| (\d+) \| (.+?) \|", MANUAL, re.MULTILINE)
    kinds = sorted(PROBLEM_KINDS, key=lambda kind: kind.code)
    assert rows == [(kind.code, str(kind.status), kind.title) for kind in kinds]
