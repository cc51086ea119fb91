"""Floors and gates: who may import whom, and which module is the one door to a foreign library."""

import ast
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest

from tests.house.tree import Module, Offence, Rule, expect_none, plant, real_modules

#: Lowest first. A module may import lower floors and its own room, never a sibling on its floor.
FLOORS: Final = (
    ("errors",),
    ("core",),
    ("wire", "telemetry", "spec", "config", "trust"),
    ("net",),
    ("proxy", "coordinator", "discovery", "admin", "client"),
    ("demo",),
    ("drills",),
    ("app",),
    ("cli",),
    ("__main__", "testing", "aio"),
)

#: Foreign library -> the files that may import it. All others go through what those files offer.
GATES: Final = {
    "kubernetes": ("trioroute/discovery/kube/*.py", "trioroute/cli/kube*.py"),
    "pysyncobj": ("consensus/*.py",),
    "hypercorn": ("trioroute/admin/server.py",),
    "starlette": ("trioroute/admin/*.py",),
    "prometheus_client": ("trioroute/admin/*.py", "trioroute/telemetry/*.py"),
    "httptools": ("trioroute/wire/*.py",),
    "h11": ("trioroute/wire/*.py",),
    "joserfc": ("trioroute/trust/*.py",),
    # A runtime is named by the hash of a conda file's packages, which it reads itself; manifests
    # that are put on a cluster are what kustomize writes.
    "yaml": ("trioroute/spec/*.py", "trioroute/discovery/runtime.py", "chaos/pods/install.py"),
    "click": ("trioroute/cli/*.py",),
    "anyio": ("trioroute/aio.py",),
    "rich": ("trioroute/cli/*.py", "trioroute/demo/*.py"),
}

#: What `core` and `wire` get as arguments instead of importing it.
IMPURE: Final = frozenset(
    {
        "asyncio",
        "multiprocessing",
        "os",
        "random",
        "secrets",
        "select",
        "selectors",
        "signal",
        "socket",
        "ssl",
        "subprocess",
        "threading",
        "time",
        "trio",
    }
)

#: `telemetry` and `spec` may read a file's path, yet open no connection and start nothing.
IMPURE_FLOOR_1: Final = IMPURE - {"os", "random", "secrets", "time"}

PURE_ROOMS: Final = {
    "core": IMPURE,
    "wire": IMPURE,
    "telemetry": IMPURE_FLOOR_1,
    "spec": IMPURE_FLOOR_1,
    "trust": IMPURE,
}

#: The libraries that the lowest rooms may use at all.
LIBRARIES: Final = {
    "errors": frozenset[str](),
    "core": frozenset({"attrs"}),
    "wire": frozenset({"attrs", "cattrs", "h11", "httptools", "msgspec"}),
    "trust": frozenset({"attrs", "cryptography", "joserfc"}),
}

_FLOOR_OF: Final = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
_OURS: Final = frozenset({"trioroute", "consensus", "chaos", "tests"})


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import of a module, wherever it stands in the file."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def relative_imports(modules: Iterable[Module]) -> Iterator[Offence]:
    """Absolute imports only: a reader sees the floor of what is imported."""
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.ImportFrom) and node.level > 0:
                yield module.offence(node.lineno, "relative import", "Write the whole dotted name")


def imports_up_or_sideways(modules: Iterable[Module]) -> Iterator[Offence]:
    """Inside trioroute imports go downward only."""
    for module in modules:
        if module.package != "trioroute" or module.room == "__init__":
            continue
        floor = _FLOOR_OF.get(module.room)
        if floor is None:
            yield module.offence(
                1, f"`{module.room}` stands on no floor", "Give it one in FLOORS of test_floors.py"
            )
            continue
        for line, name in imports(module):
            parts = name.split(".")
            if parts[0] != "trioroute" or len(parts) < 2 or parts[1] == module.room:
                continue
            other = _FLOOR_OF.get(parts[1])
            if other is not None and other >= floor:
                way = "its sibling" if other == floor else "the higher floor"
                yield module.offence(
                    line,
                    f"{module.room} imports {way} {parts[1]}",
                    "Declare a Protocol here and let app pass the thing in, or move the code down",
                )


def imports_between_packages(modules: Iterable[Module]) -> Iterator[Offence]:
    """consensus stands alone; only app composes it; only tests import chaos."""
    for module in modules:
        for line, name in imports(module):
            other = name.split(".")[0]
            if other not in _OURS or other == module.package or module.package == "tests":
                continue
            allowed = (module.package, other) == ("chaos", "trioroute")
            allowed |= (module.package, other) == ("chaos", "consensus")
            allowed |= (module.package, other) == (
                "trioroute",
                "consensus",
            ) and module.room == "app"
            if not allowed:
                yield module.offence(
                    line,
                    f"{module.path.parts[0]} imports {other}",
                    "consensus is an independent library that only trioroute/app composes, "
                    "and nothing but tests imports chaos or tests",
                )


