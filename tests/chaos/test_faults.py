"""The table of faults is whole: unique names, possible times, words that the router really says."""

import inspect
import re

import pytest

from chaos.faults import KINDS, Kind, kind_named
from chaos.lines.kinds import NETWORK_KINDS
from chaos.pods.kinds import POD_KINDS
from chaos.workload.clients import CLIENT_KINDS
from trioroute import errors
from trioroute.errors import TrioRouteError
from trioroute.proxy import connection, state
from trioroute.proxy.attempts import LeaseEndedError


def test_names_are_unique_and_found() -> None:
    assert all(kind_named(kind.name) is kind for kind in (*KINDS, *NETWORK_KINDS, *POD_KINDS))


@pytest.mark.parametrize("kind", [*KINDS, *NETWORK_KINDS, *POD_KINDS], ids=lambda kind: kind.name)
def test_a_kind_makes_sense(kind: Kind) -> None:
    known = [LeaseEndedError, *(getattr(errors, name) for name in errors.__all__)]
    reasons = {error.reason for error in known if issubclass(error, TrioRouteError)}
    # Of requests that were too slow, the reason is said where it is found out.
    for module in (connection, state):
        reasons |= set(re.findall(r'status=408, reason="([a-z-]+)"', inspect.getsource(module)))
    assert kind.reasons <= reasons, "a reason that no answer of the router has"
    assert 0 < kind.hold_s[0] <= kind.hold_s[1]
    assert 1 <= kind.row <= 32, "rows of the table of faults"
    assert kind.brings <= CLIENT_KINDS.keys(), "a kind of client that there is not"
