"""The admin API: what each path answers.

Any front-end answers; `SystemView` says how. Handlers never ask whether the client has gone:
under Hypercorn's Trio worker that question is always answered no (hypercorn#210).
"""

from collections.abc import Callable
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final

import attrs
import msgspec
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from trioroute.admin import problems
from trioroute.admin.guard import AdminPolicy, Guard
from trioroute.admin.metrics import render
from trioroute.admin.openapi import describe
from trioroute.admin.operations import (
    OPERATIONS,
    EndpointList,
    FrontEndList,
    Index,
    ReplicaList,
    ReplicaOf,
)
from trioroute.admin.problems import ProblemError, problem_response
from trioroute.admin.registry_json import RegistryJSONError, decode_registry
from trioroute.admin.stream import Streams
from trioroute.admin.view import OutcomeUnknownError, RefusedError, SystemView
from trioroute.errors import NoCoordinatorError

__all__ = ["BODY_BYTES_MAX", "build_app"]

#: A registry of 1,000 deployments is below 1 MiB.
BODY_BYTES_MAX: Final = 8 * 1024 * 1024
_NOT_CACHED: Final = {"cache-control": "no-store"}
_JSON: Final = "application/json"
#: Slower uploads would keep a task each.
_BODY_S: Final = 10.0


def build_app(view: SystemView, policy: AdminPolicy, *, stopping: trio.Event) -> Guard:
    """The ASGI application of one admin listener.

    Args:
        view: the front-end.
        policy: who may do what on this listener.
        stopping: when set, open streams end by themselves; without it they would hold up a
            shutdown for the server's whole grace period.
    """
    api = _Api(view, Streams(view.status, stopping))
    routes = [
        Route(operation.path, getattr(api, operation.name), methods=[operation.method])
        for operation in OPERATIONS
    ]
    return Guard(Starlette(routes=routes, exception_handlers=_exception_handlers()), policy)


@attrs.define
class _Api:  # house: one handler for each row of `operations`, and nothing else
    """The handlers of one listener."""

    _view: SystemView
    _streams: Streams

    async def get_livez(self, _: Request) -> Response:
        """Answers as long as the supervisor's loop turns."""
        return PlainTextResponse("ok\n", headers=_NOT_CACHED)

    async def get_readyz(self, _: Request) -> Response:
        """Whether a load balancer should send requests here."""
        is_ready, why = self._view.is_ready()
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return PlainTextResponse(f"{why}\n", status, _NOT_CACHED)

    async def get_metrics(self, request: Request) -> Response:
        """Prometheus' exposition, rendered in a thread."""
        status, stats = self._view.status(), self._view.worker_stats()
        accept = request.headers.get("accept", "")
        body, content_type = await trio.to_thread.run_sync(render, status, stats, accept)
        return Response(body, headers={"content-type": content_type})

    async def get_status(self, _: Request) -> Response:
        """The whole system."""
        return _json(self._view.status())

    async def get_endpoints(self, _: Request) -> Response:
        """All endpoints."""
        return _json(EndpointList(self._view.status().endpoints))

    async def get_endpoint(self, request: Request) -> Response:
        """One endpoint."""
        wanted = request.path_params["endpoint"]
        for endpoint in self._view.status().endpoints:
            if endpoint.name == wanted:
                return _json(endpoint)
        raise ProblemError(problems.NOT_FOUND, "no endpoint has this name")

    async def get_front_ends(self, _: Request) -> Response:
        """All front-ends."""
        return _json(FrontEndList(self._view.status().front_ends))

    async def get_replicas(self, _: Request) -> Response:
        """All replicas."""
        deployments = (d for e in self._view.status().endpoints for d in e.deployments)
        found = (ReplicaOf(d.endpoint, d.name, r) for d in deployments for r in d.replicas)
        return _json(ReplicaList(tuple(found)))

    async def get_openapi(self, _: Request) -> Response:
        """The description of this API."""
        return _json(describe(OPERATIONS, self._view.status().version))

    async def get_stream(self, _: Request) -> Response:
        """The whole system once a second, as server-sent events."""
        return self._streams.new()

    async def put_registry(self, request: Request) -> Response:
        """Replace all endpoints and deployments; idempotent."""
        try:
            wish = decode_registry(await _json_body(request))
        except RegistryJSONError as error:
            raise ProblemError(problems.MALFORMED, str(error)) from None
        index = await self._view.put_registry(wish.endpoints, wish.deployments)
        return _json(Index(index))

    async def post_transfer(self, _: Request) -> Response:
        """Hand the coordinator's office to another front-end."""
        await self._view.transfer_coordinator()
        return Response(status_code=HTTPStatus.ACCEPTED)

    async def post_drain(self, _: Request) -> Response:
        """Begin to take this front-end out of service."""
        await self._view.drain()
        return Response(status_code=HTTPStatus.ACCEPTED)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), headers=_NOT_CACHED, media_type=_JSON)


async def _json_body(request: Request) -> bytearray:
    """The whole body, not decoded.

    The media type is insisted on because a browser sends it across sites only after asking.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise ProblemError(problems.WRONG_MEDIA_TYPE, "set content-type: application/json")
    body = bytearray()
    with trio.move_on_after(_BODY_S):
        async with aclosing(request.stream()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > BODY_BYTES_MAX:
                    raise ProblemError(problems.TOO_LARGE, f"at most {BODY_BYTES_MAX} bytes")
        return body
    raise ProblemError(problems.TOO_SLOW, f"it must be here within {_BODY_S:g} s")


def _exception_handlers() -> dict[Any, Callable[[Request, Any], Response]]:
    """What each kind of failure is answered."""
    return {
        ProblemError: _answer_problem,
        RefusedError: lambda _, error: problem_response(problems.REFUSED, str(error)),
        NoCoordinatorError: lambda _, error: problem_response(
            problems.NO_COORDINATOR, str(error) or "try again in a second"
        ),
        OutcomeUnknownError: lambda _, error: problem_response(
            problems.OUTCOME_UNKNOWN, str(error)
        ),
        HTTPException: _answer_http_error,
        Exception: lambda _, error: problem_response(
            problems.INTERNAL, f"{type(error).__name__}; the log has more"
        ),
    }


def _answer_problem(_: Request, error: ProblemError) -> Response:
    return problem_response(error.kind, error.detail)


def _answer_http_error(_: Request, error: HTTPException) -> Response:
    """Starlette's own refusals: no such path, or not this method."""
    is_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    kind = problems.METHOD_NOT_ALLOWED if is_method else problems.NOT_FOUND
    response = problem_response(kind, error.detail)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response
