"""README's map of the repository equals the tree, and its commands and links exist."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from tests.house.tree import ROOT, Offence, expect_none, project_files

README: Final = PurePosixPath("README.md")
HEADING: Final = "## Map of the repository"

#: The folders whose every entry the map names; of all others it names at most some.
MAPPED: Final = frozenset({".", "trioroute", "tests"})

#: Not worth a line: the package's marker files, and what tools read in silence.
UNMAPPED: Final = frozenset({"__init__.py", "conftest.py", "py.typed", ".gitignore"})

_ENTRY: Final = re.compile(r"^(?P<indent> *)(?P<name>[^\s/]+(?P<slash>/)?)(?:\s+(?P<says>.*))?$")
_LINK: Final = re.compile(r"\]\((?!https?://|#|mailto:)(?P<target>[^)#\s]+)")
_MAKE: Final = re.compile(r"\bmake ([a-z-]+)")


def map_entries(text: str) -> Iterator[tuple[int, PurePosixPath, str]]:
    """Line, path and sentence of every entry of the map: two spaces of indent per folder."""
    lines = text.splitlines()
    start = lines.index(HEADING) if HEADING in lines else len(lines)
    fences = [number for number, line in enumerate(lines) if number > start and line[:3] == "```"]
    folders: list[str] = []
    for number in range(fences[0] + 1, fences[1]) if len(fences) > 1 else ():
        found = _ENTRY.match(lines[number])
        if not found:
            continue
        depth = len(found["indent"]) // 2
        folders = [*folders[:depth], found["name"].rstrip("/")]
        yield number + 1, PurePosixPath(*folders), found["says"] or ""


def map_offences(text: str, files: Iterable[PurePosixPath]) -> Iterator[Offence]:
    """The map names what exists, names all of it, and says what each is for."""
    parents = {file: file.parents for file in files}
    existing = set(parents) | {parent for above in parents.values() for parent in above}
    mapped = {path: (line, says) for line, path, says in map_entries(text)}
    if not mapped:
        yield Offence(README, 1, "has no map", f"Draw the tree in a code block under `{HEADING}`")
    for path, (line, says) in mapped.items():
        if path not in existing:
            yield Offence(README, line, f"maps {path}, which is not there", "Remove the line")
        if not says:
            yield Offence(README, line, f"does not say what {path} is for", "Add a few words")
    for path in existing - mapped.keys():
        is_plain = path.name in UNMAPPED or path.match("tests/test_*.py")
        if str(path) != "." and str(path.parent) in MAPPED and not is_plain:
            yield Offence(README, 1, f"does not map {path}", f"Add it under `{HEADING}`")


def broken_links(text: str, root: Path) -> Iterator[Offence]:
    """Every link to a file of the project leads to one."""
    for number, line in enumerate(text.splitlines(), 1):
        for found in _LINK.finditer(line):
            if not (root / found["target"]).exists():
                yield Offence(README, number, f"links to {found['target']}", "It is not there")


def unknown_targets(text: str, makefile: str) -> Iterator[Offence]:
    """Every `make x` is a target."""
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for number, line in enumerate(text.splitlines(), 1):
        for target in _MAKE.findall(" ".join(re.findall(r"`[^`]*`|^(?:\$ )?make .*", line))):
            if target not in targets:
                yield Offence(
                    README, number, f"says `make {target}`", "The Makefile has no such target"
                )


def test_the_map_is_the_tree() -> None:
    expect_none(map_offences((ROOT / README).read_text(encoding="utf-8"), project_files()))


def test_the_links_lead_somewhere() -> None:
    expect_none(broken_links((ROOT / README).read_text(encoding="utf-8"), ROOT))


def test_the_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    expect_none(unknown_targets((ROOT / README).read_text(encoding="utf-8"), makefile))


PLANTED_FILES: Final = [PurePosixPath(name) for name in ("README.md", "trioroute/core/slots.py")]
PLANTED_MAP: Final = f"""{HEADING}
```
README.md      this
trioroute/     the product
  core/        decisions
```
"""


def test_a_true_map_has_no_offence() -> None:
    assert not list(map_offences(PLANTED_MAP, PLANTED_FILES))


def test_a_folder_that_is_not_mapped_is_an_offence() -> None:
    files = [*PLANTED_FILES, PurePosixPath("trioroute/cellar/x.py")]
    assert [o.what for o in map_offences(PLANTED_MAP, files)] == ["does not map trioroute/cellar"]


def test_a_mapped_folder_that_is_gone_is_an_offence() -> None:
    found = list(map_offences(PLANTED_MAP, PLANTED_FILES[:1]))
    assert {(o.line, o.what) for o in found} == {
        (4, "maps trioroute, which is not there"),
        (5, "maps trioroute/core, which is not there"),
    }


def test_an_entry_without_words_is_an_offence() -> None:
    text = PLANTED_MAP.replace("decisions", "")
    assert [offence.line for offence in map_offences(text, PLANTED_FILES)] == [5]


def test_a_readme_without_a_map_is_an_offence() -> None:
    assert "has no map" in {offence.what for offence in map_offences("# x\n", PLANTED_FILES)}


def test_a_broken_link_is_an_offence(tmp_path: Path) -> None:
    (tmp_path / "here.md").touch()
    text = "[a](here.md) [b](https://example.org/x) [c](#map)\n[d](gone.md#part)\n"
    assert [offence.line for offence in broken_links(text, tmp_path)] == [2]


def test_a_command_that_is_no_target_is_an_offence() -> None:
    text = "you make a request\nrun `make demo`\n$ make fly  # now\n"
    assert [offence.line for offence in unknown_targets(text, "demo: x\n")] == [3]
