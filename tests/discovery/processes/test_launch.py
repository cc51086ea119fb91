"""What a replica is started with."""

import sys
from pathlib import Path

import pytest

from trioroute.core.model import CommandSource, Deployment, ScriptSource, Source
from trioroute.discovery.processes.launch import CannotLaunchError, Launch, plan_launch

INHERITED = {"PATH": "/bin", "PYTHONPATH": "/ours", "VIRTUAL_ENV": "/ours", "HOME": "/home"}


def plan(source: Source, python: str | None = None) -> Launch:
    deployment = Deployment(endpoint="e", name="blue", source=source)
    return plan_launch(deployment, python=python, port=5001, inherited=INHERITED)


def test_a_command_gets_its_port_wherever_it_says_so(tmp_path: Path) -> None:
    source = CommandSource(
        command=("serve", "--bind=127.0.0.1:{port}", '{"a": 1}'),
        cwd=str(tmp_path),
        environment={"HOME": "/elsewhere"},
    )
    launch = plan(source)
    assert launch.command == ("serve", "--bind=127.0.0.1:5001", '{"a": 1}')
    assert launch.cwd == tmp_path
    assert launch.environment == {"PATH": "/bin", "HOME": "/elsewhere", "PORT": "5001"}


def test_a_script_runs_under_the_inference_server_of_its_runtime(tmp_path: Path) -> None:
    (tmp_path / "score.py").touch()
    (tmp_path / "model").mkdir()
    source = ScriptSource(
        code=str(tmp_path),
        script="score.py",
        model=str(tmp_path / "model"),
        environment={"AZUREML_MODEL_DIR": "/mine"},
    )
    launch = plan(source, sys.executable)
    assert launch.command[0] == sys.executable
    assert launch.command[2:] == ("--entry_script", f"{tmp_path}/score.py", "--port", "5001")
    assert launch.environment["AML_APP_ROOT"] == str(tmp_path)
    assert launch.environment["AZUREML_MODEL_DIR"] == "/mine"
    assert "PYTHONPATH" not in launch.environment


def test_a_model_file_is_found_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").touch()
    source = CommandSource(command=("x",), cwd="/", model=str(tmp_path / "model.pkl"))
    assert plan(source).environment["AZUREML_MODEL_DIR"] == str(tmp_path)


@pytest.mark.parametrize(
    ("source", "python", "message"),
    [
        (CommandSource(command=("x",), cwd="/none"), None, "folder /none does not exist"),
        (
            CommandSource(command=("x",), cwd="/", model="/none"),
            None,
            "model /none does not exist",
        ),
        (ScriptSource(code="/none", script="s.py"), sys.executable, "scoring script /none/s.py"),
        (ScriptSource(code="/etc", script="passwd"), "/none/python", "interpreter /none/python"),
        (
            ScriptSource(code="/etc", script="passwd"),
            "no-such-python",
            "interpreter no-such-python",
        ),
    ],
)
def test_what_is_not_there_is_named(source: Source, python: str | None, message: str) -> None:
    with pytest.raises(CannotLaunchError, match=message):
        plan(source, python)
