"""`trioroute validate`: output, exit status, options."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trioroute.cli.validate import validate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "endpoint.yml").write_text("name: fraud\ntraffic: {green: 100}\n")
    (tmp_path / "green.yml").write_text(
        "name: green\nendpoint_name: fraud\ntype: kubernetes\n"
        'properties: {trioroute.addresses: "127.0.0.1:9401"}\n'
    )
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(validate, [str(argument) for argument in arguments])


def test_good_files_say_so(folder: Path) -> None:
    result = run(folder)
    assert (result.exit_code, result.output) == (0, "valid: 0 errors, 0 warnings\n")


def test_bad_files_are_configuration_errors(folder: Path) -> None:
    (folder / "endpoint.yml").write_text("name: fraud\nauth_mode: none\n")
    result = run(folder / "endpoint.yml")
    assert result.exit_code == 2
    assert f"error: {folder / 'endpoint.yml'}:2:12: TR0105 auth_mode:" in result.output
    assert result.output.endswith("not valid: 1 error, 0 warnings\n")


def test_json_has_the_same_status(folder: Path) -> None:
    (folder / "endpoint.yml").write_text("name: fraud\nauth_mode: none\n")
    result = run(folder / "endpoint.yml", "-o", "json")
    assert result.exit_code == 2
    answer = json.loads(result.output)
    assert (answer["valid"], answer["warnings"]) == (False, [])
    (error,) = answer["errors"]
    assert (error["line"], error["column"], error["field"]) == (2, 12, "auth_mode")


def test_problems_are_rows_of_tables(folder: Path) -> None:
    (folder / "endpoint.yml").write_text("name: fraud\nauth_mode: none\n")
    (line,) = run(folder / "endpoint.yml", "-o", "jsonl").output.splitlines()
    assert json.loads(line)["severity"] == "error"
    queried = run(folder / "endpoint.yml", "--query", "errors[].code", "-o", "tsv")
    assert (queried.exit_code, queried.output) == (2, "TR0105\n")


def test_a_deployment_alone_is_worth_a_warning(folder: Path) -> None:
    result = run(folder / "green.yml")
    assert (result.exit_code, "TR0303" in result.output) == (0, True)
    assert run(folder / "green.yml", "--strict").exit_code == 2
    assert run(folder / "green.yml", "--starting").exit_code == 2
    ignored = run(folder / "green.yml", "--strict", "--ignore", "TR0303")
    assert (ignored.exit_code, ignored.output) == (0, "valid: 0 errors, 0 warnings\n")


def test_names_from_the_command_line(folder: Path) -> None:
    path = folder / "green.yml"
    path.write_text("name: {{NAME}}\ntype: kubernetes\nmodel: azureml:m:1\n")
    assert "TR0002" in run(path).output
    path.write_text("type: kubernetes\nmodel: azureml:m:1\n")
    assert run(path).exit_code == 2
    assert run(path, "--name", "green", "--endpoint-name", "fraud").exit_code == 0


def test_an_unknown_code_is_a_usage_error(folder: Path) -> None:
    result = run(folder, "--ignore", "TR9999")
    assert (result.exit_code, "there is no code TR9999" in result.output) == (2, True)


def test_registered_models(folder: Path) -> None:
    path = folder / "green.yml"
    text = "name: green\nendpoint_name: fraud\ntype: kubernetes\nmodel: azureml:m:1\n"
    path.write_text(text + 'properties: {trioroute.command: "x {port}"}\n')
    assets = folder / "assets.txt"
    assets.write_text("m: ./m\n")
    assert "TR0403" in run(folder).output
    assert run(folder, "--assets", assets).output == "valid: 0 errors, 0 warnings\n"
