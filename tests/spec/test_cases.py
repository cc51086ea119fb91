"""Public files of Azure ML users get the client's verdict, and accepted ones the same meaning.

The files are not part of this project; where they are absent the tests are skipped and say so.
"""
# house: compares the whole room with files of Azure's users

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest

from trioroute.spec import azure
from trioroute.spec.load import load_paths
from trioroute.spec.problems import Problems, SpecError
from trioroute.spec.reading import ReadFile, read_text
from trioroute.spec.rest import deployment_body, endpoint_body

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "azure-yaml"
#: What the command line supplies when the file has no usable names.
SUPPLIED = {
    "endpoint": {"name": "my-endpoint"},
    "deployment": {"name": "blue", "endpoint_name": "my-endpoint"},
}
#: These files differ from accepted ones only in a conda file that is not there (decision 11).
ONLY_A_FILE_IS_MISSING = (
    "workspace-blob-storage-custom1.YAML",
    "workspace-blob-storage-payload1.YAML",
)


@attrs.frozen
class Case:
    """One row of verdicts.tsv."""

    path: str
    kind: str
    verdict: str
    first_error: str
    cause: str


def read_cases() -> list[Case]:
    table = CASES / "verdicts.tsv"
    if not table.exists():
        return []
    with table.open(encoding="utf-8") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Case(**row) for row in rows]


CASES_READ = read_cases()
needs_cases = pytest.mark.skipif(
    not CASES_READ, reason=f"SKIPPED LOUDLY: no Azure YAML cases at {CASES}: nothing was compared"
)


def read(case: Case, overrides: dict[str, str] | None = None) -> ReadFile | None:
    path = CASES / case.path
    text = path.read_text("utf-8-sig")
    return read_text(text, path.name, Problems(), kind=case.kind, overrides=overrides)


@needs_cases
def test_there_are_cases_of_each_verdict() -> None:
    count = dict.fromkeys(("OK", "NEEDS_NAME", "ERR"), 0)
    for case in CASES_READ:
        count[case.verdict] += 1
    assert count == {"OK": 25, "NEEDS_NAME": 21, "ERR": 13}


@needs_cases
@pytest.mark.parametrize("case", CASES_READ, ids=lambda case: case.path)
def test_the_verdict_is_the_clients(case: Case, tmp_path: Path) -> None:
    verdict = "ERR"
    if read(case) is not None:
        verdict = "OK"
    elif read(case, SUPPLIED[case.kind]) is not None:
        verdict = "NEEDS_NAME"
    if case.path.endswith(ONLY_A_FILE_IS_MISSING):
        assert verdict == "OK", "without looking at other files"
        file = shutil.copy(CASES / case.path, tmp_path)
        with pytest.raises(SpecError) as caught:
            load_paths([Path(file)], starting=False)
        assert [problem.code for problem in caught.value.problems] == ["TR0401"]
    else:
        assert verdict == case.verdict


@needs_cases
@pytest.mark.parametrize(
    "case", [case for case in CASES_READ if case.verdict != "ERR"], ids=lambda case: case.path
)
def test_an_accepted_file_means_the_same(case: Case) -> None:
    expected = json.loads((CASES / f"{case.path}.expected.json").read_text("utf-8"))
    file = read(case, expected["overrides"])
    assert file is not None
    assert type(file.spec).__name__ == expected["class"].replace("Online", "")
    assert as_json(body_of(file)) == expected["rest"]


def body_of(file: ReadFile) -> dict[str, Any]:
    if isinstance(file.spec, azure.Endpoint):
        return endpoint_body(file.spec, "local")
    return deployment_body(file.spec, "local")


def as_json(body: dict[str, Any]) -> Any:
    return json.loads(json.dumps(body))
