"""requirements.txt, which the image installs, is exact, hashed and in step with pyproject.toml."""

import re
import tomllib
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT

_PIN: Final = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+)", re.MULTILINE)


def pins() -> dict[str, str]:
    """Name to exact version of everything the image installs."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    return {canonicalize_name(found["name"]): found["version"] for found in _PIN.finditer(text)}


def dependencies() -> list[Requirement]:
    """What pyproject.toml asks for, extras aside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(line) for line in project["dependencies"]]


@pytest.mark.parametrize("wanted", dependencies(), ids=lambda wanted: wanted.name)
def test_each_dependency_is_pinned_within_its_bounds(wanted: Requirement) -> None:
    version = pins().get(canonicalize_name(wanted.name))
    assert version is not None, f"{wanted.name} is not in requirements.txt; its head says how"
    assert wanted.specifier.contains(version), f"{wanted.name} {version} is not {wanted.specifier}"


def test_each_pin_has_a_hash() -> None:
    blocks = re.split(r"\n(?=\w)", (ROOT / "requirements.txt").read_text(encoding="utf-8"))
    named = [block for block in blocks if _PIN.match(block)]
    assert len(named) == len(pins())
    assert [block for block in named if "--hash=sha256:" not in block] == []
