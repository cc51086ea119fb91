"""Builds the virtual environments that scoring scripts run in, once each, and finds them again.

The model server lives in its own environment, never in the router's (decision 1). A runtime is
keyed by what is in it, so two data folders could share one: `folder` is the caller's choice.
A virtual environment has its own path written into its programs, so it cannot be built elsewhere
and renamed; instead a marker file, written last, says that it is whole. What lacks the marker is
removed and built again. A file lock keeps two builders of the same runtime apart. What pip unpacks
on the way goes into a folder beside the runtime: a pip that is killed leaves hundreds of MiB, and
in /tmp nobody would know whose they are.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import trio
import yaml

from trioroute.discovery.processes.logs import read_last_lines
from trioroute.discovery.processes.process import LeashedProcess
from trioroute.errors import ConfigError

__all__ = [
    "Progress",
    "Requirements",
    "RuntimeBuildError",
    "RuntimeStore",
    "read_requirements",
]

#: Told in one line what the build is doing, several times a second.
Progress = Callable[[str], None]

#: The release whose behaviour azure-reference.md section 15 describes.
_SERVER: Final = "azureml-inference-server-http==1.5.1"

#: Packages that bring a model server of the user's choice: then ours is not asked for.
_BRINGS_SERVER: Final = ("azureml-inference-server-http", "azureml-defaults")

#: Parts of a conda environment that every virtual environment has anyway.
_ALWAYS_THERE: Final = frozenset({"python", "pip", "setuptools", "wheel"})

#: Its presence says that the runtime is whole.
_MARKER: Final = ".trioroute-complete"

#: A build's temporary files, behind the runtime's key.
_SCRATCH: Final = ".tmp"

#: How often the builder looks at its lock and its log, seconds: a line a person can follow.
_LOOK_S: Final = 0.2

#: How long an ended build may take to be gone, seconds.
_END_GRACE_S: Final = 2.0

#: Of pip's output in an error: it says what could not be had in the last few lines.
_ERROR_LINES: Final = 12


class RuntimeBuildError(ConfigError):
    """A runtime could not be built. The message ends with what pip or venv said last."""


@attrs.frozen
class Requirements:
    """What a runtime contains.

    Attributes:
        pip: lines of a requirements file.
        notices: what of the conda file is not obeyed, one line each.
    """

    pip: tuple[str, ...] = (_SERVER,)
    notices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name of the runtime that has all this, for this Python on this kind of machine."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        lines = (version, sysconfig.get_platform(), *sorted(self.pip), *map(_included, self.pip))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def read_requirements(conda_file: Path | None, content: str | None = None) -> Requirements:
    """The pip packages of an environment's conda file, with the model server.

    Conda's own packages are not installed (there is no conda here); each gets a notice.

    Args:
        conda_file: where it is.
        content: what it says, when it is written into the deployment instead; with both, what the
            file said when it was applied.

    Raises:
        ConfigError: the file is missing or is no conda environment.
    """
    if conda_file is None and content is None:
        return Requirements()
    what = "the deployment's conda_file" if conda_file is None else f"conda file {conda_file}"
    try:
        if conda_file is not None and content is None:
            content = conda_file.read_text(encoding="utf-8")
        read = yaml.safe_load(content or "")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{what} cannot be read: {error}") from None
    dependencies = read.get("dependencies", []) if isinstance(read, dict) else None
    if not isinstance(dependencies, list):
        raise ConfigError(f"{what} has no list of dependencies")
    pip = [_absolute(line, conda_file) for line in _pip_lines(dependencies)]
    if not any(_name(line) in _BRINGS_SERVER for line in pip):
        pip.insert(0, _SERVER)
    ignored = [each for each in dependencies if isinstance(each, str)]
    return Requirements(
        tuple(pip),
        tuple(
            f"The conda package {each} is not installed: list it under pip in {what}"
            for each in ignored
            if _name(each) not in _ALWAYS_THERE
        ),
    )


class RuntimeStore:
    """The runtimes under one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, requirements: Requirements) -> Path | None:
        """The interpreter of a runtime that is whole, or None."""
        runtime = self._folder / requirements.key
        return runtime / "bin" / "python" if (runtime / _MARKER).exists() else None

    async def ensure(self, requirements: Requirements, progress: Progress) -> Path:
        """The interpreter of the runtime, built now when it is missing (10 to 100 seconds).

        Raises:
            RuntimeBuildError: it cannot be built.
        """
        await trio.lowlevel.checkpoint()
        python = self.find(requirements)
        if python is not None:
            return python
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            async with _locked(self._folder / f"{requirements.key}.lock", progress):
                # Another process may have built it while we waited for the lock.
                return self.find(requirements) or await self._build(requirements, progress)
        except OSError as error:
            raise RuntimeBuildError(f"no runtime can be kept in {self._folder}: {error}") from None

    async def _build(self, requirements: Requirements, progress: Progress) -> Path:
        runtime = self._folder / requirements.key
        scratch = self._folder / f"{requirements.key}{_SCRATCH}"
        await trio.to_thread.run_sync(_remove, runtime)
        await trio.to_thread.run_sync(_remove, scratch)
        await trio.to_thread.run_sync(_remove_interrupted, self._folder)
        try:
            scratch.mkdir()
            python = await self._fill(requirements, scratch, progress)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_remove, scratch)
        (runtime / _MARKER).touch()
        return python

    async def _fill(self, requirements: Requirements, scratch: Path, progress: Progress) -> Path:
        """Make the virtual environment and install what it needs; its interpreter."""
        runtime = self._folder / requirements.key
        log = self._folder / f"{requirements.key}.log"
        log.unlink(missing_ok=True)
        python = runtime / "bin" / "python"
        listed = self._folder / f"{requirements.key}.txt"
        listed.write_text("\n".join(requirements.pip) + "\n")
        progress("creating a virtual environment for the model server")
        # venv makes it from the interpreter that ours was made from, so ours may go away.
        venv = [sys.executable, "-m", "venv", str(runtime)]
        # Our own pip can install into it; without one, it gets a pip of its own, 3 s later.
        has_pip = importlib.util.find_spec("pip") is not None
        run = partial(_run, log=log, scratch=scratch, progress=progress)
        await run([*venv, "--without-pip"] if has_pip else venv)
        ours = [sys.executable, "-m", "pip", "--python", str(python)]
        pip = [*(ours if has_pip else [str(python), "-m", "pip"]), "--disable-pip-version-check"]
        # Compiling everything takes longer than importing what is used: 20 s became 12 s.
        install = ["install", "--no-input", "--no-compile", "--progress-bar", "off"]
        await run([*pip, *install, "--requirement", str(listed)])
        return python


