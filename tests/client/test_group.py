"""One picture from several front-ends: who knows best, who is silent, what adds up."""

import socket

import attrs
import pytest

from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import listening_port, running_admin
from trioroute.admin.guard import AdminPolicy
from trioroute.admin.roles import AdminToken, digest_of_token
from trioroute.admin.roles import Role as AdminRole
from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.group import ask_all, merge_views
from trioroute.core.status import (
    ClusterStatus,
    CoordinatorStatus,
    DeploymentStatus,
    EndpointStatus,
    FrontEndStatus,
    RaftStatus,
    Role,
)

NAMES = ("fe-0", "fe-1", "fe-2")
#: What each front-end says of itself; of the others it knows only that they are there.
OWN_ROLE = {"fe-0": Role.FOLLOWER, "fe-1": Role.COORDINATOR, "fe-2": Role.FOLLOWER}


def view_of(
    name: str, *, epoch: int = 3, coordinator: str = "fe-1", requests: int = 10, p99_s: float = 0.1
) -> ClusterStatus:
    blue = DeploymentStatus(
        endpoint="echo", name="blue", requests=requests, server_errors=1, p50_s=0.01, p99_s=p99_s
    )
    return ClusterStatus(
        reporter=name,
        coordinator=CoordinatorStatus(name=coordinator, epoch=epoch),
        front_ends=tuple(
            FrontEndStatus(name=other, role=OWN_ROLE[other] if other == name else Role.UNKNOWN)
            for other in NAMES
        ),
        endpoints=(EndpointStatus(name="echo", deployments=(blue,)),),
    )


def test_each_front_end_is_believed_about_itself() -> None:
    merged = merge_views([view_of(name) for name in NAMES], {})
    assert {row.name: row.role for row in merged.front_ends} == OWN_ROLE
    assert merged.reporter == "fe-1"


def test_requests_add_up_and_the_worst_latency_is_shown() -> None:
    views = [view_of("fe-0", requests=1, p99_s=0.2), view_of("fe-1", requests=2, p99_s=0.1)]
    ((blue,),) = (endpoint.deployments for endpoint in merge_views(views, {}).endpoints)
    assert (blue.requests, blue.server_errors, blue.p50_s, blue.p99_s) == (3, 2, 0.01, 0.2)


def test_unknown_latencies_stay_unknown() -> None:
    bare = DeploymentStatus(endpoint="echo", name="blue")
    view = attrs.evolve(
        view_of("fe-1"), endpoints=(EndpointStatus(name="echo", deployments=(bare,)),)
    )
    ((blue,),) = (endpoint.deployments for endpoint in merge_views([view], {}).endpoints)
    assert (blue.p50_s, blue.p99_s) == (None, None)


def test_a_silent_front_end_has_a_row_with_the_reason() -> None:
    merged = merge_views([view_of("fe-0")], {"fe-2": "connection refused", "fe-9": "timed out"})
    rows = {row.name: (row.is_up, row.error) for row in merged.front_ends}
    assert rows["fe-2"] == (False, "connection refused")
    assert rows["fe-9"] == (False, "timed out")
    assert rows["fe-1"] == (True, "")


def test_the_newest_epoch_is_right_though_a_former_coordinator_disagrees() -> None:
    cut_off = view_of("fe-0", epoch=3, coordinator="fe-0")
    merged = merge_views([cut_off, view_of("fe-2", epoch=4)], {"fe-1": "no answer"})
    assert merged.coordinator == CoordinatorStatus(name="fe-1", epoch=4)
    assert merged.reporter == "fe-2"


def test_without_a_coordinator_whoever_has_applied_most_is_asked() -> None:
    views = [
        attrs.evolve(
            view_of(name),
            coordinator=None,
            raft=RaftStatus(term=1, commit_index=9, applied_index=at, voters=3, connected=2),
        )
        for name, at in (("fe-0", 7), ("fe-1", 9), ("fe-2", 8))
    ]
    assert merge_views(views, {}).reporter == "fe-1"
    assert merge_views([attrs.evolve(views[0], raft=None), views[2]], {}).reporter == "fe-2"


def test_a_hanging_a_dead_and_a_living_front_end_make_one_picture() -> None:
    with (
        socket.socket() as dead,
        listening_port(answer=None) as hanging,
        running_admin(SmallView()) as url,
    ):
        dead.bind(("127.0.0.1", 0))
        merged = ask_all(
            {
                "fe-0": url,
                "fe-1": f"http://127.0.0.1:{hanging}",
                "fe-2": f"http://127.0.0.1:{dead.getsockname()[1]}",
            },
            timeout_s=0.3,
        )
    rows = {row.name: row for row in merged.front_ends}
    assert merged.endpoints == STATUS.endpoints
    assert rows["fe-0"].is_up
    assert "did not answer within 0.3 s" in rows["fe-1"].error
    assert "Connection refused" in rows["fe-2"].error


def test_those_that_refuse_are_no_traceback() -> None:
    """A token is missing: each of them says so, and so does the whole."""
    token = AdminToken(name="t", role=AdminRole.READ, digest=digest_of_token("secret"))
    policy = AdminPolicy(tokens=(token,))
    with running_admin(SmallView(), policy) as one, running_admin(SmallView(), policy) as other:
        urls = {"fe-0": one, "fe-1": other}
        with pytest.raises(ProblemAnswerError, match="TR0806"):
            ask_all(urls, timeout_s=5)
        assert ask_all(urls, timeout_s=5, token="secret").endpoints == STATUS.endpoints


def test_nobody_answering_is_an_error() -> None:
    with pytest.raises(UnreachableError, match="expected http://host:port"):
        ask_all({"fe-0": "nonsense"}, timeout_s=1)
    with pytest.raises(UnreachableError, match="no front-end to ask"):
        ask_all({}, timeout_s=1)
