"""The shared black-box corpora on the codecs alone; the running server is tested with run.py.

They lie beside the project, not in it, and are skipped where they are absent.
"""

import json
import pathlib
from typing import Any, Final

import pytest

from tests.conformance.agreement import check_requests, check_responses

FOLDER: Final = pathlib.Path(__file__).parents[3] / "shared" / "http" / "corpus"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the shared HTTP corpora are not beside the project"
)


def cases_of(name: str) -> list[dict[str, Any]]:
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        return []
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return cases


def bytes_of(step: Any) -> bytes:
    if isinstance(step, str):
        return step.encode("latin-1")
    return b"".join(
        part.encode("latin-1") if isinstance(part, str) else part[0].encode("latin-1") * part[1]
        for part in step
    )


@pytest.mark.parametrize("name", ["http11probe", "smuggler-default", "llhttp-request-a"])
def test_codecs_agree_about_every_request(name: str) -> None:
    for case in cases_of(name):
        data = b"".join(map(bytes_of, case["send"]))
        for cut_at in (1, 16, len(data) // 2, len(data) - 1):
            check_requests(data, cut_at)


@pytest.mark.parametrize("name", ["llhttp-response", "hostile"])
def test_codecs_agree_about_every_answer(name: str) -> None:
    for case in cases_of(name):
        data = b"".join(map(bytes_of, case["reply"]))
        for cut_at in (1, 17, len(data) // 2):
            for method in (b"GET", b"HEAD"):
                check_responses(data, cut_at, method, closed=case["then"] == "close")


def test_what_must_be_refused_is_refused_by_the_codec() -> None:
    demanding = [case for case in cases_of("http11probe") if case.get("exact400")]
    assert len(demanding) == 62
    for case in demanding:
        data = b"".join(map(bytes_of, case["send"]))
        assert check_requests(data, len(data) // 2).refused == 400, case["id"]


def test_what_must_break_never_becomes_a_whole_answer() -> None:
    for case in cases_of("hostile"):
        if case["expect"]["outcome"] == "break" and case["then"] == "close":
            data = b"".join(map(bytes_of, case["reply"]))
            answer = check_responses(data, len(data) // 2, b"GET", closed=True)
            # An unasked 101 is valid as bytes: the exchange refuses it.
            switched = bool(answer.heads) and answer.heads[-1]["status"] == 101
            assert answer.broken or switched, case["id"]
