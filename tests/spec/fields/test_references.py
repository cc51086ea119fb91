"""Names and references to what is not in the file."""

from typing import Any

import pytest

from trioroute.spec.fields.document import parse
from trioroute.spec.fields.kinds import INVALID, Kind
from trioroute.spec.fields.references import AssetReference, ComputeReference, Name
from trioroute.spec.fields.scope import Scope
from trioroute.spec.problems import Problem, Problems

ARM = "/subscriptions/s/resourceGroups/r/providers/Microsoft.MachineLearningServices/workspaces/w"


def read(kind: Kind, text: str) -> tuple[Any, list[Problem]]:
    problems = Problems()
    node = parse(f"value: {text}\n", "f.yml")
    assert node.entries is not None
    return kind.read(node.entries["value"].node, Scope("f.yml", problems)), problems.errors


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("azureml:m", "m"),
        ("azureml:m:1", "m:1"),
        ("azureml:m:1:2", "m:1:2"),
        ("azureml:m@latest", "m@latest"),
        ("azureml:a@b@c", "a@b@c"),
        ("azureml:m:", "m"),
        ("azureml:m@", "m@"),
        ("azureml:", ""),
        (f"azureml:{ARM}/models/m/versions/1", f"{ARM}/models/m/versions/1"),
        ("azureml://datastores/d/paths/p", "//datastores/d/paths/p"),
        (
            "azureml://registries/r/models/m/versions/1",
            "azureml://registries/r/models/m/versions/1",
        ),
    ],
)
def test_references_to_assets(text: str, reference: str) -> None:
    assert read(AssetReference("model", True), f"'{text}'") == (reference, [])


@pytest.mark.parametrize("text", ["m:1", "azureml:a/b", ARM, "file:m.yml", "''", "5", "[m]"])
def test_what_is_no_reference(text: str) -> None:
    value, errors = read(AssetReference("model", True), text)
    assert value is INVALID
    assert len(errors) == 1


def test_registries_are_refused_on_kubernetes() -> None:
    text = "azureml://registries/r/models/m/versions/1"
    assert read(AssetReference("model", False), text)[0] is INVALID


@pytest.mark.parametrize("text", ["azureml:k8s", "azureml:", "azureml:<x y>"])
def test_a_compute_is_anything_with_the_prefix(text: str) -> None:
    assert read(ComputeReference(), f"'{text}'")[0] == text.removeprefix("azureml:")


@pytest.mark.parametrize("text", ["k8s", "5", "[a]", "Azureml:x"])
def test_a_compute_needs_the_prefix(text: str) -> None:
    assert read(ComputeReference(), text)[0] is INVALID


@pytest.mark.parametrize("text", ["abc", "a-1", "a--b", "x" * 32, "ABC"])
def test_good_names(text: str) -> None:
    assert read(Name("an endpoint"), text)[0] == text.lower()


@pytest.mark.parametrize(
    "text", ["ab", "x" * 33, "a_b", "abc-", "1abc", "-ab", "a.b", "äbc", "'abc\n'"]
)
def test_bad_names(text: str) -> None:
    assert read(Name("an endpoint"), text)[0] is INVALID


def test_a_bad_name_gets_a_better_one() -> None:
    _, (problem,) = read(Name("an endpoint"), "My_Model.v2")
    assert problem.hint == "a name that works: my-model-v2"
