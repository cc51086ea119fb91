"""Where a deployment's replicas come from, and whether the files they need are there.

Nothing is uploaded: code is copied when it is applied, everything else is used where it is. A
missing conda file is an error at once, other missing files only when the deployment is to be
started (decision 11).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from trioroute.core.model import CommandSource, ScriptSource, Source, StaticSource
from trioroute.spec import azure
from trioroute.spec.convert import to_variables
from trioroute.spec.fields.document import Unreadable, parse
from trioroute.spec.fields.plain import to_plain
from trioroute.spec.fields.scope import Scope
from trioroute.spec.problems import Problem, Problems, SpecError, nearest
from trioroute.spec.properties import DeploymentProperties
from trioroute.spec.reading import ReadFile
from trioroute.spec.written.code_files import CodeFolderError, code_files
from trioroute.spec.written.documents import Document

__all__ = ["SourceFinder", "read_assets"]

_REMOTE: Final = ("azureml:", "http://", "https://", "runs:")


@attrs.frozen
class SourceFinder:
    """Finds the source of one deployment after the other.

    Attributes:
        assets: registered name (`name`, `name:version` or `name@label`) to a local path, from
            `--assets` (decision 12).
        starting: whether replicas will be started from this: then everything has to be there.
    """

    assets: Mapping[str, Path] = attrs.field(factory=dict)
    starting: bool = True

    def find(
        self, file: ReadFile, spec: azure.Deployment, extras: DeploymentProperties
    ) -> Source | None:
        """The source, or None when there is none; what is wrong is reported then.

        Args:
            file: where `spec` was read, for positions and the folder of relative paths.
        """
        if extras.addresses is not None:
            self._refuse_beside_addresses(file, extras)
            return StaticSource(addresses=extras.addresses)
        if extras.workload is not None:
            where = ("properties", "trioroute.workload")
            message = "Deployments are adopted on Kubernetes only"
            file.below(*where).error(file.at(*where), "TR0404", message, "trioroute.command")
            return None
        conda_file, conda = self._find_conda(file, spec)
        model = self._find_model(file, spec)
        code = self._find_code(file, spec)
        variables = (
            to_variables(file.at("environment_variables")) if spec.environment_variables else {}
        )
        if extras.command is not None:
            return CommandSource(
                command=extras.command,
                cwd=code or str(_absolute(file.scope.folder)),
                model=model,
                environment=variables,
            )
        configuration = spec.code_configuration
        if code is None or configuration is None or not configuration.scoring_script:
            self._report_nothing_to_run(file, spec)
            return None
        self._check_code(file, code)
        self._warn_of_image(file, spec)
        return ScriptSource(
            code=code,
            script=configuration.scoring_script,
            model=model,
            conda_file=conda_file,
            conda=conda,
            python=_find_python(file, extras.python),
            environment=variables,
        )

    def _refuse_beside_addresses(self, file: ReadFile, extras: DeploymentProperties) -> None:
        for name in ("command", "python"):
            if getattr(extras, name) is not None:
                key = f"trioroute.{name}"
                message = "replicas at trioroute.addresses already run; nothing is started for them"
                file.below("properties", key).error(file.at("properties", key), "TR0109", message)

    def _find_conda(self, file: ReadFile, spec: azure.Deployment) -> tuple[str | None, str | None]:
        """The path of the conda file, or the content that is written in its place."""
        environment = spec.environment
        if not isinstance(environment, azure.Environment) or not environment.conda_file:
            return None, None
        where = ("environment", "conda_file")
        given = environment.conda_file
        path = _absolute(file.scope.folder / given) if isinstance(given, str) else None
        problem = _conda_problem(path) if path else _content_problem("what is written here", given)
        if problem:
            file.below(*where).error(file.at(*where), "TR0401", problem)
        if path is not None:
            return str(path), None
        return None, json.dumps(to_plain(file.at(*where).value), ensure_ascii=False)

    def _find_model(self, file: ReadFile, spec: azure.Deployment) -> str | None:
        """The folder the script finds its model in: that of the path, as in Azure's local mode."""
        model = spec.model
        if isinstance(model, str):
            path = self._find_asset(file, model)
            return str(path.parent) if path else None
        if model is None or not model.path:
            return None
        if model.path.startswith(_REMOTE):
            message = f"{model.path} cannot be fetched from here"
            self._report(file, ("model", "path"), "TR0403", message, "give a local path")
            return None
        return self._find_local(file, ("model", "path"), model.path, parent=True)

    def written(self, document: Document) -> Document:
        """What the user wrote, as it is kept: as it was written."""
        return document

    def asset(self, reference: str) -> Path | None:
        """Where a registered model is, or None when it is not known here."""
        name = reference.removeprefix("azureml:").removeprefix("/")
        for key in (name, name.partition(":")[0].partition("@")[0]):
            if key in self.assets:
                return _absolute(self.assets[key])
        return None

    def _find_asset(self, file: ReadFile, reference: str) -> Path | None:
        path = self.asset(reference)
        if path is not None:
            return path
        name = reference.removeprefix("/")
        word = nearest(name, self.assets)
        unnamed = "name it in the file given as --assets (in Python assets=)"
        hint = f"did you mean {word}?" if word else unnamed
        message = f"the registered model {reference} is not known here"
        self._report(file, ("model",), "TR0403", message, hint)
        return None

    def _find_code(self, file: ReadFile, spec: azure.Deployment) -> str | None:
        configuration = spec.code_configuration
        if configuration is None or not configuration.code:
            return None
        if configuration.code.startswith(_REMOTE):
            message = f"{configuration.code} cannot be fetched from here"
            self._report(file, ("code_configuration", "code"), "TR0403", message)
            return None
        where = ("code_configuration", "code")
        code = self._find_local(file, where, configuration.code)
        script = Path(code) / (configuration.scoring_script or "")
        if Path(code).exists() and not script.is_file():
            where = ("code_configuration", "scoring_script")
            self._report(file, where, "TR0402", f"there is no file {script}", _similar(script))
        return code

    def _check_code(self, file: ReadFile, code: str) -> None:
        """Whether it can be copied, as it is when it is applied."""
        try:
            if Path(code).is_dir():
                code_files(Path(code))
        except CodeFolderError as error:
            self._report(file, ("code_configuration", "code"), "TR0406", str(error))

    def _find_local(
        self, file: ReadFile, where: tuple[str, ...], path: str, *, parent: bool = False
    ) -> str:
        absolute = _absolute(file.scope.folder / path)
        if not absolute.exists():
            self._report(file, where, "TR0402", f"there is no {absolute}", _similar(absolute))
        return str(absolute.parent if parent else absolute)

    def _report(
        self, file: ReadFile, where: tuple[str, ...], code: str, message: str, hint: str = ""
    ) -> None:
        scope = file.below(*where)
        report = scope.error if self.starting else scope.warn
        report(file.at(*where), code, message, hint)

    def _report_nothing_to_run(self, file: ReadFile, spec: azure.Deployment) -> None:
        message = "nothing says how to run a replica of this deployment"
        if isinstance(spec.model, azure.Model) and spec.model.type in (
            "mlflow_model",
            "triton_model",
        ):
            message = (
                f"a {spec.model.type} without code needs a server that is not part of trioroute"
            )
        hint = (
            "give code_configuration with code and scoring_script, or one of the properties "
            'trioroute.command: "… {port}" and trioroute.addresses: "host:port"'
        )
        self._report(file, (), "TR0404", message, hint)

    def _warn_of_image(self, file: ReadFile, spec: azure.Deployment) -> None:
        environment = spec.environment
        if self.starting and isinstance(environment, azure.Environment) and environment.image:
            message = (
                "the image is not used on this machine; the script runs in a runtime of its own"
            )
            where = ("environment", "image")
            file.below(*where).warn(file.at(*where), "TR0405", message)


