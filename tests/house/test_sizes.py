"""Sizes: how long a module or function, how wide a signature, how full a folder or class may be."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.house.tree import Module, Offence, Rule, expect_none, plant, real_modules

#: The walls; the aims are 150 lines a module and 15 a function.
MODULE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 70
#: Positional-or-keyword, without self; from the sixth on a call is unreadable without names.
PARAMETERS_MAX: Final = 5
FOLDER_MODULES_MAX: Final = 13
PUBLIC_METHODS_MAX: Final = 10
#: Branches and loops inside one another. `with` does not count: a scope adds no path.
NESTING_MAX: Final = 3

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_OWN_SCOPE: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_NESTING: Final = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.Match)


def functions(module: Module) -> Iterator[_Function]:
    """Every function and method of a module, nested ones too."""
    for node in module.nodes:
        if isinstance(node, _Function):
            yield node


def head_is_excused(module: Module, node: _Function | ast.ClassDef) -> bool:
    """Whether the reason stands on the line above, in the signature, or above the body."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return module.is_excused(first, node.body[0].lineno)


def long_modules(modules: Iterable[Module]) -> Iterator[Offence]:
    """One concept per module."""
    for module in modules:
        if module.line_count > MODULE_LINES_MAX and not module.is_excused_whole():
            yield module.offence(
                1,
                f"module of {module.line_count} lines, at most {MODULE_LINES_MAX}",
                "Split it by concept, or say `# house: <reason>` under the docstring",
            )


def long_functions(modules: Iterable[Module]) -> Iterator[Offence]:
    """A function fits on a screen."""
    for module in modules:
        for node in functions(module):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX and not head_is_excused(module, node):
                yield module.offence(
                    node.lineno,
                    f"{node.name} has {length} lines, at most {FUNCTION_LINES_MAX}",
                    "Keep the branching, move straight parts out, or say `# house: <reason>`",
                )


def wide_signatures(modules: Iterable[Module]) -> Iterator[Offence]:
    """Beyond five, arguments have names at the call. Tests get theirs from pytest, by name."""
    for module in modules:
        for node in functions(module):
            names = [arg.arg for arg in node.args.posonlyargs + node.args.args]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            is_test = module.package == "tests" and node.name.startswith("test_")
            if count > PARAMETERS_MAX and not is_test and not head_is_excused(module, node):
                yield module.offence(
                    node.lineno,
                    f"{node.name} takes {count} positional parameters, at most {PARAMETERS_MAX}",
                    "Make the rest keyword-only with `*`",
                )


def full_folders(modules: Iterable[Module]) -> Iterator[Offence]:
    """A folder is taken in at a glance. Tests mirror their folder and add what they need."""
    folders: dict[tuple[str, ...], list[Module]] = defaultdict(list)
    for module in modules:
        if module.package != "tests":
            folders[module.path.parts[:-1]].append(module)
    for inside in folders.values():
        init = next((module for module in inside if module.path.name == "__init__.py"), None)
        count = len(inside) - (init is not None)
        if count > FOLDER_MODULES_MAX and not (init and init.is_excused_whole()):
            yield (init or inside[0]).offence(
                1,
                f"folder of {count} modules, at most {FOLDER_MODULES_MAX}",
                "Make a room of what belongs together, or say `# house: <reason>` in __init__.py",
            )


def deep_folders(modules: Iterable[Module]) -> Iterator[Offence]:
    """At most two levels below a package. The demo's folders are laid out as a user's are."""
    for module in modules:
        if len(module.path.parts) - 2 > 2 and module.path.parts[1] != "demo":
            yield module.offence(1, "more than two folders below the package", "Move it up")


def broad_classes(modules: Iterable[Module]) -> Iterator[Offence]:
    """A class has one job; properties are its data and do not count."""
    for module in modules:
        for node in module.nodes:
            if not isinstance(node, ast.ClassDef) or module.package == "tests":
                continue
            count = sum(_is_public_method(item) for item in node.body)
            if count > PUBLIC_METHODS_MAX and not head_is_excused(module, node):
                yield module.offence(
                    node.lineno,
                    f"{node.name} has {count} public methods, at most {PUBLIC_METHODS_MAX}",
                    "Split it by its callers, or say `# house: <reason>`",
                )


def deep_nesting(modules: Iterable[Module]) -> Iterator[Offence]:
    """Branches and loops at most three deep; an `elif` is no deeper than its `if`."""
    for module in modules:
        for node in functions(module):
            deepest = max(_branches(node.body, 0), key=lambda found: found[0], default=(0, 0))
            if deepest[0] > NESTING_MAX and not (
                head_is_excused(module, node) or module.is_excused(deepest[1])
            ):
                yield module.offence(
                    deepest[1],
                    f"{node.name} nests {deepest[0]} deep, at most {NESTING_MAX}",
                    "Return early or move the inner part out, or say `# house: <reason>`",
                )


