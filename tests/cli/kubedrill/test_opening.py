"""`trioroute drill` finds a cluster by its context, and says what it will not do there."""

import pytest

from tests.cli.kube.test_forward import run
from tests.cli.kubedrill.installed import order_for
from tests.drills.kube.installation import install
from tests.drills.kube.test_parting import labels, policies
from tests.k8s.running import RunningCluster
from trioroute.cli.kube.access import open_access
from trioroute.cli.kubedrill.opening import open_world, undo_left
from trioroute.client.saved.settings import find_settings
from trioroute.drills.kube.parting import Parting


def test_undo_removes_whatever_a_drill_has_made(
    cluster: RunningCluster, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    install(cluster)
    settings = find_settings(None, None, environment)
    assert undo_left(settings) == []
    Parting(open_access(settings), order_for(cluster, environment)).inflict()
    cluster.make("Lease", {"metadata": {"name": "trioroute-drill"}, "spec": {}})
    status, out, err = run(capsys, "drill undo")
    assert (status, out.startswith("mended: label")) == (0, True), err
    assert (labels(cluster), policies(cluster), cluster.list("Lease")) == ([], ["trioroute"], [])
    assert "nothing was left" in run(capsys, "drill undo")[1]


def test_the_world_is_the_front_ends_that_run(
    cluster: RunningCluster, environment: dict[str, str]
) -> None:
    cluster.make_front_end("trioroute-0", "http://127.0.0.1:9")
    settings = find_settings(None, None, {**environment, "TRIOROUTE_URL": "http://a:1/"})
    with open_world(settings, print) as (world, client):
        assert list(world.admin_urls) == ["trioroute-0"]
        assert world.held_ports("trioroute-0", 1) is None, "a given address tells nothing"
        assert client.system.scoring_url == "http://a:1"
        assert len(cluster.list("Lease")) == 1
    assert cluster.list("Lease") == []
    with open_world(find_settings(None, None, environment), print) as (world, client):
        assert world.held_ports("trioroute-0", 1) == frozenset()
        assert client.system.scoring_url.startswith("http://127.0.0.1:")


def test_nobody_there_and_an_address_are_said(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "drill coordinator --yes")
    assert (status, "no front-end runs" in err) == (3, True), err
    status, _, err = run(capsys, "drill coordinator --yes --admin http://127.0.0.1:9")
    assert (status, "config set NAME --namespace" in err) == (2, True), err