def read_assets(path: Path) -> dict[str, Path]:
    """Read an `--assets` file: a mapping of registered names to paths beside it (decision 12).

    Raises:
        SpecError: the file is missing or is no such mapping.
    """
    try:
        node = parse(path.read_text("utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        message = f"the file of assets cannot be read: {reason}"
        raise SpecError([Problem(file=str(path), code="TR0001", message=message)]) from None
    except Unreadable as error:
        raise SpecError([error.problem]) from None
    problems = Problems()
    scope = Scope(str(path), problems)
    for key, entry in (node.entries or {}).items():
        if not isinstance(key, str) or not isinstance(entry.node.value, str):
            message = "expected a model name and a path, for example my-model:1: ./model"
            scope.child(key).error(entry, "TR0104", message)
    problems.raise_if_any()
    return {
        key.removeprefix("azureml:"): path.parent / entry.node.value
        for key, entry in (node.entries or {}).items()
        if isinstance(key, str)
    }


def _find_python(file: ReadFile, python: str | None) -> str | None:
    """The interpreter: a bare name is looked for on PATH when it is run."""
    if python is None or "/" not in python:
        return python
    path = Path(python).expanduser()
    path = path if path.is_absolute() else file.scope.folder / path
    # Not resolved: a virtual environment's python is a link that has to be run by this name.
    return str(path.absolute())


def _conda_problem(path: Path) -> str:
    """Why a conda file cannot be used, or nothing."""
    if not path.is_file():
        return f"there is no file {path}"
    try:
        content = parse(path.read_text("utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError):
        return f"{path} cannot be read"
    except Unreadable as error:
        return f"{path} is not a conda file: {error.problem.message}"
    return _content_problem(str(path), content.value)


def _content_problem(what: str, content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"{what} is not a conda file: expected fields such as dependencies"
    if not isinstance(content.get("dependencies", []), list):
        return f"{what} is not a conda file: dependencies is not a list"
    return ""


def _similar(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    word = nearest(path.name, (child.name for child in path.parent.iterdir()))
    return f"did you mean {word}?" if word else ""


def _absolute(path: Path) -> Path:
    return path.expanduser().resolve()
