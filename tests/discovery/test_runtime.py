"""Runtimes: what is in them, that they are built once and whole, and what failure says."""

import fcntl
import subprocess
import textwrap
from pathlib import Path

import pytest
import trio

from tests.discovery.shared_runtime import CONDA_FILE
from trioroute.discovery import runtime as runtime_module
from trioroute.discovery.runtime import (
    Requirements,
    RuntimeBuildError,
    RuntimeStore,
    read_requirements,
)
from trioroute.errors import ConfigError

SERVER = "azureml-inference-server-http==1.5.1"


def conda(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "conda.yml"
    path.write_text(textwrap.dedent(text))
    return path


def test_without_a_conda_file_there_is_the_model_server() -> None:
    assert read_requirements(None).pip == (SERVER,)


def test_reads_pip_packages_and_says_which_others_are_left_out(tmp_path: Path) -> None:
    path = conda(
        tmp_path,
        """
        name: model-env
        channels: [conda-forge]
        dependencies:
          - python=3.10
          - pip=24.0
          - numpy=1.26
          - conda-forge::scipy
          - pip:
            - joblib==1.4.2
            - scikit-learn
        """,
    )
    found = read_requirements(path)
    assert found.pip == (SERVER, "joblib==1.4.2", "scikit-learn")
    assert [notice.removeprefix("The conda package ").split()[0] for notice in found.notices] == [
        "numpy=1.26",
        "conda-forge::scipy",
    ]


@pytest.mark.parametrize("line", ["azureml-defaults", "azureml_inference_server_http~=1.4"])
def test_the_users_own_choice_of_model_server_holds(tmp_path: Path, line: str) -> None:
    path = conda(tmp_path, f"dependencies: [{{pip: ['{line}']}}]")
    assert read_requirements(path).pip == (line,)


def test_names_a_requirements_file_beside_the_conda_file(tmp_path: Path) -> None:
    path = conda(tmp_path, "dependencies: [{pip: ['-r more.txt']}]")
    (tmp_path / "more.txt").write_text("joblib\n")
    before = read_requirements(path)
    assert before.pip == (SERVER, f"-r {tmp_path}/more.txt")
    key = before.key
    (tmp_path / "more.txt").write_text("joblib==1.4.2\n")
    assert read_requirements(path).key != key


@pytest.mark.parametrize("text", ["- a\n- b\n", "dependencies: joblib\n", "dependencies: [\n"])
def test_refuses_what_is_no_conda_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"conda\.yml"):
        read_requirements(conda(tmp_path, text))


def test_a_runtime_is_known_by_what_is_in_it() -> None:
    assert Requirements(("a", "b")).key == Requirements(("b", "a"), notices=("n",)).key
    assert Requirements(("a",)).key != Requirements(("a", "b")).key


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("Collecting joblib<2,>=1 (from scikit-learn)", "fetching joblib<2,>=1"),
        ("  Downloading a/b/numpy-2.4.6-cp311-cp311-linux.whl (16 MB)", "fetching numpy 2.4.6"),
        ("Installing collected packages: a, b, c", "installing 3 packages"),
        ("WARNING: something", ""),
        ("", ""),
    ],
)
def test_tells_what_pip_is_doing_in_a_few_words(line: str, step: str) -> None:
    assert runtime_module._tell_step(line) == step


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_builds_a_runtime_that_has_the_model_server_and_the_packages(runtime_python: Path) -> None:
    code = "import azureml_inference_server_http as s, sklearn; print(s.__version__)"
    said = subprocess.run(
        [str(runtime_python), "-c", code], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip().endswith("1.5.1")


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_finds_a_runtime_again_without_building(runtimes: Path, runtime_python: Path) -> None:
    told: list[str] = []
    found = await RuntimeStore(runtimes).ensure(read_requirements(CONDA_FILE), told.append)
    assert found == runtime_python
    assert told == []


@pytest.mark.slow
@pytest.mark.parametrize("has_pip", [True, False])
async def test_says_what_pip_said_last_and_leaves_no_half_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_pip: bool
) -> None:
    if not has_pip:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    store = RuntimeStore(tmp_path)
    # Nothing is asked of any index: the path does not exist.
    requirements = Requirements((str(tmp_path / "no-such-package"),))
    with pytest.raises(RuntimeBuildError, match="no-such-package") as caught:
        await store.ensure(requirements, lambda _: None)
    assert str(tmp_path / f"{requirements.key}.log") in str(caught.value)
    assert store.find(requirements) is None


@pytest.mark.slow
async def test_a_half_built_runtime_is_built_again_by_one_of_two_builders(tmp_path: Path) -> None:
    requirements = Requirements((f"-r {tmp_path}/none.txt",))
    (tmp_path / "none.txt").write_text("")
    half = tmp_path / requirements.key / "bin"
    half.mkdir(parents=True)
    (half / "python").write_text("not an interpreter")
    told: dict[str, list[str]] = {"one": [], "two": []}
    async with trio.open_nursery() as nursery:
        for name in told:
            nursery.start_soon(RuntimeStore(tmp_path).ensure, requirements, told[name].append)
    builders = [name for name in told if "creating a virtual environment" in " ".join(told[name])]
    assert len(builders) == 1
    python = RuntimeStore(tmp_path).find(requirements)
    assert python is not None
    await trio.run_process([str(python), "-c", "import sys"])


@pytest.mark.slow
async def test_a_cancelled_build_ends_its_processes_and_is_not_found(tmp_path: Path) -> None:
    store = RuntimeStore(tmp_path)
    requirements = Requirements((f"-r {tmp_path}/none.txt",))
    (tmp_path / "none.txt").write_text("")
    with trio.CancelScope() as scope:
        await store.ensure(requirements, lambda _: scope.cancel())
    assert scope.cancelled_caught
    assert store.find(requirements) is None


#: A package that says where its builder puts temporary files, leaves one there, and fails.
BACKEND = """
import pathlib, tempfile
def get_requires_for_build_wheel(config_settings=None):
    folder = tempfile.mkdtemp(prefix="left-behind-")
    pathlib.Path("../told.txt").write_text(folder)
    raise SystemExit("no")
prepare_metadata_for_build_wheel = build_wheel = get_requires_for_build_wheel
"""


@pytest.mark.slow
async def test_what_builds_left_behind_is_removed_and_never_lies_in_tmp(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "backend.py").write_text(BACKEND)
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    store = tmp_path / "runtimes"
    for key in ("killed", "building"):
        (store / f"{key}.tmp").mkdir(parents=True)
        (store / f"{key}.lock").touch()
    with (store / "building.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RuntimeBuildError):
            await RuntimeStore(store).ensure(Requirements((str(package),)), lambda _: None)
    folder = Path((tmp_path / "told.txt").read_text())
    assert folder.is_relative_to(store)
    # Its own, and what a killed one left; not that of one which still builds.
    assert [path.name for path in store.glob("*.tmp")] == ["building.tmp"]


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeBuildError, match="no runtime can be kept"):
        await RuntimeStore(tmp_path / "file" / "runtimes").ensure(Requirements(), lambda _: None)


def test_packages_written_into_the_deployment_count_like_a_file_s(tmp_path: Path) -> None:
    text = '{"dependencies": ["numpy", {"pip": ["joblib==1.4.2"]}]}'
    found = read_requirements(None, text)
    assert found.pip == (SERVER, "joblib==1.4.2")
    assert "under pip in the deployment's conda_file" in found.notices[0]
    with pytest.raises(ConfigError, match="the deployment's conda_file has no list"):
        read_requirements(None, "[]")
