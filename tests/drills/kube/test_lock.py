"""One drill at a time, and whoever was killed on the way does not block the others for ever."""

import pytest

from tests.k8s.running import RunningCluster
from trioroute.cli.kube.access import Access
from trioroute.drills.kube.lock import break_lock, lock_drills
from trioroute.drills.world import WorldError


def test_one_drill_at_a_time(cluster: RunningCluster, api: Access) -> None:
    with lock_drills(api):
        assert len(cluster.list("Lease")) == 1
        with pytest.raises(WorldError, match=r"process \d+ drills here since"), lock_drills(api):
            pass
        assert len(cluster.list("Lease")) == 1, "not the other one's to take back"
    assert cluster.list("Lease") == []
    assert not break_lock(api)


def test_an_old_lease_is_nobodys(cluster: RunningCluster, api: Access) -> None:
    spec = {"holderIdentity": "somebody", "acquireTime": "2020-01-01T00:00:00.000000Z"}
    cluster.make("Lease", {"metadata": {"name": "trioroute-drill"}, "spec": spec})
    with lock_drills(api):
        (lease,) = cluster.list("Lease")
        assert lease["spec"]["holderIdentity"] != "somebody"
        assert break_lock(api)
        cluster.make("Lease", {"metadata": {"name": "trioroute-drill"}, "spec": spec})
    assert len(cluster.list("Lease")) == 1, "whose it is now, it stays"


def test_no_right_is_said(cluster: RunningCluster, api: Access) -> None:
    cluster.inner.server.faults.throttle("POST")
    with pytest.raises(WorldError, match="cannot make a Lease"), lock_drills(api):
        pass