async def _run(command: Sequence[str], *, log: Path, scratch: Path, progress: Progress) -> None:
    environment = {**os.environ, "TMPDIR": str(scratch)}
    process = LeashedProcess.start(command, environment=environment, cwd=log.parent, log=log)
    ended = False
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_report, log, progress)
            status = await process.wait()
            ended = True
            nursery.cancel_scope.cancel()
    finally:
        if not ended:
            await process.end(grace_s=_END_GRACE_S)
    if status:
        said = "\n  ".join(read_last_lines(log)[-_ERROR_LINES:])
        raise RuntimeBuildError(
            f"the runtime for the model server cannot be built: {command[2]} ended "
            f"with status {status}. All it said is in {log}; the end:\n  {said}"
        )


async def _report(log: Path, progress: Progress) -> None:
    told = ""
    while True:
        step = next(filter(None, map(_tell_step, reversed(read_last_lines(log)))), "")
        if step and step != told:
            told = step
            progress(step)
        await trio.sleep(_LOOK_S)


def _tell_step(line: str) -> str:
    """What pip is doing, in a few words; nothing for the many lines that say other things."""
    word, _, rest = line.strip().partition(" ")
    if word == "Installing":
        return f"installing {rest.count(',') + 1} packages"
    if word in ("Collecting", "Downloading", "Processing"):
        # A requirement, an address or a path, perhaps with more behind a blank.
        name = rest.partition(" ")[0].rpartition("/")[2]
        return f"fetching {' '.join(name.split('-')[:2]) if name.endswith('.whl') else name}"
    return ""


@contextlib.asynccontextmanager
async def _locked(path: Path, progress: Progress) -> AsyncIterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _lock_nowait(descriptor):
            progress("another replica prepares this runtime already; waiting for that")
            await trio.sleep(_LOOK_S)
        yield
    finally:
        os.close(descriptor)


def _lock_nowait(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _remove_interrupted(folder: Path) -> None:
    """Remove what builds left that were killed, of other runtimes too: nobody may build them again.

    A scratch folder is somebody's only while the lock of its runtime is held.
    """
    for scratch in folder.glob(f"*{_SCRATCH}"):
        lock = scratch.with_name(scratch.name.removesuffix(_SCRATCH) + ".lock")
        with contextlib.suppress(OSError), lock.open() as file:
            if _lock_nowait(file.fileno()):
                shutil.rmtree(scratch)


def _pip_lines(dependencies: Sequence[Any]) -> list[str]:
    lists = [each.get("pip") for each in dependencies if isinstance(each, dict)]
    return [str(line).strip() for lines in lists if isinstance(lines, list) for line in lines]


def _absolute(line: str, conda_file: Path | None) -> str:
    """Lines that name another requirements file name it beside the conda file."""
    option, _, path = line.partition(" ")
    if conda_file is not None and option in ("-r", "--requirement") and path:
        return f"-r {conda_file.parent.joinpath(path.strip()).resolve()}"
    return line


def _included(line: str) -> str:
    """The content of a requirements file that a line names: it is part of what the runtime is."""
    if not line.startswith("-r "):
        return ""
    try:
        return Path(line[3:]).read_text()
    except OSError:
        # pip will say so, and better.
        return ""


def _name(requirement: str) -> str:
    """The package that a requirement or a conda package names: `Scikit_Learn>=1` → scikit-learn."""
    letters = requirement.rpartition("::")[2]
    for index, letter in enumerate(letters):
        if not (letter.isalnum() or letter in "-_."):
            letters = letters[:index]
            break
    return letters.strip().lower().replace("_", "-").replace(".", "-")
