"""Local files: where they are, and what is said when they are not (decisions 11 and 12)."""

from pathlib import Path
from textwrap import dedent

import pytest

from trioroute.core.model import CommandSource, ScriptSource, Source
from trioroute.spec import azure
from trioroute.spec.problems import Problems, SpecError
from trioroute.spec.properties import DeploymentProperties, read_properties
from trioroute.spec.reading import read_text
from trioroute.spec.sources import SourceFinder, read_assets
from trioroute.spec.written import code_files

HEAD = "name: blue\nendpoint_name: fraud\ntype: kubernetes\n"
SCRIPT = "code_configuration: {code: code, scoring_script: score.py}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text("")
    (tmp_path / "model").mkdir()
    (tmp_path / "conda.yml").write_text("dependencies: [python]\n")
    return tmp_path


def find(
    folder: Path, text: str, *, starting: bool = True, assets: dict[str, Path] | None = None
) -> tuple[Source | None, Problems]:
    problems = Problems()
    file = read_text(HEAD + dedent(text), "f.yml", problems, folder=folder)
    assert file is not None
    assert isinstance(file.spec, azure.Deployment)
    extras = read_properties(DeploymentProperties, file)
    assert extras is not None
    return SourceFinder(assets or {}, starting).find(file, file.spec, extras), problems


def script(folder: Path, text: str, **settings: dict[str, Path]) -> ScriptSource:
    source, problems = find(folder, SCRIPT + text, **settings)  # type: ignore[arg-type]
    assert problems.errors == []
    assert isinstance(source, ScriptSource)
    return source


def codes(problems: Problems) -> list[str]:
    return [problem.code for problem in problems.errors]


def test_the_script_finds_its_model_in_the_folder_around_it(folder: Path) -> None:
    """As in Azure's local mode: AZUREML_MODEL_DIR/model is `path: ./model`."""
    assert script(folder, "model: {path: ./model}\n").model == str(folder)


def test_a_missing_model_is_an_error_only_when_started(folder: Path) -> None:
    text = SCRIPT + "model: {path: ./modle}\n"
    source, problems = find(folder, text)
    assert (codes(problems), problems.errors[0].hint) == (["TR0402"], "did you mean model?")
    source, problems = find(folder, text, starting=False)
    assert (codes(problems), [warning.code for warning in problems.warnings]) == ([], ["TR0402"])
    assert isinstance(source, ScriptSource)


def test_a_missing_script_names_the_nearest(folder: Path) -> None:
    text = "code_configuration: {code: code, scoring_script: scor.py}\n"
    _, problems = find(folder, text)
    assert (codes(problems), problems.errors[0].hint) == (["TR0402"], "did you mean score.py?")
    assert problems.errors[0].field == "code_configuration.scoring_script"


def test_code_that_is_too_large_to_be_copied_is_told_where_it_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_files, "CODE_FILES_MAX", 1)
    (folder / "code" / "weights.bin").write_text("")
    _, problems = find(folder, SCRIPT)
    (problem,) = problems.errors
    assert (problem.code, problem.field) == ("TR0406", "code_configuration.code")
    assert problem.line
    assert "weights as the deployment's model" in problem.message
    (folder / "code" / ".amlignore").write_text("*.bin\n.amlignore\n")
    assert codes(find(folder, SCRIPT)[1]) == []


def test_a_conda_file_is_checked_at_once(folder: Path) -> None:
    assert script(folder, "environment: {conda_file: conda.yml}\n").conda_file == str(
        folder / "conda.yml"
    )
    (folder / "broken.yml").write_text("dependencies: {a: [\n")
    (folder / "odd.yml").write_text("dependencies: numpy\n")
    for name in ("none.yml", "broken.yml", "odd.yml", "code"):
        text = SCRIPT + f"environment: {{conda_file: {name}}}\n"
        _, problems = find(folder, text, starting=False)
        assert codes(problems) == ["TR0401"], name


