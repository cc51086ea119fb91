"""No tracked file names the machine it was written on or where packages came from."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from tests.house.tree import ROOT, Offence, expect_none, project_files

#: Homes of people, on any machine.
_HOMES: Final = re.compile(r"/(?:home|Users)" r"/[A-Za-z][\w.-]*/")

#: A lock file or script that names a registry works only where that registry is reached.
_REGISTRIES: Final = re.compile(
    r"pypi[.]org|python" r"hosted[.]org|registry[.]npmjs[.]org|(?:deb|security)[.]debian[.]org"
)

_BINARY: Final = frozenset({".gif", ".gz", ".ico", ".joblib", ".png", ".whl", ".woff2", ".zip"})


def places_of(root: Path) -> re.Pattern[str]:
    """Where this copy of the project stands, what is shared with it, and its user's home."""
    places = {str(root), str(root.parent / "shared"), str(Path.home())} - {"/", "/shared", "/app"}
    return re.compile(
        "|".join(f"(?<![\\w.]){re.escape(place)}(?![\\w-])" for place in sorted(places))
    )


def machine_offences(root: Path, files: Iterable[PurePosixPath]) -> Iterator[Offence]:
    """Lines that hold only on one machine."""
    places = places_of(root)
    for path in files:
        if path.suffix in _BINARY:
            continue
        text = (root / path).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if places.search(line) or _HOMES.search(line):
                yield Offence(path, number, "names a folder of one machine", "Make it relative")
            if _REGISTRIES.search(line):
                yield Offence(path, number, "names a package registry", "Name the package only")


def test_nothing_names_this_machine() -> None:
    expect_none(machine_offences(ROOT, project_files()))


def test_each_kind_of_place_is_an_offence(tmp_path: Path) -> None:
    lines = [
        f"cd {tmp_path}",
        f"open('{tmp_path.parent}/shared/x')",
        f"{Path.home()}/x",
        "/ho|me/ada/x".replace("|", ""),
        "/Us|ers/ada/x".replace("|", ""),
        "https://files.pythonho|sted.org/packages".replace("|", ""),
        "a relative/path, /tmp/x and /home of the brave",
        f"{tmp_path}-elsewhere",
    ]
    (tmp_path / "x.md").write_text("\n".join(lines), encoding="utf-8")
    found = machine_offences(tmp_path, [PurePosixPath("x.md")])
    assert [offence.line for offence in found] == [1, 2, 3, 4, 5, 6]
