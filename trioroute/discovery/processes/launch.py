"""How a deployment's replica is started: command line, folder and environment variables."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from trioroute.core.model import CommandSource, ContainerSource, Deployment, ScriptSource

__all__ = ["CannotLaunchError", "Launch", "plan_launch"]

_AZURE_SERVER: Final = Path(__file__).with_name("azure_server.py")

#: Ours, not the model server's: it would look for its packages in the router's environment.
_NOT_INHERITED: Final = frozenset(
    {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
)


class CannotLaunchError(Exception):
    """Something that the deployment names is not there. The message says what."""


@attrs.frozen(kw_only=True)
class Launch:
    """One process to start."""

    command: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]


def plan_launch(
    deployment: Deployment, *, python: str | None, port: int, inherited: Mapping[str, str]
) -> Launch:
    """How to start one replica.

    Args:
        deployment: with a script or a command as its source.
        python: interpreter of the runtime, for a script.
        port: where the replica shall listen.
        inherited: the runner's own environment variables.

    Raises:
        CannotLaunchError: code, script, model or folder do not exist (decision 11).
    """
    variables = {name: value for name, value in inherited.items() if name not in _NOT_INHERITED}
    source = deployment.source
    if isinstance(source, CommandSource):
        return _launch_command(source, port, variables)
    if isinstance(source, ScriptSource) and python is not None:
        return _launch_script(deployment, source, python, port, variables)
    if isinstance(source, ContainerSource):
        raise CannotLaunchError(f"{source.image} runs on Kubernetes only: no image is used here")
    raise CannotLaunchError(f"deployment {deployment.key} has nothing to run")


def _launch_command(source: CommandSource, port: int, variables: dict[str, str]) -> Launch:
    _require(Path(source.cwd), "folder")
    if source.model is not None:
        variables["AZUREML_MODEL_DIR"] = _model_folder(source.model)
    variables |= {"PORT": str(port), **source.environment}
    # Plain replacement: other braces in a command (JSON, shell) are not ours to read.
    command = tuple(word.replace("{port}", str(port)) for word in source.command)
    return Launch(command=command, cwd=Path(source.cwd), environment=variables)


def _launch_script(
    deployment: Deployment, source: ScriptSource, python: str, port: int, variables: dict[str, str]
) -> Launch:
    script = Path(source.code) / source.script
    _require(script, "scoring script")
    if shutil.which(python) is None:
        raise CannotLaunchError(f"interpreter {python} does not exist or cannot be run")
    # azure-reference.md section 15. The inference server finds the script by its real path and
    # adds AML_APP_ROOT to the module path.
    variables |= {
        "AML_APP_ROOT": source.code,
        "AZUREML_ENTRY_SCRIPT": str(script),
        "SERVICE_NAME": deployment.endpoint,
        "SERVICE_VERSION": deployment.name,
        # Its output goes to a file: without this the last words of a dying process are lost.
        "PYTHONUNBUFFERED": "1",
    }
    if source.model is not None:
        variables["AZUREML_MODEL_DIR"] = _model_folder(source.model)
    variables |= source.environment
    server = (python, str(_AZURE_SERVER), "--entry_script", str(script), "--port", str(port))
    return Launch(command=server, cwd=Path(source.code), environment=variables)


def _model_folder(model: str) -> str:
    """Azure mounts a model file inside a folder, and it is the folder that the variable names."""
    path = Path(model)
    _require(path, "model")
    return str(path.parent if path.is_file() else path)


def _require(path: Path, what: str) -> None:
    if not os.access(path, os.R_OK):
        raise CannotLaunchError(f"{what} {path} does not exist or cannot be read")
