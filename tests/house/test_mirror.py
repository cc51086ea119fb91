"""The tests mirror the tree: who changes `trioroute/x/y.py` finds `tests/x/test_y.py`."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

from tests.house.tree import Module, Offence, Rule, expect_none, plant, real_modules

#: Modules without a test file of their own, and why that is right. Modules in which nothing runs
#: (Protocols, constants, exceptions, values without methods) need no entry.
WITHOUT_TESTS: Final = {
    "trioroute/errors.py": "class attributes and one constructor; every answer under test has them",
    "trioroute/core/model.py": "frozen values; nothing in them decides",
}

#: Folders of `tests` that mirror nothing: they test how rooms work together, or the house itself.
BESIDE: Final = frozenset({"bench", "conformance", "e2e", "fuzz", "house", "sim"})


def modules_without_tests(modules: Iterable[Module]) -> Iterator[Offence]:
    """Every module has a test file with at least one test in it."""
    modules = list(modules)
    tested = {module.path: module for module in modules if module.package == "tests"}
    for module in modules:
        if not _is_mirrored(module):
            continue
        mirror = mirror_of(module.path)
        test = tested.get(mirror)
        if test is None:
            yield module.offence(1, "has no tests", f"Write {mirror}")
        elif not any(_is_test(node) for node in test.nodes):
            yield test.offence(1, "has no test in it", f"Test what {module.path} does")


def orphaned_tests(modules: Iterable[Module]) -> Iterator[Offence]:
    """Every test file names a module: `test_slots.py`, or `test_slots_<part>.py` for a part."""
    modules = list(modules)
    mirrors = {mirror_of(module.path) for module in modules if module.package != "tests"}
    for module in modules:
        parts = module.path.parts
        if module.package != "tests" or not parts[-1].startswith("test_"):
            continue
        if len(parts) < 3 or parts[1] in BESIDE or module.is_excused_whole():
            continue
        words = module.path.stem.split("_")
        names = {"_".join(words[: count + 1]) + ".py" for count in range(1, len(words))}
        if not any(module.path.with_name(name) in mirrors for name in names):
            yield module.offence(
                1,
                "tests no module of that name",
                "Name it after what it tests, or say `# house: <reason>` under the docstring",
            )


def mirror_of(path: PurePosixPath) -> PurePosixPath:
    """Where the tests of a module stand: `trioroute` itself is left out, other packages are not."""
    below = path.parts[1:] if path.parts[0] == "trioroute" else path.parts
    return PurePosixPath("tests", *below[:-1], f"test_{below[-1]}")


def _is_mirrored(module: Module) -> bool:
    # chaos is there for tests/sim and tests/e2e, which run it.
    if module.package in {"chaos", "tests"} or module.path.name in {"__init__.py", "__main__.py"}:
        return False
    if not any(_runs(node) for node in module.nodes):
        return False
    # The demo's folders hold what a user would write; the end-to-end tests run it whole.
    return module.room != "demo" and str(module.path) not in WITHOUT_TESTS


def _runs(node: ast.AST) -> bool:
    """Whether this is a function that does something: more than a docstring, `...` or `pass`."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return not all(
        isinstance(item, ast.Pass)
        or (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
        for item in node.body
    )


def _is_test(node: ast.AST) -> bool:
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return is_function and getattr(node, "name", "").startswith("test_")


RULES: Final = (modules_without_tests, orphaned_tests)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tests_mirror_the_tree(rule: Rule) -> None:
    expect_none(rule(real_modules()))


def test_the_list_of_exceptions_names_existing_modules_only() -> None:
    assert WITHOUT_TESTS.keys() <= {str(module.path) for module in real_modules()}


A_TEST: Final = "def test_it(): ...\n"
EXCUSE: Final = '"""Planted."""\n\n# house: cases that several modules answer\n\n'
CODE: Final = "def f():\n    return 1\n"
PROTOCOL: Final = 'class P:\n    def f(self):\n        """Answer."""\n    def g(self): ...\n'

PLANTED: Final = (
    (modules_without_tests, {"trioroute/core/x.py": CODE}, True),
    (modules_without_tests, {"trioroute/core/x.py": CODE, "tests/core/test_x.py": "x = 1\n"}, True),
    (modules_without_tests, {"trioroute/core/x.py": CODE, "tests/core/test_x.py": A_TEST}, False),
    (modules_without_tests, {"trioroute/core/x.py": PROTOCOL}, False),
    (modules_without_tests, {"consensus/x.py": CODE, "tests/test_x.py": A_TEST}, True),
    (modules_without_tests, {"consensus/x.py": CODE, "tests/consensus/test_x.py": A_TEST}, False),
    (modules_without_tests, {"trioroute/core/__init__.py": CODE}, False),
    (orphaned_tests, {"tests/core/test_gone.py": A_TEST}, True),
    (orphaned_tests, {"trioroute/core/x.py": "", "tests/core/test_x_speed.py": A_TEST}, False),
    (orphaned_tests, {"tests/core/test_gone.py": f"{EXCUSE}{A_TEST}"}, False),
    (orphaned_tests, {"tests/e2e/test_failover.py": A_TEST}, False),
)


@pytest.mark.parametrize(("rule", "files", "is_offence"), PLANTED)
def test_each_rule_tells_a_missing_mirror(
    rule: Rule, files: dict[str, str], is_offence: bool, tmp_path: Path
) -> None:
    assert bool(list(rule(plant(tmp_path, files)))) is is_offence
