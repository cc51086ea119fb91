"""Targets and headers to deployments: the forms, the refusals, the split."""

from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.model import Deployment, Endpoint, RoutingSnapshot, StaticSource
from trioroute.core.routing import NO_ROUTE_TEXT, Match, RoutingTable
from trioroute.errors import MalformedRequestError, NoSuchEndpointError

SOURCE = StaticSource(addresses=(("127.0.0.1", 9401),))
BLUE = Deployment(endpoint="echo", name="blue", source=SOURCE)
GREEN = Deployment(
    endpoint="echo", name="green", source=SOURCE, scoring_path="/v1/models/m:predict"
)
ECHO = Endpoint(name="echo", traffic={"blue": 90, "green": 10})
IDLE = Endpoint(name="idle", traffic={"blue": 0})
ONLY = Deployment(endpoint="mounted", name="only", source=SOURCE, scoring_path="/")
ROOT = Endpoint(name="mounted", traffic={"only": 100}, mount="/")

PLAIN = RoutingTable.from_snapshot(
    RoutingSnapshot(version=1, endpoints=(ECHO, IDLE), deployments=(BLUE, GREEN))
)
MOUNTED = RoutingTable.from_snapshot(
    RoutingSnapshot(version=1, endpoints=(ECHO, ROOT), deployments=(BLUE, GREEN, ONLY))
)
TO_GREEN = {b"host": b"x", b"azureml-model-deployment": b"green"}
TO_BOTH = {b"azureml-model-deployment": b"green, green"}


ALL_BLUE = RoutingTable.from_snapshot(
    RoutingSnapshot(
        version=1,
        endpoints=(attrs.evolve(ECHO, traffic={"blue": 100, "green": 0}),),
        deployments=(BLUE, GREEN),
    )
)


def routed(target: bytes, table: RoutingTable = ALL_BLUE) -> tuple[str, str, bytes]:
    match = table.match(target, {})
    deployment = table.pick(match)
    return match.endpoint.name, deployment.name, match.upstream_target(deployment)


@pytest.mark.parametrize(
    ("target", "upstream"),
    [
        (b"/api/v1/service/echo/score", b"/score"),
        (b"/api/v1/endpoint/echo/score", b"/score"),
        (b"/api/v1/service/echo/score?q=1&r=%00", b"/score?q=1&r=%00"),
        (b"/api/v1/service/echo/score/a/b?q", b"/score/a/b?q"),
        (b"/api/v1/service/echo/score/a%2fb//c", b"/score/a%2fb//c"),
        (b"/api/v1/service/echo/score?next=/../x", b"/score?next=/../x"),
        (b"/api/v1/service/echo/score/", b"/score/"),
        (b"/api/v1/service/echo/swagger.json?version=3", b"/swagger.json?version=3"),
        (b"/api/v1/endpoint/echo/version/blue/score", b"/score"),
        (b"/api/v1/endpoint/echo/version/blue/swagger.json", b"/swagger.json"),
    ],
)
def test_a_form_is_mapped_to_the_scoring_path(target: bytes, upstream: bytes) -> None:
    assert routed(target) == ("echo", "blue", upstream)


@pytest.mark.parametrize(
    ("target", "upstream"),
    [
        (b"/api/v1/endpoint/echo/version/green/score", b"/v1/models/m:predict"),
        (b"/api/v1/endpoint/echo/version/green/score?q", b"/v1/models/m:predict?q"),
        (b"/api/v1/endpoint/echo/version/green/score/a?q", b"/v1/models/m:predict/a?q"),
        (b"/api/v1/endpoint/echo/version/green/swagger.json?version=3", b"/swagger.json?version=3"),
    ],
)
def test_inference_config_moves_the_scoring_path_but_not_swagger(
    target: bytes, upstream: bytes
) -> None:
    assert routed(target) == ("echo", "green", upstream)


@pytest.mark.parametrize("rest", [b"", b"?q", b"/a", b"/a?q"])
def test_there_is_exactly_one_slash_at_the_join(rest: bytes) -> None:
    _, _, upstream = routed(b"/api/v1/service/mounted/score" + rest, MOUNTED)
    assert upstream == (rest if rest.startswith(b"/") else b"/" + rest)