def _is_public_method(item: ast.stmt) -> bool:
    if not isinstance(item, _Function) or item.name.startswith("_"):
        return False
    return not any("property" in ast.unparse(decorator) for decorator in item.decorator_list)


def _branches(body: Iterable[ast.AST], depth: int) -> Iterator[tuple[int, int]]:
    """Depth and line of every branch or loop below these statements, nested functions aside."""
    for node in body:
        if isinstance(node, _OWN_SCOPE):
            continue
        inner = depth + isinstance(node, _NESTING)
        if inner > depth:
            yield inner, node.lineno  # type: ignore[attr-defined] # every statement has one
        children: list[ast.AST] = list(ast.iter_child_nodes(node))
        if (
            isinstance(node, ast.If)
            and len(node.orelse) == 1
            and isinstance(node.orelse[0], ast.If)
        ):
            children.remove(node.orelse[0])
            yield from _branches(node.orelse, depth)
        yield from _branches(children, inner)


RULES: Final = (
    long_modules,
    long_functions,
    wide_signatures,
    full_folders,
    deep_folders,
    broad_classes,
    deep_nesting,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_nothing_is_too_big(rule: Rule) -> None:
    expect_none(rule(real_modules()))


EXCUSE: Final = "# house: planted with a reason\n"
LONG_FUNCTION: Final = "def f():\n" + "    x = 1\n" * 70
WIDE: Final = "def f(a, b, c, d, e, g):\n    pass\n"
BROAD: Final = "class C:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(11))
DEEP: Final = (
    "def f():\n"
    "    for a in b:\n"
    "        if a:\n"
    "            while a:\n"
    "                if c:\n"
    "                    pass\n"
)
ELIFS: Final = "def f():\n    if a:\n        pass\n" + "    elif b:\n        pass\n" * 5

PLANTED: Final = (
    (long_modules, "x = 1\n" * 500, True),
    (long_modules, EXCUSE + "x = 1\n" * 500, False),
    (long_modules, "x = 1\n" * 499, False),
    (long_functions, LONG_FUNCTION, True),
    (long_functions, EXCUSE + LONG_FUNCTION, False),
    (long_functions, "def f():\n" + "    x = 1\n" * 69, False),
    (wide_signatures, WIDE, True),
    (wide_signatures, EXCUSE + WIDE, False),
    (wide_signatures, "def f(self, a, b, c, d, e, *, g, h):\n    pass\n", False),
    (broad_classes, BROAD, True),
    (broad_classes, EXCUSE + BROAD, False),
    (broad_classes, BROAD.replace("    def m0", "    @property\n    def m0"), False),
    (deep_nesting, DEEP, True),
    (deep_nesting, EXCUSE + DEEP, False),
    (deep_nesting, DEEP.replace("while a:", "with a:"), False),
    (deep_nesting, ELIFS, False),
)


@pytest.mark.parametrize(("rule", "text", "is_offence"), PLANTED)
def test_each_rule_tells_too_big_from_big_enough(
    rule: Rule, text: str, is_offence: bool, tmp_path: Path
) -> None:
    found = list(rule(plant(tmp_path, {"trioroute/core/x.py": f'"""Planted."""\n{text}'})))
    assert bool(found) is is_offence
    assert all(str(offence).startswith("trioroute/core/x.py:") for offence in found)


@pytest.mark.parametrize(("count", "is_offence"), [(13, False), (14, True)])
def test_a_folder_of_fourteen_modules_is_too_full(
    count: int, is_offence: bool, tmp_path: Path
) -> None:
    names = ["__init__", *(f"m{n}" for n in range(count))]
    modules = plant(tmp_path, {f"consensus/{name}.py": '"""Planted."""\n' for name in names})
    assert bool(list(full_folders(modules))) is is_offence


def test_a_folder_with_a_reason_may_be_fuller(tmp_path: Path) -> None:
    files = {f"consensus/m{n}.py": '"""Planted."""\n' for n in range(14)}
    files["consensus/__init__.py"] = '"""Planted."""\n' + EXCUSE
    assert not list(full_folders(plant(tmp_path, files)))


def test_a_third_folder_below_the_package_is_too_deep(tmp_path: Path) -> None:
    modules = plant(tmp_path, {"trioroute/a/b/c/x.py": "", "trioroute/a/b/y.py": ""})
    assert [str(offence.path) for offence in deep_folders(modules)] == ["trioroute/a/b/c/x.py"]
