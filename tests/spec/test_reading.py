"""One file's text: which kind it is, what is said about bad ones (`bad_input.txt`)."""

import os
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.spec import azure
from trioroute.spec.problems import Problems
from trioroute.spec.reading import ReadFile, is_recognisable, read_text

TRANSCRIPT = Path(__file__).with_name("bad_input.txt")


@attrs.frozen
class Case:
    """A title, a file's text, and what is said about it."""

    title: str
    text: str
    answer: str


def read_transcript() -> list[Case]:
    sections = TRANSCRIPT.read_text("utf-8").split("\n=== ")[1:]
    cases = []
    for section in sections:
        title, _, body = section.partition("\n")
        text, _, answer = body.partition("\n--- answer\n")
        cases.append(Case(title, text.strip("\n") + "\n", answer.strip("\n")))
    return cases


def answer_to(text: str) -> str:
    problems = Problems()
    read_text(text.replace("\\x07", "\x07"), "file.yml", problems)
    lines = [f"error: {problem}" for problem in problems.errors]
    return "\n".join(lines + [f"warning: {problem}" for problem in problems.warnings])


def rewrite(cases: list[Case]) -> None:
    head = TRANSCRIPT.read_text("utf-8").partition("\n=== ")[0]
    parts = [f"=== {c.title}\n{c.text}--- answer\n{answer_to(c.text)}\n" for c in cases]
    TRANSCRIPT.write_text(head + "\n" + "".join(parts), "utf-8")


if os.environ.get("TRIOROUTE_REWRITE"):
    rewrite(read_transcript())


@pytest.mark.parametrize("case", read_transcript(), ids=lambda case: case.title)
def test_bad_input_gets_this_answer(case: Case) -> None:
    assert answer_to(case.text) == case.answer


def test_the_table_of_bad_input_is_long() -> None:
    cases = read_transcript()
    assert len(cases) >= 60
    assert len({case.title for case in cases}) == len(cases)
    for case in cases:
        assert case.answer.startswith("warning" if "warnings" in case.title else "error")


def read(text: str, kind: str | None = None) -> ReadFile:
    problems = Problems()
    file = read_text(text, "file.yml", problems, kind=kind)
    assert file is not None, problems.errors
    return file


@pytest.mark.parametrize(
    ("text", "cls"),
    [
        ("name: fraud", azure.ManagedEndpoint),
        ("name: fraud\ncompute: azureml:k8s", azure.KubernetesEndpoint),
        ("name: blue\nendpoint_name: fraud\ntype: kubernetes", azure.KubernetesDeployment),
        ("name: blue\nendpoint_name: fraud\ninstance_type: x", azure.ManagedDeployment),
        (
            "$schema: https://x/kubernetesOnlineEndpoint.schema.json\nname: fraud",
            azure.ManagedEndpoint,
        ),
        ('{"name": "fraud", "auth_mode": "AMLToken"}', azure.ManagedEndpoint),
        ("\ufeffname: fraud", azure.ManagedEndpoint),
    ],
)
def test_the_kind_of_file_is_recognised(text: str, cls: type) -> None:
    assert type(read(text).spec) is cls


def test_names_become_lower_case() -> None:
    assert read("name: ABCdef").spec.name == "abcdef"


def test_an_override_stands_in_place_of_the_files_value() -> None:
    problems = Problems()
    text = "name: {}\nendpoint_name: fraud\ntype: kubernetes\n"
    file = read_text(text, "f", problems, overrides={"name": "green"})
    assert file is not None
    assert file.spec.name == "green"


def test_positions_fall_back_to_the_nearest_mapping() -> None:
    file = read("name: fraud\ntags:\n  a: 1\n")
    assert (file.at("tags", "a").line, file.at("tags", "a").column) == (3, 6)
    assert file.at("tags", "b") is file.at("tags")
    assert file.at("nothing") is file.node


@pytest.mark.parametrize(
    "text",
    [
        "name: x\nendpoint_name: y\n",
        "name: x\nauth_mode: key\n",
        "name: x\ntraffic: {}\n",
        "name: x\nmodel: azureml:m:1\ninstance_count: 1\n",
        "$schema: https://x/managedOnlineDeployment.schema.json\n",
        "endpoint_name: {{broken}}\n",
    ],
)
def test_ours_in_a_folder(text: str) -> None:
    assert is_recognisable(text)


@pytest.mark.parametrize(
    "text",
    [
        "name: env\nchannels: [a]\ndependencies: [b]\n",
        "apiVersion: v1\nkind: Secret\nauth_mode: key\n",
        "$schema: https://x/commandJob.schema.json\nname: j\nenvironment: e\nmodel: m\n",
        "name: fraud\n",
        "{{broken}}\n",
        "",
    ],
)
def test_not_ours_in_a_folder(text: str) -> None:
    assert not is_recognisable(text)


@given(st.data())
def test_no_text_raises(data: st.DataObject) -> None:
    """Whatever is cut out of or pasted into a file: it is read, or there is an error."""
    text = data.draw(st.sampled_from([case.text for case in read_transcript()]))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    other = data.draw(st.one_of(st.text(max_size=8), st.sampled_from(["\n", ": ", "{", "- ", "'"])))
    problems = Problems()
    file = read_text(text[:start] + other + text[end:], "file.yml", problems)
    assert (file is None) == bool(problems.errors)
    is_recognisable(text)
