"""Relations between fields; most refusals are in `bad_input.txt`, here is what passes."""

import pytest

from trioroute.spec.problems import Problems
from trioroute.spec.reading import read_text

ENDPOINT = "name: fraud\n"
DEPLOYMENT = "name: blue\nendpoint_name: fraud\ntype: kubernetes\n"


@pytest.mark.parametrize(
    "text",
    [
        ENDPOINT + "traffic: {}\n",
        ENDPOINT + "traffic: {blue: 0, green: 0}\n",
        ENDPOINT + "traffic: {blue: 100}\nmirror_traffic: {green: 50}\n",
        ENDPOINT + "traffic: {blue: 100, green: 0}\nmirror_traffic: {green: 10}\n",
        ENDPOINT + "traffic: {blue: 100}\nmirror_traffic: {blue: 0}\n",
        DEPLOYMENT + "scale_settings: {type: target_utilization, max_instances: 3}\n",
        DEPLOYMENT + "scale_settings: {type: target_utilization, min_instances: 1}\n",
        DEPLOYMENT + "scale_settings: {type: default}\n",
        DEPLOYMENT + "model: {name: m, version: 1, path: x}\n",
        DEPLOYMENT + "code_configuration: {code: x, scoring_script: y}\n",
        DEPLOYMENT + "code_configuration: {}\n",
        "name: blue\nendpoint_name: " + "e" * 58 + "\ntype: kubernetes\n",
        "name: blue\nendpoint_name: " + "e" * 70 + "\ninstance_type: x\n",
    ],
)
def test_what_passes(text: str) -> None:
    problems = Problems()
    assert read_text(text, "f.yml", problems) is not None
    assert (problems.errors, problems.warnings) == ([], [])


def test_mirror_and_live_names_are_compared_without_case() -> None:
    problems = Problems()
    text = ENDPOINT + "traffic: {Blue: 100}\nmirror_traffic: {bLUE: 10}\n"
    assert read_text(text, "f.yml", problems) is None
    assert [problem.code for problem in problems.errors] == ["TR0111"]
