"""Words: a sentence above every module, the glossary's names, units last, documented API."""

import ast
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.house.tree import Module, Offence, Rule, expect_none, plant, real_modules

BANNED_MODULES: Final = frozenset(
    {
        "base",
        "common",
        "handler",
        "handlers",
        "helper",
        "helpers",
        "manager",
        "misc",
        "util",
        "utils",
    }
)


@attrs.frozen
class Word:
    """A word the glossary replaces, where that can be told from a harmless use of it.

    Attributes:
        prose: also looked for in comments and docstrings, not only in names that we define.
        except_in: files where the word is a foreign library's or standard's own.
    """

    banned: str
    use: str
    prose: bool = False
    except_in: tuple[str, ...] = ()


#: Only words that can be checked without false alarms; the glossary in README.md has them all.
GLOSSARY: Final = (
    Word("frontend", "front-end (front_end in names)", prose=True),
    Word("frontends", "front-ends (front_ends in names)", prose=True),
    Word("backend", "replica, or the library's own word for its module", prose=True),
    Word("backends", "replicas", prose=True),
    Word(
        "node",
        "front-end, member or replica",
        # YAML, Kubernetes and RFC 7239's Forwarded field have nodes of their own.
        except_in=(
            "trioroute/spec/*",
            "trioroute/core/headers*",
            "trioroute/discovery/kube/*",
            "trioroute/cli/kube*",
        ),
    ),
    Word("nodes", "front-ends, members or replicas", except_in=("trioroute/spec/*",)),
    Word("permit", "slot or grant"),
    Word("permits", "slots or grants"),
    Word("ticket", "grant"),
    Word("throttle", "shed or admission", prose=True),
    Word("throttling", "shedding or admission", prose=True),
    Word("master", "coordinator"),
    Word("slave", "replica or member"),
    Word("downstream", "client", prose=True),
    Word("transaction", "exchange"),
    Word("ipc", "hand-down"),
    Word("term", "epoch"),
    Word("leader", "coordinator, or member.office for who holds it"),
    Word("cfg", "config"),
    Word("mgr", "what it does"),
    Word("req", "request"),
    Word("resp", "answer or response"),
    Word("cnt", "count"),
    Word("idx", "index"),
    Word("svc", "endpoint"),
)

#: Last words that hide a unit or spell it differently.
UNIT_WORDS: Final = {
    "sec": "_s",
    "secs": "_s",
    "seconds": "_s",
    "millis": "_ms",
    "msec": "_ms",
    "len": "_bytes or _count",
    "num": "_count",
}

#: Azure's spellings, and trio.abc's parameter, which begin with the bound.
FOREIGN_BOUNDS: Final = frozenset(
    {
        "max_bytes",
        "max_concurrent_requests_per_instance",
        "max_instances",
        "max_queue_wait_ms",
        "min_instances",
    }
)

#: A bound of nothing but a quantity has no name to put first: `max_s`.
BARE_UNITS: Final = frozenset({"", "bytes", "count", "s"})

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def definitions(module: Module) -> Iterator[tuple[int, str]]:
    """Line and name of everything a module names: functions, classes, parameters, variables."""
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def prose(module: Module) -> Iterator[tuple[int, str]]:
    """Line and text of every comment, and every line of every docstring."""
    yield from module.comments.items()
    for node in module.nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text is not None:
                start = node.body[0].lineno
                yield from enumerate(text.splitlines(), start)


def words(name: str) -> list[str]:
    """The words of an identifier, in lower case: `maxFrontEnds_s` is max, front, ends, s."""
    return [word.lower() for word in _WORDS.findall(name)]


def modules_without_purpose(modules: Iterable[Module]) -> Iterator[Offence]:
    """Every module begins with a sentence: what it is for."""
    for module in modules:
        first = (ast.get_docstring(module.tree) or "").split("\n\n")[0].strip()
        if not first.endswith((".", "?", ":")) or len(first) < 10:
            yield module.offence(
                1, "no docstring whose first paragraph is a sentence", "Say what the module is for"
            )


def banned_module_names(modules: Iterable[Module]) -> Iterator[Offence]:
    """A module is named after its concept."""
    for module in modules:
        if module.path.stem.removeprefix("test_") in BANNED_MODULES:
            yield module.offence(
                1, f"`{module.path.stem}` names no concept", "Name it after the one thing it does"
            )


def words_outside_the_glossary(modules: Iterable[Module]) -> Iterator[Offence]:
    """One word, one meaning: in what trioroute names, and for some words in what it says."""
    table = {word.banned: word for word in GLOSSARY}
    for module in modules:
        if module.package != "trioroute":
            continue
        here = {
            banned: word
            for banned, word in table.items()
            if not any(fnmatch(str(module.path), pattern) for pattern in word.except_in)
        }
        named = [(line, words(name)) for line, name in definitions(module)]
        # `raft_term` says whose word it is.
        said = [(line, word) for line, parts in named for word in parts if "raft" not in parts]
        said += [
            (line, word)
            for line, text in prose(module)
            for word in re.findall(r"[a-z]+", text.lower())
            if word in here and here[word].prose
        ]
        for line, word in said:
            if word in here and not module.is_excused(line):
                yield module.offence(line, f"says `{word}`", f"The glossary says {here[word].use}")


def units_spelled_otherwise(modules: Iterable[Module]) -> Iterator[Offence]:
    """Units last and short: `_s`, `_bytes`, `_count`."""
    for module in modules:
        if module.package not in {"trioroute", "consensus", "chaos"}:
            continue
        for line, name in definitions(module):
            parts = words(name)
            if len(parts) > 1 and parts[-1] in UNIT_WORDS and not module.is_excused(line):
                yield module.offence(
                    line, f"`{name}` ends in {parts[-1]}", f"End it in {UNIT_WORDS[parts[-1]]}"
                )


