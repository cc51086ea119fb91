"""Gets the packaged example ready to run: its runtime, a copy of its files, two trained models.

Everything is kept below DATA/demo/digits, so that the user can read and change it and run it again
with plain `trioroute up`. Models are trained once per version of the example.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from trioroute.discovery.processes.logs import read_last_lines
from trioroute.discovery.processes.process import LeashedProcess
from trioroute.discovery.runner import runtimes_folder
from trioroute.discovery.runtime import RuntimeStore, read_requirements
from trioroute.errors import ConfigError

__all__ = ["ENDPOINT", "PreparedDemo", "PreparedModel", "prepare_demo"]

#: The example's endpoint.
ENDPOINT: Final = "digits"

_PACKAGED: Final = Path(__file__).parent / ENDPOINT

_CONDA_FILE: Final = Path("environment/conda.yml")

#: Holds the digest of the example that the models were trained by; written last.
_MARKER: Final = ".trained"

_FILES: Final = ("endpoint.yml", "blue-deployment.yml", "green-deployment.yml")

#: What a model server imports when it starts.
_SERVER_MODULES: Final = (
    "azureml_inference_server_http.amlserver",
    "azureml_inference_server_http.server.create_app",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
)

#: How long a cancelled training may take to be gone, seconds.
_END_GRACE_S: Final = 1.0


@attrs.frozen
class PreparedModel:
    """One trained model.

    Attributes:
        deployment: whose model it is.
        model: its class in scikit-learn; answers name it, which tells who answered.
        accuracy: the part of unseen digits that it reads correctly.
    """

    deployment: str
    model: str
    accuracy: float


@attrs.frozen
class PreparedDemo:
    """The example, ready for `up`.

    Attributes:
        paths: the YAML files.
        requests: one JSON object a line: `request` is a scoring request, `label` the right answer.
    """

    paths: tuple[Path, ...]
    requests: Path
    models: tuple[PreparedModel, ...]


async def prepare_demo(data: Path, progress: Callable[[str], None]) -> PreparedDemo:
    """Copy, build and train whatever is not there yet (10 to 100 s the first time).

    Args:
        data: the data folder.
        progress: told in one line what is being done.

    Raises:
        ConfigError: the data folder cannot be written, or the runtime or the models cannot be made.
    """
    data = _absolute(data)
    folder = data / "demo" / ENDPOINT
    try:
        await trio.to_thread.run_sync(_copy_example, folder)
        requirements = read_requirements(folder / _CONDA_FILE)
        python = await RuntimeStore(runtimes_folder(data)).ensure(requirements, progress)
        digest = _digest(requirements.key)
        marker = folder / _MARKER
        if not marker.exists() or marker.read_text() != digest:
            progress("training two models on the handwritten digits of scikit-learn")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_compile_server, python, folder)
                await _train(python, folder)
            marker.write_text(digest)
    except OSError as error:
        raise ConfigError(f"the example cannot be put into {folder}: {error}") from None
    return PreparedDemo(
        tuple(folder / name for name in _FILES),
        folder / "requests.jsonl",
        _read_report(folder / "report.json"),
    )


def _absolute(path: Path) -> Path:
    return path.resolve()


def _copy_example(folder: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_PACKAGED, folder, ignore=ignored, dirs_exist_ok=True)


def _digest(runtime: str) -> str:
    """Models fit the script that made them and the libraries that load them."""
    return hashlib.sha256((_PACKAGED / "train.py").read_bytes() + runtime.encode()).hexdigest()


async def _train(python: Path, folder: Path) -> None:
    draft = folder / "draft"
    log = folder / "train.log"
    for old in (draft, folder / "models"):
        shutil.rmtree(old, ignore_errors=True)
    log.unlink(missing_ok=True)
    draft.mkdir()
    command = [str(python), str(folder / "train.py"), str(draft)]
    process = LeashedProcess.start(command, environment=_environment(), cwd=folder, log=log)
    try:
        status = await process.wait()
    finally:
        await process.end(grace_s=_END_GRACE_S)
    if status:
        said = "\n  ".join(read_last_lines(log))
        raise ConfigError(f"training ended with status {status}:\n  {said}")
    for made in draft.iterdir():
        made.replace(folder / made.name)
    draft.rmdir()


async def _compile_server(python: Path, folder: Path) -> None:
    """Import the model server once, while the other core trains: that compiles what it imports.

    Runtimes are installed without compiling. Otherwise all replicas start at once and each compiles
    the same modules. Whether it works does not matter here: replicas say what is wrong.
    """
    command = [str(python), "-c", f"import {', '.join(_SERVER_MODULES)}"]
    log = folder / "compile.log"
    process = LeashedProcess.start(command, environment=_environment(), cwd=folder, log=log)
    try:
        await process.wait()
    finally:
        await process.end(grace_s=_END_GRACE_S)


def _environment() -> dict[str, str]:
    """Ours, but bytecode is kept: it lands in the runtime, which is ours too, for every replica."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def _read_report(report: Path) -> tuple[PreparedModel, ...]:
    content: dict[str, dict[str, object]] = json.loads(report.read_text())
    return tuple(
        PreparedModel(name, str(each["model"]), float(str(each["accuracy"])))
        for name, each in content.items()
    )