def test_the_header_names_the_deployment_and_the_split_is_not_asked() -> None:
    match = PLAIN.match(b"/api/v1/service/echo/score", TO_GREEN)
    assert [PLAIN.pick(match) for _ in range(20)] == [GREEN] * 20


def test_header_and_path_may_agree() -> None:
    match = PLAIN.match(b"/api/v1/endpoint/echo/version/green/score", TO_GREEN)
    assert PLAIN.pick(match) is GREEN


@pytest.mark.parametrize(
    ("target", "headers", "message"),
    [
        (b"/api/v1/endpoint/echo/version/blue/score", TO_GREEN, "different deployments"),
        (b"/api/v1/service/echo/score", TO_BOTH, "more than one"),
    ],
)
def test_two_names_for_one_request_are_refused(
    target: bytes, headers: dict[bytes, bytes], message: str
) -> None:
    with pytest.raises(MalformedRequestError, match=message):
        PLAIN.match(target, headers)


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/score",
        b"/api/v1/service/echo",
        b"/api/v1/service/echo/",
        b"/api/v1/service/echo/scores",
        b"/api/v1/service/echo/score.json",
        b"/api/v1/service/ECHO/score",
        b"/api/v1/service/ech%6f/score",
        b"/api/v1/service/nobody/score",
        b"/api/v1/service/echo/version/blue/score",
        b"/api/v1/endpoint/echo/version/blue",
        b"/api/v1/endpoint/echo/version/nobody/score",
        b"/API/v1/service/echo/score",
    ],
)
def test_no_shorter_or_similar_form_exists(target: bytes) -> None:
    with pytest.raises(NoSuchEndpointError) as caught:
        PLAIN.match(target, {})
    assert str(caught.value) == NO_ROUTE_TEXT


def test_the_original_s_text_is_sent_byte_for_byte() -> None:
    assert NO_ROUTE_TEXT == (
        "No route found or no valid deployments to route to, please check that the endpoint has "
        "at least one deployment with positive weight values or use a deployment specific header "
        "to route."
    )


def test_what_was_picked_earlier_is_had_as_it_is_now() -> None:
    assert PLAIN.newest(attrs.evolve(BLUE, request_timeout_s=60.0)) is BLUE
    gone = attrs.evolve(BLUE, name="gone")
    assert PLAIN.newest(gone) is gone


def test_no_weight_is_no_route() -> None:
    match = PLAIN.match(b"/api/v1/service/idle/score", {})
    with pytest.raises(NoSuchEndpointError, match="positive weight"):
        PLAIN.pick(match)


def test_an_unknown_deployment_in_the_header_is_no_route() -> None:
    with pytest.raises(NoSuchEndpointError):
        PLAIN.match(b"/api/v1/service/echo/score", {b"azureml-model-deployment": b"nobody"})


UNSAFE = [
    b"/a/../b",
    b"/a/..",
    b"/./b",
    b"/a/.",
    b"/a/%2e%2E/b",
    b"/a/.%2e/b",
    b"/a/%2e/b",
    b"/a%2f../b",
    b"/a%2F..%2fb",
    b"/a/..;x=1/b",
    b"/a\\b",
    b"/a%5Cb",
    b"/a%00.html",
    b"/a%0ab",
    b"/a%0Db",
]


@pytest.mark.parametrize("path", UNSAFE)
@pytest.mark.parametrize("prefix", [b"", b"/api/v1/service/echo/score", b"/api/v1/service/echo"])
@pytest.mark.parametrize("table", [PLAIN, MOUNTED])
def test_paths_that_a_replica_may_normalise_are_refused(
    path: bytes, prefix: bytes, table: RoutingTable
) -> None:
    with pytest.raises(MalformedRequestError):
        table.match(prefix + path, {})


