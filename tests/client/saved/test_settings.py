"""Which system is meant: the order of precedence, and that tokens stay with their system."""

from pathlib import Path

import pytest

from trioroute.client.saved.contexts import Context, Contexts, write_contexts
from trioroute.client.saved.settings import Settings, find_settings
from trioroute.errors import ConfigError


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "contexts.json"
    token = tmp_path / "token"
    token.write_text("planted-token\n")
    prod = Context(admin="http://prod:9090", url="http://prod", token_file=str(token))
    contexts = {"prod": prod, "lab": Context(data="/lab")}
    write_contexts(path, Contexts(current="prod", contexts=contexts))
    return {"TRIOROUTE_CONFIG": str(path)}


def origins(found: Settings) -> dict[str, tuple[str, str]]:
    return {row["name"]: (row["value"], row["origin"]) for row in found.rows()}


def test_the_context_in_use_names_the_system(environment: dict[str, str]) -> None:
    found = find_settings(None, None, environment)
    assert origins(found)["admin"] == ("http://prod:9090", "context prod")
    assert found.read_token() == "planted-token"
    lab = find_settings(None, None, environment | {"TRIOROUTE_CONTEXT": "lab"})
    assert (lab.admin.value, lab.data.value) == ("", "/lab")
    assert origins(lab)["context"] == ("lab", "TRIOROUTE_CONTEXT")


@pytest.mark.parametrize(
    ("admin", "data", "variables"),
    [
        ("http://other:1", None, {}),
        (None, Path("here"), {}),
        (None, None, {"TRIOROUTE_ADMIN": "http://other:1"}),
        (None, None, {"TRIOROUTE_DATA": "here"}),
    ],
)
def test_a_context_s_token_goes_to_no_other_system(
    environment: dict[str, str], admin: str | None, data: Path | None, variables: dict[str, str]
) -> None:
    found = find_settings(admin, data, environment | variables)
    assert found.read_token() is None
    assert (found.context.value, found.url.value) == ("", "")
    assert "prod" not in str(found.rows())


def test_arguments_come_before_the_environment() -> None:
    variables = {"TRIOROUTE_ADMIN": "http://e:1", "TRIOROUTE_DATA": "e", "HOME": "/none"}
    found = origins(find_settings("http://a:1", None, variables))
    assert found["admin"] == ("http://a:1", "--admin")
    assert found["data"] == ("e", "TRIOROUTE_DATA")
    # A folder that is named wins over an address that only the environment has.
    found = origins(find_settings(None, Path("d"), variables))
    assert found["admin"] == ("", "default")
    assert found["data"] == ("d", "--data")


def test_the_token_is_not_shown_and_may_lie_in_a_file(tmp_path: Path) -> None:
    found = find_settings(None, None, {"TRIOROUTE_TOKEN": "planted", "HOME": "/none"})
    assert found.read_token() == "planted"
    assert "planted" not in repr(found) + str(found.rows())
    missing = {"TRIOROUTE_TOKEN_FILE": str(tmp_path / "none"), "HOME": "/none"}
    with pytest.raises(ConfigError, match=r"cannot be read from .*none \(TRIOROUTE_TOKEN_FILE\)"):
        find_settings(None, None, missing).read_token()


def test_an_unknown_context_names_the_known_ones(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"no context pord .* there are: prod, lab"):
        find_settings(None, None, environment | {"TRIOROUTE_CONTEXT": "pord"})
