"""The admin API as a table: its routes and its description are both made from it."""

from typing import Final

import msgspec

from trioroute.admin import problems
from trioroute.admin.openapi import Answer, Document, Operation
from trioroute.admin.resources.operations import CHANGING, RESOURCE_OPERATIONS
from trioroute.admin.roles import Access
from trioroute.core.status import (
    ClusterStatus,
    EndpointStatus,
    FrontEndStatus,
    ReplicaStatus,
)

__all__ = ["OPERATIONS", "EndpointList", "FrontEndList", "Index", "ReplicaList", "ReplicaOf"]

_JSON: Final = "application/json"
_TEXT: Final = "text/plain"


class EndpointList(msgspec.Struct):
    """All endpoints."""

    items: tuple[EndpointStatus, ...]


class FrontEndList(msgspec.Struct):
    """All configured front-ends, those that are down included."""

    items: tuple[FrontEndStatus, ...]


class ReplicaOf(msgspec.Struct):
    """A replica, and whose it is."""

    endpoint: str
    deployment: str
    replica: ReplicaStatus


class ReplicaList(msgspec.Struct):
    """All replicas of all deployments."""

    items: tuple[ReplicaOf, ...]


class Index(msgspec.Struct):
    """Where in the replicated log a change stands."""

    index: int


#: `name` is the handler's name in `views` or in `resources.answering`.
OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/livez",
        name="get_livez",
        access=Access.HEALTH,
        summary="Whether the front-end's supervisor lives.",
        answers=(Answer(status=200, meaning="It does.", media_type=_TEXT),),
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="get_readyz",
        access=Access.HEALTH,
        summary="Whether a load balancer should send requests to this front-end.",
        answers=(
            Answer(status=200, meaning="It should.", media_type=_TEXT),
            Answer(status=503, meaning="It should not; says why.", media_type=_TEXT),
        ),
    ),
    Operation(
        method="GET",
        path="/metrics",
        name="get_metrics",
        access=Access.SCRAPE,
        summary="Prometheus' exposition, or OpenMetrics' when asked for.",
        answers=(Answer(status=200, meaning="All metrics.", media_type=_TEXT),),
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        name="get_openapi",
        access=Access.SCRAPE,
        summary="This description.",
        answers=(Answer(status=200, meaning="OpenAPI 3.1.", body=Document, media_type=_JSON),),
    ),
    Operation(
        method="GET",
        path="/v1/status",
        name="get_status",
        access=Access.SCRAPE,
        summary="The whole system as this front-end sees it.",
        answers=(Answer(status=200, meaning="Now.", body=ClusterStatus, media_type=_JSON),),
    ),
    Operation(
        method="GET",
        path="/v1/endpoints",
        name="get_endpoints",
        access=Access.SCRAPE,
        summary="The endpoints' part of it.",
        answers=(Answer(status=200, meaning="Now.", body=EndpointList, media_type=_JSON),),
    ),
    Operation(
        method="GET",
        path="/v1/endpoints/{endpoint}",
        name="get_endpoint",
        access=Access.SCRAPE,
        summary="One endpoint's part of it.",
        answers=(Answer(status=200, meaning="Now.", body=EndpointStatus, media_type=_JSON),),
        problems=(problems.NOT_FOUND,),
    ),
    Operation(
        method="GET",
        path="/v1/front-ends",
        name="get_front_ends",
        access=Access.SCRAPE,
        summary="The front-ends' part of it.",
        answers=(Answer(status=200, meaning="Now.", body=FrontEndList, media_type=_JSON),),
    ),
    Operation(
        method="GET",
        path="/v1/replicas",
        name="get_replicas",
        access=Access.SCRAPE,
        summary="The replicas' part of it.",
        answers=(Answer(status=200, meaning="Now.", body=ReplicaList, media_type=_JSON),),
    ),
    Operation(
        method="GET",
        path="/v1/stream",
        name="get_stream",
        access=Access.SCRAPE,
        summary="The same once a second, as server-sent events named status.",
        answers=(Answer(status=200, meaning="Events.", media_type="text/event-stream"),),
        problems=(problems.TOO_MANY_STREAMS,),
    ),
    Operation(
        method="PUT",
        path="/v1/registry",
        name="put_registry",
        access=Access.ADMIN,
        summary="Replace all endpoints and deployments. Idempotent.",
        answers=(Answer(status=200, meaning="It is in the log.", body=Index, media_type=_JSON),),
        takes="Registry",
        problems=(
            *(problems.MALFORMED, problems.TOO_LARGE, problems.TOO_SLOW),
            *(problems.WRONG_MEDIA_TYPE, *CHANGING),
        ),
    ),
    *RESOURCE_OPERATIONS,
    Operation(
        method="POST",
        path="/v1/raft/transfer",
        name="post_transfer",
        access=Access.OPERATE,
        summary="Have this front-end hand the coordinator's office to another one.",
        answers=(Answer(status=202, meaning="It is under way."),),
        problems=CHANGING,
    ),
    Operation(
        method="POST",
        path="/v1/drain",
        name="post_drain",
        access=Access.OPERATE,
        summary="Begin to take this front-end out of service.",
        answers=(Answer(status=202, meaning="It is no longer ready."),),
        problems=CHANGING,
    ),
)
