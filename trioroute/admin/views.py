"""The admin API: what each path answers.

Any front-end answers; `SystemView` says how. Handlers never ask whether the client has gone:
under Hypercorn's Trio worker that question is always answered no (hypercorn#210).
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import attrs
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route

from trioroute.admin import problems
from trioroute.admin.guard import AdminPolicy, Gate, Guard
from trioroute.admin.metrics import render
from trioroute.admin.openapi import Operation, describe
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
from trioroute.admin.resources.answering import ResourceHandlers
from trioroute.admin.resources.desk import ConflictError, Desk, MissingError
from trioroute.admin.stream import Streams
from trioroute.admin.transfer import NOT_CACHED, json_answer, read_json_body
from trioroute.admin.view import OutcomeUnknownError, RefusedError, SystemView
from trioroute.errors import NoCoordinatorError

__all__ = ["build_app"]

_Handler = Callable[[Request], Awaitable[Response]]


def build_app(view: SystemView, policy: AdminPolicy, *, desk: Desk, stopping: trio.Event) -> Guard:
    """The ASGI application of one admin listener.

    Args:
        view: the front-end.
        policy: who may do what on this listener.
        desk: the registry's resources.
        stopping: when set, open streams end by themselves; without it they would hold up a
            shutdown for the server's whole grace period.
    """
    api = _Api(view, Streams(view.status, stopping))
    resources = ResourceHandlers(desk, api.replicas_of)
    gate = Gate(policy)
    routes = [
        Route(
            operation.path,
            _behind(
                gate,
                operation,
                getattr(api, operation.name, None) or getattr(resources, operation.name),
            ),
            methods=[operation.method],
        )
        for operation in OPERATIONS
    ]
    return Guard(Starlette(routes=routes, exception_handlers=_exception_handlers()), policy)


def _behind(gate: Gate, operation: Operation, handler: _Handler) -> _Handler:
    """The handler, for whoever may have its operation."""

    async def answer(request: Request) -> Response:
        gate.check(operation.access, request)
        return await handler(request)

    return answer


@attrs.define
class _Api:  # house: one handler for each row of `operations`, and nothing else
    """The handlers of one listener."""

    _view: SystemView
    _streams: Streams

    def replicas_of(self, key: str) -> tuple[str, ...]:
        """Ids of a deployment's replicas."""
        deployments = (d for e in self._view.status().endpoints for d in e.deployments)
        return tuple(r.id for d in deployments if d.key == key for r in d.replicas)

    async def get_livez(self, _: Request) -> Response:
        """Answers as long as the supervisor's loop turns."""
        return PlainTextResponse("ok\n", headers=NOT_CACHED)

    async def get_readyz(self, _: Request) -> Response:
        """Whether a load balancer should send requests here."""
        is_ready, why = self._view.is_ready()
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return PlainTextResponse(f"{why}\n", status, NOT_CACHED)

    async def get_metrics(self, request: Request) -> Response:
        """Prometheus' exposition, rendered in a thread."""
        status, stats = self._view.status(), self._view.worker_stats()
        accept = request.headers.get("accept", "")
        body, content_type = await trio.to_thread.run_sync(render, status, stats, accept)
        return Response(body, headers={"content-type": content_type})

    async def get_status(self, _: Request) -> Response:
        """The whole system."""
        return json_answer(self._view.status())

    async def get_endpoints(self, _: Request) -> Response:
        """All endpoints."""
        return json_answer(EndpointList(self._view.status().endpoints))

    async def get_endpoint(self, request: Request) -> Response:
        """One endpoint."""
        wanted = request.path_params["endpoint"]
        for endpoint in self._view.status().endpoints:
            if endpoint.name == wanted:
                return json_answer(endpoint)
        raise ProblemError(problems.NOT_FOUND, "no endpoint has this name")

    async def get_front_ends(self, _: Request) -> Response:
        """All front-ends."""
        return json_answer(FrontEndList(self._view.status().front_ends))

    async def get_replicas(self, _: Request) -> Response:
        """All replicas."""
        deployments = (d for e in self._view.status().endpoints for d in e.deployments)
        found = (ReplicaOf(d.endpoint, d.name, r) for d in deployments for r in d.replicas)
        return json_answer(ReplicaList(tuple(found)))

    async def get_openapi(self, _: Request) -> Response:
        """The description of this API."""
        return json_answer(describe(OPERATIONS, self._view.status().version))

    async def get_stream(self, _: Request) -> Response:
        """The whole system once a second, as server-sent events."""
        return self._streams.new()

    async def put_registry(self, request: Request) -> Response:
        """Replace all endpoints and deployments; idempotent."""
        wish = decode_registry(await read_json_body(request))
        index = await self._view.put_registry(wish.endpoints, wish.deployments)
        return json_answer(Index(index))

    async def post_transfer(self, _: Request) -> Response:
        """Hand the coordinator's office to another front-end."""
        await self._view.transfer_coordinator()
        return Response(status_code=HTTPStatus.ACCEPTED)

    async def post_drain(self, _: Request) -> Response:
        """Begin to take this front-end out of service."""
        await self._view.drain()
        return Response(status_code=HTTPStatus.ACCEPTED)


def _exception_handlers() -> dict[Any, Callable[[Request, Any], Response]]:
    """What each kind of failure is answered."""
    return {
        ProblemError: _answer_problem,
        ConflictError: lambda _, error: problem_response(problems.CONFLICT, str(error)),
        MissingError: lambda _, error: problem_response(problems.NOT_FOUND, str(error)),
        RegistryJSONError: lambda _, error: problem_response(problems.MALFORMED, str(error)),
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


def _answer_http_error(request: Request, error: HTTPException) -> Response:
    """Starlette's own refusals: no such path, or not this method."""
    if error.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
        return problem_response(problems.NOT_FOUND, error.detail)
    # Each method has a route of its own, and Starlette tells of the first one only.
    routes = [r for r in request.app.routes if r.matches(request.scope)[0] is not Match.NONE]
    allowed = ", ".join(sorted({method for route in routes for method in route.methods}))
    detail = f"{request.method} is not one of {allowed}"
    response = problem_response(problems.METHOD_NOT_ALLOWED, detail)
    response.headers["allow"] = allowed
    return response
