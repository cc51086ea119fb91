"""Which front-ends of a data folder vote is settled when its group is first made.

Who votes cannot be changed by starting another number of front-ends: one that voted alone commits
what the other two never saw, and those two, together again, would elect one of themselves.
"""

from pathlib import Path
from typing import Final

import msgspec

from trioroute.app.data_folder import write_private
from trioroute.app.settings import voter_count
from trioroute.errors import ConfigError

__all__ = ["choose_front_ends", "find_voters", "remember_front_ends"]

#: In the data folder.
_FILE: Final = "group.json"

#: How many front-ends there are where nobody says.
_DEFAULT: Final = 3


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many vote for as long as the group exists, and how many ran last."""

    voters: int
    front_ends: int


def choose_front_ends(data: Path, wanted: int | None) -> int:
    """How many front-ends are to run.

    Args:
        data: the data folder, locked.
        wanted: what the user asks for; None takes as many as ran here last, else three.

    Raises:
        ConfigError: others vote with that number than in the group whose journals are here.
    """
    group = _find_group(data)
    if group is None:
        return wanted or _DEFAULT
    if wanted is None:
        return group.front_ends
    if voter_count(wanted) != group.voters:
        raise ConfigError(_refusal(data, group, wanted))
    return wanted


def find_voters(data: Path) -> int | None:
    """How many front-ends vote in the group whose journals are here; None where there is none.

    Raises:
        ConfigError: the folder's own word on it cannot be read.
    """
    group = _find_group(data)
    return None if group is None else group.voters


def remember_front_ends(data: Path, count: int) -> None:
    """Keep the number durably; before the first of them starts.

    Raises:
        ConfigError: it cannot be written.
    """
    path = data / _FILE
    text = msgspec.json.encode(_Group(voter_count(count), count)) + b"\n"
    try:
        if not path.exists() or path.read_bytes() != text:
            write_private(path, text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def _find_group(data: Path) -> _Group | None:
    """The group whose journals stand here; of an earlier version they tell all there is to know."""
    numbers = [
        int(number)
        for journal in data.glob("fe-*/journal")
        if (number := journal.parent.name.removeprefix("fe-")).isdecimal()
    ]
    if not numbers:
        return None
    path = data / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Group)
    except FileNotFoundError:
        count = max(numbers) + 1
        return _Group(voter_count(count), count)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}, which says how many front-ends vote here, cannot be used: {error}. Restore "
            'it, such as {"voters":3,"front_ends":3}, or choose another folder with --data DIR'
        ) from None


def _refusal(data: Path, group: _Group, wanted: int) -> str:
    fitting = "1 or 2" if group.voters == 1 else f"{group.voters} or more"
    vote = "votes" if group.voters == 1 else "vote"
    return (
        f"--front-ends {wanted}: data folder {data} was made with {group.front_ends}, of which "
        f"{group.voters} {vote}, and who votes cannot be changed: what was agreed on could be "
        f"lost. Go on with --front-ends {group.front_ends} (here {fitting}), or choose another "
        "folder with --data DIR. To take everything there: `trioroute export --with-keys -f "
        f"all.yml --data {data}` while it runs with {group.front_ends}; then `trioroute up "
        f"--front-ends {wanted} --data DIR` and `trioroute import all.yml --data DIR`"
    )
