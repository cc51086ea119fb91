"""Named systems, and where settings come from."""

import json
from pathlib import Path

import pytest

from trioroute.cli.main import main


class Shell:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *words: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["config", *words])
        out, self.err = self._capsys.readouterr()
        assert ended.value.code == status, out + self.err
        return out


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    for name in ("ADMIN", "DATA", "URL", "TOKEN", "TOKEN_FILE", "CONTEXT"):
        monkeypatch.delenv(f"TRIOROUTE_{name}", raising=False)
    monkeypatch.setenv("TRIOROUTE_CONFIG", str(tmp_path / "contexts.json"))
    return Shell(capsys)


def test_contexts_are_made_chosen_and_forgotten(shell: Shell) -> None:
    assert "no contexts: trioroute config set" in shell("contexts")
    assert shell("set", "prod", "--admin", "http://a:1,http://b:2") == (
        "context prod (in use)\n  admin: - → http://a:1,http://b:2\n"
    )
    assert "trioroute config use lab chooses it" in shell("set", "lab", "--data", "/lab")
    rows = {row["name"]: row for row in json.loads(shell("-o", "json"))}
    assert rows["admin"] == {
        "name": "admin",
        "value": "http://a:1,http://b:2",
        "origin": "context prod",
    }
    assert shell("use", "lab") == "context: prod → lab\n"
    assert shell("contexts", "-o", "tsv", "--query", "[?current=='*'].name") == "lab\n"
    assert shell("delete", "lab") == "context lab forgotten\n"
    assert shell("contexts", "--query", "[].name", "-o", "tsv") == "prod\n"
    assert shell("use", "", "-o", "json") == '{\n  "old": "",\n  "new": ""\n}\n'


def test_the_token_is_never_shown(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIOROUTE_TOKEN", "planted")
    out = shell()
    assert "planted" not in out
    assert "(set)" in out
    assert "TRIOROUTE_TOKEN" in out


def test_mistakes_are_named(shell: Shell) -> None:
    shell("set", "prod", "--admin", "http://a:1")
    shell("use", "prd", status=2)
    assert "no context prd" in shell.err
    assert "did you mean prod?" in shell.err
    shell("set", "empty", status=2)
    assert "--admin" in shell.err
    shell("set", "prod", "--data", "/d", status=2)
    assert '--admin ""' in shell.err
