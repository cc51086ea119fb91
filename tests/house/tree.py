"""Reads the project's files into values that the house rules judge, and formats what they find."""

import ast
import functools
import io
import re
import subprocess
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import attrs

__all__ = [
    "CODE_FOLDERS",
    "ROOT",
    "Module",
    "Offence",
    "Rule",
    "expect_none",
    "plant",
    "project_files",
    "real_modules",
]

ROOT: Final = Path(__file__).resolve().parents[2]

#: Every folder with Python of ours.
CODE_FOLDERS: Final = ("trioroute", "consensus", "chaos", "tests")

#: An exception to a rule says why, in words: `# house: one table, which reads better whole`.
_EXCUSE: Final = re.compile(r"#\s*house:\s*(?P<reason>\S.{9,})")


@attrs.frozen
class Offence:
    """One broken rule at one place, and what to do about it."""

    path: PurePosixPath
    line: int
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}. {self.fix}"


@attrs.frozen(kw_only=True)
class Module:
    """One Python file, parsed once.

    Attributes:
        path: relative to the project's root, with forward slashes.
    """

    path: PurePosixPath
    text: str
    tree: ast.Module

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every part of the syntax tree; kept, because each rule looks at all of them."""
        return tuple(ast.walk(self.tree))

    @functools.cached_property
    def comments(self) -> dict[int, str]:
        """Line number to the comment on that line, `#` included."""
        return {
            token.start[0]: token.string
            for token in tokenize.generate_tokens(io.StringIO(self.text).readline)
            if token.type == tokenize.COMMENT
        }

    @property
    def package(self) -> str:
        """The top-level package: `trioroute`, `consensus`, `chaos` or `tests`."""
        return self.path.parts[0]

    @property
    def room(self) -> str:
        """The folder below the package, or the module's own name when it stands in no folder."""
        return self.path.parts[1].removesuffix(".py")

    @property
    def line_count(self) -> int:
        """Lines of the file, as an editor counts them."""
        return len(self.text.splitlines())

    def offence(self, line: int, what: str, fix: str) -> Offence:
        """An offence of this file."""
        return Offence(self.path, line, what, fix)

    def is_excused(self, first: int, last: int | None = None) -> bool:
        """Whether a `# house: reason` stands on these lines or on the line above them."""
        lines = range(first - 1, (last or first) + 1)
        return any(_EXCUSE.search(self.comments.get(line, "")) for line in lines)

    def is_excused_whole(self) -> bool:
        """Whether a `# house: reason` stands between the docstring and the first statement."""
        body = self.tree.body
        start = body[0].end_lineno or 1 if body else 1
        end = body[1].lineno if len(body) > 1 else self.line_count + 1
        return any(_EXCUSE.search(self.comments.get(line, "")) for line in range(start, end))


#: What a rule is: modules in, offences out.
Rule = Callable[[Iterable[Module]], Iterator[Offence]]


def expect_none(offences: Iterable[Offence]) -> None:
    """Fail with one line per offence."""
    found = sorted(map(str, offences))
    assert not found, "\n" + "\n".join(found)


def real_modules(*packages: str) -> list[Module]:
    """The project's own modules of these packages (all of them when none is named)."""
    wanted = packages or CODE_FOLDERS
    return [module for module in _all_modules() if module.package in wanted]


def plant(root: Path, files: dict[str, str]) -> list[Module]:
    """Write a small tree below `root` and read it as the real one is read."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(_read_modules(root, [PurePosixPath(name) for name in files]))


@functools.cache
def project_files(root: Path = ROOT) -> tuple[PurePosixPath, ...]:
    """Every file that belongs to the project: what git tracks or would track, and that exists.

    Without git (an unpacked source archive) every file outside hidden and cache folders.
    """
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split("\0")
    else:
        listed = [
            str(path.relative_to(root))
            for path in root.rglob("*")
            if not any(
                part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts[:-1]
            )
        ]
    return tuple(PurePosixPath(name) for name in sorted(listed) if name and (root / name).is_file())


@functools.cache
def _all_modules() -> Sequence[Module]:
    code = [
        path
        for path in project_files()
        if path.suffix == ".py" and len(path.parts) > 1 and path.parts[0] in CODE_FOLDERS
    ]
    return tuple(_read_modules(ROOT, code))


def _read_modules(root: Path, paths: Iterable[PurePosixPath]) -> Iterator[Module]:
    for path in paths:
        if path.suffix != ".py":
            continue
        text = (root / path).read_text(encoding="utf-8")
        yield Module(path=path, text=text, tree=ast.parse(text, filename=str(path)))