@pytest.mark.parametrize("path", [b"/a.b/c..d/...", b"/..a/.well-known/x", b"/%2efoo", b"/a%20b"])
def test_dots_inside_a_segment_are_fine(path: bytes) -> None:
    assert routed(b"/api/v1/service/echo/score" + path)[2] == b"/score" + path


@pytest.mark.parametrize(
    "target",
    [
        b"//api/v1/service/echo/score",
        b"/api/v1/service//echo/score",
        b"/api/v1/service/echo%2fscore",
        b"/api/v1/service/echo//score",
        b"/api/v1/endpoint/echo/version//score",
        b"/api/v1/endpoint/echo/version/blue%2Fscore",
    ],
)
@pytest.mark.parametrize("table", [PLAIN, MOUNTED])
def test_disguised_slashes_in_the_routed_prefix_are_refused(
    target: bytes, table: RoutingTable
) -> None:
    with pytest.raises(MalformedRequestError, match="slash"):
        table.match(target, {})


@pytest.mark.parametrize("target", [b"*", b"", b"example.com:443", b"?q"])
def test_other_forms_than_origin_form_are_refused(target: bytes) -> None:
    with pytest.raises(MalformedRequestError, match="origin-form"):
        PLAIN.match(target, {})


@pytest.mark.parametrize(
    "target", [b"/", b"/x?y=/../z", b"/a//b%2fc", b"/api/v1/service/typo/score", b"/api"]
)
def test_a_mounted_endpoint_gets_what_nobody_else_answers_unchanged(target: bytes) -> None:
    assert routed(target, MOUNTED) == ("mounted", "only", target)


def test_a_mount_does_not_shadow_other_endpoints_nor_their_missing_deployments() -> None:
    assert routed(b"/api/v1/service/echo/score", MOUNTED)[0] == "echo"
    with pytest.raises(NoSuchEndpointError):
        MOUNTED.match(b"/api/v1/endpoint/echo/version/nobody/score", {})


def test_the_split_is_exact_and_survives_a_new_snapshot_of_the_same_weights() -> None:
    snapshot = RoutingSnapshot(version=1, endpoints=(ECHO,), deployments=(BLUE, GREEN))
    table = RoutingTable.from_snapshot(snapshot)
    picked: list[str] = []
    for version in range(100):
        # A new table before every request: restarted splits would never reach green.
        table = RoutingTable.from_snapshot(attrs.evolve(snapshot, version=version), previous=table)
        picked.append(table.pick(table.match(b"/api/v1/service/echo/score", {})).name)
    assert Counter(picked) == {"blue": 90, "green": 10}


def test_new_weights_start_a_new_split_and_new_settings_are_used_at_once() -> None:
    table = RoutingTable.from_snapshot(
        RoutingSnapshot(
            version=2,
            endpoints=(attrs.evolve(ECHO, traffic={"blue": 100}),),
            deployments=(attrs.evolve(BLUE, slots_per_replica=8),),
        ),
        previous=PLAIN,
    )
    match = table.match(b"/api/v1/service/echo/score", {})
    assert [table.pick(match).slots_per_replica for _ in range(20)] == [8] * 20


def test_a_weight_without_a_deployment_is_shared_by_the_others() -> None:
    table = RoutingTable.from_snapshot(
        RoutingSnapshot(version=1, endpoints=(ECHO,), deployments=(GREEN,))
    )
    match = table.match(b"/api/v1/service/echo/score", {})
    assert [table.pick(match) for _ in range(20)] == [GREEN] * 20


def test_workers_with_other_phases_reach_the_small_deployment_at_other_requests() -> None:
    snapshot = RoutingSnapshot(version=1, endpoints=(ECHO,), deployments=(BLUE, GREEN))
    firsts = set()
    for worker in range(3):
        table = RoutingTable.from_snapshot(snapshot, phase=worker / 3)
        match = table.match(b"/api/v1/service/echo/score", {})
        firsts.add([table.pick(match).name for _ in range(10)].index("green"))
    assert len(firsts) == 3