def bounds_first(modules: Iterable[Module]) -> Iterator[Offence]:
    """Bounds last: `queue_depth_max` sorts beside `queue_depth`."""
    for module in modules:
        if module.package not in {"trioroute", "consensus", "chaos"}:
            continue
        for line, name in definitions(module):
            parts = words(name) if not name[:1].isupper() or name.isupper() else []
            is_foreign = name in FOREIGN_BOUNDS or module.is_excused(line)
            rest = "_".join(parts[1:])
            if rest not in BARE_UNITS and parts[0] in {"max", "min"} and not is_foreign:
                yield module.offence(
                    line, f"`{name}` begins with its bound", f"Call it {rest}_{parts[0]}"
                )


def undocumented_api(modules: Iterable[Module]) -> Iterator[Offence]:
    """What a module offers in `__all__` says what it does."""
    for module in modules:
        offered = _offered(module)
        for node in module.tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if node.name in offered and not ast.get_docstring(node):
                yield module.offence(
                    node.lineno, f"{node.name} has no docstring", "Say what, units, raises, source"
                )


def api_without_all(modules: Iterable[Module]) -> Iterator[Offence]:
    """A module that others use lists what they may use."""
    for module in modules:
        if module.package == "tests" or module.room == "demo" or _offered(module):
            continue
        for node in module.tree.body:
            if isinstance(
                node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            ) and not node.name.startswith("_"):
                yield module.offence(node.lineno, f"{node.name} is public", "List it in __all__")
                break


def _offered(module: Module) -> set[str]:
    for node in module.tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if value is not None and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in targets
        ):
            return set(ast.literal_eval(value))
    return set()


RULES: Final = (
    modules_without_purpose,
    banned_module_names,
    words_outside_the_glossary,
    units_spelled_otherwise,
    bounds_first,
    undocumented_api,
    api_without_all,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_words_are_the_glossarys(rule: Rule) -> None:
    expect_none(rule(real_modules()))


X: Final = "trioroute/core/x.py"
EXCUSE: Final = "# house: the standard's own word\n"
DOCSTRING: Final = '"""Planted for a rule."""\n'

PLANTED: Final = (
    (modules_without_purpose, X, "x = 1\n", True),
    (modules_without_purpose, X, '"""no sentence"""\n', True),
    (modules_without_purpose, X, DOCSTRING, False),
    (banned_module_names, "trioroute/core/utils.py", DOCSTRING, True),
    (banned_module_names, "tests/core/test_helpers.py", DOCSTRING, True),
    (banned_module_names, X, DOCSTRING, False),
    (words_outside_the_glossary, X, "backend_port = 1\n", True),
    (words_outside_the_glossary, X, "class FrontendName: ...\n", True),
    (words_outside_the_glossary, X, "# asks the backend\n", True),
    (words_outside_the_glossary, X, '"""Waits for\n\nthe frontend."""\n', True),
    (words_outside_the_glossary, X, "def f(req): ...\n", True),
    (words_outside_the_glossary, X, "self.term = 1\n", True),
    (words_outside_the_glossary, X, "RAFT_TERM = 1\n", False),
    (words_outside_the_glossary, X, EXCUSE + "backend = 1\n", False),
    (words_outside_the_glossary, X, "# RFC 9112 permits it\nx = ssl.backend\n", False),
    (words_outside_the_glossary, X, "def on_sigterm(): ...\ndetermine = 1\n", False),
    (words_outside_the_glossary, "trioroute/spec/load.py", "def line_of(node): ...\n", False),
    (words_outside_the_glossary, "consensus/raft.py", "leader = term = node = 1\n", False),
    (units_spelled_otherwise, X, "drain_timeout_seconds = 1\n", True),
    (units_spelled_otherwise, X, "drain_timeout_s = 1\n", False),
    (units_spelled_otherwise, X, "seconds = 1\n", False),
    (bounds_first, X, "max_queue_depth = 1\n", True),
    (bounds_first, X, "MAX_FRAME_BYTES = 1\n", True),
    (bounds_first, X, "class MaxWindow: ...\n", False),
    (bounds_first, X, "queue_depth_max = max_queue_wait_ms = max_s = 1\n", False),
    (undocumented_api, X, '__all__ = ["f"]\ndef f(): ...\n', True),
    (undocumented_api, X, '__all__ = ["f"]\ndef f():\n    """Answer."""\n', False),
    (api_without_all, X, "def f(): ...\n", True),
    (api_without_all, X, '__all__ = ["f"]\ndef f(): ...\n', False),
    (api_without_all, X, "def _f(): ...\n", False),
)


@pytest.mark.parametrize(("rule", "path", "text", "is_offence"), PLANTED)
def test_each_rule_tells_a_wrong_word_from_a_right_one(
    rule: Rule, path: str, text: str, is_offence: bool, tmp_path: Path
) -> None:
    found = list(rule(plant(tmp_path, {path: text})))
    assert bool(found) is is_offence
    assert all(str(offence).startswith(f"{path}:") for offence in found)


def test_an_offence_in_a_docstring_is_reported_at_its_own_line(tmp_path: Path) -> None:
    modules = plant(tmp_path, {X: '"""Waits.\n\nAsks the backend.\n"""\n'})
    assert [offence.line for offence in words_outside_the_glossary(modules)] == [3]
