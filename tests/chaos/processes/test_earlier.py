"""The tree of the earlier version is of version 1, and a stranger to what is newer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.faults import Need
from chaos.processes.capabilities import is_possible
from chaos.processes.earlier import EARLIER, make_earlier_tree
from trioroute.core.slots import messages as m
from trioroute.wire.slotlink import encode_batch

#: Of each side, a message that it knows and one that it does not.
_SCRIPT = """
import sys
from trioroute.core.slots.messages import VERSION
from trioroute.errors import TrioRouteError
from trioroute.wire.slotlink import coordinator_decoder, holder_decoder

def takes(decoder, frame):
    try:
        return len(decoder().feed(bytes.fromhex(frame)))
    except (TrioRouteError, AssertionError):
        return 0

known, stock, mode, recall = sys.argv[1:]
print(VERSION, takes(holder_decoder, known), takes(holder_decoder, stock))
print(takes(coordinator_decoder, mode), takes(coordinator_decoder, recall))
"""


@pytest.mark.skipif(not is_possible(Need.PATCH), reason=f"needs {Need.PATCH.value}")
def test_it_fits_todays_tree_and_takes_away_what_version_2_added(tmp_path: Path) -> None:
    folder = tmp_path / "earlier"
    make_earlier_tree(folder)
    assert EARLIER in (folder / "trioroute/app/view.py").read_text()
    said = (
        m.Cancel(number=1),
        m.Stock(deployment="e/d", idle=1),
        m.Mode(deployment="e/d", contended=True),
        m.Recall(deployment="e/d", keep=0, most=1),
    )
    frames = [encode_batch([message]).hex() for message in said]
    for path, expected in ((folder, "1 1 0\n1 0\n"), (Path.cwd(), "2 1 1\n1 1\n")):
        done = subprocess.run(
            [sys.executable, "-P", "-c", _SCRIPT, *frames],
            env={**os.environ, "PYTHONPATH": str(path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == expected, done.stderr