def test_a_deployment_whose_endpoint_is_gone_is_not_routed_to() -> None:
    table = RoutingTable.from_snapshot(
        RoutingSnapshot(version=1, endpoints=(), deployments=(BLUE,))
    )
    with pytest.raises(NoSuchEndpointError):
        table.match(b"/api/v1/endpoint/echo/version/blue/score", {})


@given(st.sampled_from(sorted(MOUNTED._exact)))
def test_the_short_cut_and_the_long_way_agree(target: bytes) -> None:
    expected = MOUNTED._match_in_parts(target)
    assert MOUNTED.match(target, {}) == expected


@given(
    st.lists(
        st.sampled_from(
            b"/ // %2f . .. %2e ; a \\ ? echo score version blue "
            b"/api/v1/service/ /api/v1/endpoint/".split()
        ),
        max_size=8,
    )
)
def test_whatever_is_passed_on_has_no_dot_segment(parts: list[bytes]) -> None:
    """The upstream path, decoded the way a careless server would, never climbs."""
    try:
        match: Match = MOUNTED.match(b"/" + b"".join(parts), {})
    except (MalformedRequestError, NoSuchEndpointError):
        return
    upstream = match.upstream_target(MOUNTED.pick(match)).partition(b"?")[0]
    decoded = upstream.replace(b"%2e", b".").replace(b"%2f", b"/")
    assert not {b".", b".."} & {segment.partition(b";")[0] for segment in decoded.split(b"/")}


@pytest.mark.parametrize("table", [PLAIN, MOUNTED])
@given(
    prefix=st.sampled_from(
        [b"", b"/", b"/api/v1/service/echo/", b"/api/v1/endpoint/echo/version/"]
    ),
    rest=st.binary(max_size=40),
    named=st.none() | st.binary(max_size=10),
)
def test_whatever_bytes_arrive_there_is_an_answer(
    table: RoutingTable, prefix: bytes, rest: bytes, named: bytes | None
) -> None:
    """A deployment and a target, or one of the two refusals; nothing else is ever raised."""
    headers = {} if named is None else {b"azureml-model-deployment": named}
    try:
        match = table.match(prefix + rest, headers)
        assert match.upstream_target(table.pick(match)).startswith(b"/")
    except (MalformedRequestError, NoSuchEndpointError):
        pass


MIRRORED = attrs.evolve(ECHO, traffic={"blue": 100}, mirror_traffic={"green": 30})


def table_with(endpoint: Endpoint, previous: RoutingTable | None = None) -> RoutingTable:
    snapshot = RoutingSnapshot(version=1, endpoints=(endpoint,), deployments=(BLUE, GREEN))
    return RoutingTable.from_snapshot(snapshot, previous=previous)


def copies(table: RoutingTable, count: int, headers: dict[bytes, bytes] | None = None) -> list[str]:
    match = table.match(b"/api/v1/service/echo/score", headers or {})
    found = [table.mirror_of(match) for _ in range(count)]
    return [deployment.name for deployment in found if deployment is not None]


def test_any_prefix_of_the_requests_is_copied_within_one_of_its_share() -> None:
    table = table_with(MIRRORED)
    copied = 0
    for count in range(1, 301):
        copied += len(copies(table, 1))
        assert abs(copied - 0.3 * count) < 1


def test_a_request_that_names_its_deployment_is_not_copied() -> None:
    assert copies(table_with(MIRRORED), 100, TO_GREEN) == []
    assert copies(table_with(ECHO), 100) == []


def test_a_new_snapshot_goes_on_where_copying_was() -> None:
    table = table_with(MIRRORED)
    seen = [len(copies(table, 1)) for _ in range(7)]
    table = table_with(attrs.evolve(MIRRORED, description="other"), table)
    seen += [len(copies(table, 1)) for _ in range(13)]
    fresh = table_with(MIRRORED)
    assert seen == [len(copies(fresh, 1)) for _ in range(20)]


def test_a_mirror_that_does_not_exist_gets_nothing() -> None:
    assert copies(table_with(attrs.evolve(MIRRORED, mirror_traffic={"red": 10})), 50) == []
    assert copies(table_with(attrs.evolve(MIRRORED, mirror_traffic={"green": 0})), 50) == []
