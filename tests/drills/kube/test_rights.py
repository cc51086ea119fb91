"""Rights are asked for beforehand, in the words of `kubectl auth can-i`."""

import pytest

from tests.k8s.cluster import NAMESPACE
from tests.k8s.running import RunningCluster
from trioroute.cli.kube.access import Access
from trioroute.drills.catalogue import Deed
from trioroute.drills.kube.rights import ALWAYS, Right, missing, rights_for
from trioroute.drills.world import WorldError


def test_what_is_lacking_is_named(api: Access, poor_api: Access) -> None:
    wanted = (*ALWAYS, *rights_for(Deed.CUT), *rights_for(Deed.KILL))
    assert missing(api, NAMESPACE, wanted) == []
    lacking = [right.words for right in missing(poor_api, NAMESPACE, wanted)]
    # They may look at pods and patch them, and drill nobody.
    assert "list pods" not in lacking
    assert "patch pods" not in lacking
    for words in (
        "delete pods",
        "create pods/portforward",
        "create networkpolicies.networking.k8s.io",
        "create leases.coordination.k8s.io",
    ):
        assert words in lacking


def test_a_cluster_that_does_not_say_is_told(cluster: RunningCluster, api: Access) -> None:
    cluster.inner.server.faults.throttle()
    with pytest.raises(WorldError, match=f"what you may do in {NAMESPACE}"):
        missing(api, NAMESPACE, (Right("get", "pods"),))
