"""Every kind of fault that a cluster has can be done."""

from chaos.pods.kinds import POD_KINDS
from chaos.pods.ways import WAYS


def test_every_kind_has_a_way_and_every_way_a_kind() -> None:
    assert WAYS.keys() == {kind.name for kind in POD_KINDS}
