"""The scenario of front-ends in networks of their own."""

import subprocess
import sys

import pytest

from chaos.faults import Need
from chaos.lines.kinds import NETWORK_KINDS
from chaos.processes.capabilities import is_possible
from chaos.processes.ways import lines, networks
from chaos.scenarios.networks import SCENARIO


def test_every_kind_of_network_fault_is_done_and_none_of_lines_that_are_not_there() -> None:
    kinds = {kind.name for kind in NETWORK_KINDS}
    assert networks.WAYS.keys() == kinds
    assert kinds <= set(SCENARIO.profile.kinds)
    assert not set(SCENARIO.profile.kinds) & lines.WAYS.keys()


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.skipif(not is_possible(Need.NETWORKS), reason=f"needs {Need.NETWORKS.value}")
def test_each_kind_once_breaks_no_promise() -> None:
    # A process of its own: its network is another from then on.
    command = [sys.executable, "-m", "chaos", "networks", "--seed", "1", "--faults", "11"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert "VIOLATION" not in done.stdout
    # A machine that is too busy proves nothing, and says so.
    assert "OK, 0 violations: 11 faults of 11 kinds" in done.stdout or "INVALID" in done.stdout
