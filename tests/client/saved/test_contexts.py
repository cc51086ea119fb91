"""The file of named systems."""

from pathlib import Path

import pytest

from trioroute.client.saved.contexts import (
    Context,
    Contexts,
    contexts_path,
    read_contexts,
    write_contexts,
)
from trioroute.errors import ConfigError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "contexts.json"
    kept = Contexts(current="prod", contexts={"prod": Context(admin="http://a:1")})
    write_contexts(path, kept)
    assert read_contexts(path) == kept
    assert [file.name for file in path.parent.iterdir()] == ["contexts.json"]


def test_it_lies_where_configuration_lies() -> None:
    assert contexts_path({"HOME": "/h"}) == Path("/h/.config/trioroute/contexts.json")
    assert contexts_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/trioroute/contexts.json")
    assert contexts_path({"TRIOROUTE_CONFIG": "/c.json", "HOME": "/h"}) == Path("/c.json")


def test_no_file_is_no_context(tmp_path: Path) -> None:
    assert read_contexts(tmp_path / "none") == Contexts()


@pytest.mark.parametrize("text", ["", "[]", '{"current": 1}', '{"contexts": {"a": {"adnim": ""}}}'])
def test_a_broken_file_says_where_and_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "contexts.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"contexts\.json is no file of contexts.*remove it"):
        read_contexts(path)


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_contexts(tmp_path / "file" / "contexts.json", Contexts())
    with pytest.raises(ConfigError, match="cannot be read"):
        read_contexts(tmp_path)