def test_packages_may_stand_in_the_file_itself(folder: Path) -> None:
    inline = "environment: {conda_file: {dependencies: [python=3.10, {pip: [a==1]}]}}\n"
    source = script(folder, inline)
    assert source.conda_file is None
    assert source.conda == '{"dependencies": ["python=3.10", {"pip": ["a==1"]}]}'
    _, problems = find(folder, SCRIPT + "environment: {conda_file: {dependencies: a}}\n")
    assert codes(problems) == ["TR0401"]


def test_an_image_is_not_used_here(folder: Path) -> None:
    _, problems = find(folder, SCRIPT + "environment: {image: i}\n")
    assert [warning.code for warning in problems.warnings] == ["TR0405"]


@pytest.mark.parametrize("reference", ["m", "m:1", "m@latest"])
def test_registered_models_are_found_by_name(folder: Path, reference: str) -> None:
    assets = {"m": folder / "store" / "m"}
    assert script(folder, f"model: azureml:{reference}\n", assets=assets).model == str(
        folder / "store"
    )


def test_an_unknown_registered_model(folder: Path) -> None:
    _, problems = find(folder, SCRIPT + "model: azureml:fruad:1\n", assets={"fraud:1": folder})
    assert (codes(problems), problems.errors[0].hint) == (["TR0403"], "did you mean fraud:1?")


@pytest.mark.parametrize(
    "text",
    [
        "model: {name: m, path: 'azureml://datastores/x/paths/y'}\n" + SCRIPT,
        "code_configuration: {code: 'https://x/y', scoring_script: score.py}\n",
    ],
)
def test_remote_files_cannot_be_fetched(folder: Path, text: str) -> None:
    assert "TR0403" in codes(find(folder, text)[1])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("model: {path: model, type: mlflow_model}\n", "mlflow_model"),
        ("environment: {image: i}\n", "nothing says"),
    ],
)
def test_nothing_to_run(folder: Path, text: str, word: str) -> None:
    source, problems = find(folder, text)
    assert source is None
    assert codes(problems) == ["TR0404"]
    assert word in problems.errors[0].message


def test_addresses_need_no_files(folder: Path) -> None:
    text = 'model: {path: nowhere}\nproperties: {trioroute.addresses: "a:1"}\n'
    assert codes(find(folder, text)[1]) == []


def test_addresses_and_a_command_contradict(folder: Path) -> None:
    text = 'properties: {trioroute.addresses: "a:1", trioroute.command: "x {port}"}\n'
    assert codes(find(folder, text)[1]) == ["TR0109"]


def test_a_command_without_code_runs_beside_the_file(folder: Path) -> None:
    source, _ = find(folder, 'properties: {trioroute.command: "x {port}"}\n')
    assert isinstance(source, CommandSource)
    assert source.cwd == str(folder)


def test_an_interpreter_is_a_link_that_keeps_its_name(folder: Path) -> None:
    (folder / "python").symlink_to("/usr/bin/env")
    assert script(folder, "properties: {trioroute.python: ./python}\n").python == str(
        folder / "python"
    )
    assert script(folder, "properties: {trioroute.python: python3}\n").python == "python3"


def test_the_file_of_assets(tmp_path: Path) -> None:
    path = tmp_path / "assets.yml"
    path.write_text("azureml:m:1: store/m\nother: /abs\n")
    assert read_assets(path) == {"m:1": tmp_path / "store/m", "other": Path("/abs")}


@pytest.mark.parametrize("text", ["- a\n", "m: 5\n", "m: [\n", "1: x\n"])
def test_a_file_of_assets_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "assets.yml"
    path.write_text(text)
    with pytest.raises(SpecError):
        read_assets(path)
    with pytest.raises(SpecError):
        read_assets(tmp_path / "none.yml")


def test_a_deployment_of_a_cluster_is_not_adopted_here(folder: Path) -> None:
    source, problems = find(folder, SCRIPT + "properties: {trioroute.workload: theirs}\n")
    assert source is None
    assert codes(problems) == ["TR0404"]
