"""What exchanges share: one retry budget for each endpoint."""

from tests.proxy.standalone import make_server, snapshot_of


def test_each_endpoint_has_one_budget() -> None:
    plane = make_server(snapshot_of([]))._plane
    assert plane.budget("a") is plane.budget("a")
    assert plane.budget("a") is not plane.budget("b")
