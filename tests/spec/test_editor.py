"""JSON Schema for editors."""

import json
import re

import pytest

from trioroute.spec import azure
from trioroute.spec.editor import KINDS, json_schema
from trioroute.spec.fields.objects import settings_of


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_json_and_knows_every_field(kind: str) -> None:
    schema = json.loads(json.dumps(json_schema(kind)))
    classes = {
        "endpoint": (azure.KubernetesEndpoint, azure.ManagedEndpoint),
        "deployment": (azure.KubernetesDeployment, azure.ManagedDeployment),
    }
    for branch, cls in zip(("then", "else"), classes[kind], strict=True):
        assert {*settings_of(cls)} <= {*schema[branch]["properties"]}


def test_misspelled_properties_of_ours_are_marked() -> None:
    properties = json_schema("deployment")["then"]["properties"]["properties"]
    ((pattern, allowed),) = properties["patternProperties"].items()
    assert allowed is False
    assert re.match(pattern, "trioroute.on_abandn")
    assert not re.match(pattern, "trioroute.on_abandon")
    assert not re.match(pattern, "other.property")
    assert "trioroute.on_abandon" in properties["properties"]


def test_other_spellings_of_words_are_no_mistakes() -> None:
    auth_mode = json_schema("endpoint")["then"]["properties"]["auth_mode"]
    words, spellings = auth_mode["anyOf"]
    assert words == {"enum": ["key", "aml_token", "aad_token"]}
    for text, is_taken in (("Key", True), ("AMLToken", True), ("aml_token", True), ("none", False)):
        assert bool(re.match(spellings["pattern"], text)) is is_taken