def consensus_tests_importing_trioroute(modules: Iterable[Module]) -> Iterator[Offence]:
    """The tests of the independent library need that library and its simulator at most."""
    for module in modules:
        if module.path.parts[:2] != ("tests", "consensus"):
            continue
        for line, name in imports(module):
            if name.split(".")[0] == "trioroute":
                yield module.offence(line, f"imports {name}", "Move the test to tests/app")


def imports_past_a_gate(modules: Iterable[Module]) -> Iterator[Offence]:
    """Each foreign library has one door."""
    for module in modules:
        if module.package == "tests":
            continue
        for line, name in imports(module):
            gates = GATES.get(name.split(".")[0])
            if gates is not None and not any(fnmatch(str(module.path), gate) for gate in gates):
                library = name.split(".")[0]
                yield module.offence(
                    line,
                    f"imports {library}",
                    f"Only {' and '.join(gates)} may; use what they offer",
                )


def impure_imports(modules: Iterable[Module]) -> Iterator[Offence]:
    """Pure rooms get the clock, the dice and the world as arguments."""
    for module in modules:
        banned = PURE_ROOMS.get(module.room) if module.package == "trioroute" else None
        for line, name in imports(module) if banned else ():
            if banned and name.split(".")[0] in banned:
                yield module.offence(
                    line,
                    f"{module.room} imports {name.split('.')[0]}",
                    "Take `now`, `rng` or the value as an argument, or do it on a higher floor",
                )


def unlisted_libraries(modules: Iterable[Module]) -> Iterator[Offence]:
    """The lowest floors use a short list of libraries."""
    for module in modules:
        allowed = LIBRARIES.get(module.room) if module.package == "trioroute" else None
        if allowed is None:
            continue
        for line, name in imports(module):
            library = name.split(".")[0]
            if library not in _OURS and library not in sys.stdlib_module_names | allowed:
                yield module.offence(
                    line,
                    f"{module.room} imports {library}",
                    f"It may use {', '.join(sorted(allowed))} only",
                )


RULES: Final = (
    relative_imports,
    imports_up_or_sideways,
    imports_between_packages,
    consensus_tests_importing_trioroute,
    imports_past_a_gate,
    impure_imports,
    unlisted_libraries,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_import_leaves_its_floor(rule: Rule) -> None:
    expect_none(rule(real_modules()))


PLANTED: Final = (
    (relative_imports, "trioroute/core/slots.py", "from . import model\n", True),
    (imports_up_or_sideways, "trioroute/core/slots.py", "import trioroute.wire.frames\n", True),
    (imports_up_or_sideways, "trioroute/proxy/server.py", "from trioroute import admin\n", True),
    (
        imports_up_or_sideways,
        "trioroute/proxy/server.py",
        "from trioroute.core import model\n",
        False,
    ),
    (imports_up_or_sideways, "trioroute/cellar/x.py", "", True),
    (imports_between_packages, "consensus/member.py", "import trioroute.errors\n", True),
    (imports_between_packages, "trioroute/proxy/server.py", "from consensus import Member\n", True),
    (imports_between_packages, "trioroute/app/worker.py", "import chaos\n", True),
    (imports_between_packages, "trioroute/app/supervisor.py", "import consensus.tcp\n", False),
    (imports_between_packages, "tests/sim/test_world.py", "import chaos.world\n", False),
    (consensus_tests_importing_trioroute, "tests/consensus/test_x.py", "import trioroute\n", True),
    (imports_past_a_gate, "trioroute/proxy/server.py", "import httptools\n", True),
    (
        imports_past_a_gate,
        "trioroute/discovery/local.py",
        "def f():\n    import kubernetes\n",
        True,
    ),
    (imports_past_a_gate, "trioroute/discovery/kube/api.py", "import kubernetes.client\n", False),
    (imports_past_a_gate, "trioroute/admin/views.py", "from hypercorn.trio import serve\n", True),
    (impure_imports, "trioroute/core/slots.py", "from time import monotonic\n", True),
    (impure_imports, "trioroute/wire/fast.py", "import os.path\n", True),
    (impure_imports, "trioroute/net/pool.py", "import socket\n", False),
    (unlisted_libraries, "trioroute/core/slots.py", "import msgspec\n", True),
    (unlisted_libraries, "trioroute/wire/frames.py", "import msgspec\n", False),
)


@pytest.mark.parametrize(("rule", "path", "text", "is_offence"), PLANTED)
def test_each_rule_tells_an_offence_from_a_good_import(
    rule: Rule, path: str, text: str, is_offence: bool, tmp_path: Path
) -> None:
    found = list(rule(plant(tmp_path, {path: f'"""Planted."""\n{text}'})))
    assert bool(found) is is_offence
    assert all(str(offence).startswith(f"{path}:") for offence in found)
