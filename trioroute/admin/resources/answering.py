"""What each resource operation answers.

Writes go into the replicated log before they are acknowledged. `If-Match: "<version>"` insists on
the version that was read, `If-None-Match: *` on there being none yet; otherwise the newest is
changed, whichever it is.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import trio
from starlette.requests import Request
from starlette.responses import Response

from trioroute.admin import problems
from trioroute.admin.guard import asker_of
from trioroute.admin.problems import ProblemError
from trioroute.admin.resources.bodies import read_deployment, read_endpoint, read_wish
from trioroute.admin.resources.desk import ConflictError, Desk, MissingError
from trioroute.admin.resources.tokens import TokenOffice
from trioroute.admin.resources.vault import EndpointKeys, fresh_key
from trioroute.admin.transfer import json_answer, read_json_body
from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.core.decisions import Decision, DecisionKind, DecisionList
from trioroute.core.model import AuthMode, Endpoint, deployment_key
from trioroute.core.registry import RecordDecisions
from trioroute.core.resources.commands import (
    DeleteDeployment,
    DeleteEndpoint,
    Origin,
    PutDeployment,
    PutEndpoint,
    SetKeys,
    SetTraffic,
)
from trioroute.core.resources.state import RegistryState
from trioroute.errors import NoCoordinatorError
from trioroute.wire.resources import (
    Credentials,
    DeploymentResource,
    DrillWish,
    EndpointResource,
    KeyWish,
    LogList,
    ReplicaLog,
    Resources,
    TokenWish,
    TrafficChange,
    TrafficWish,
    Written,
)

__all__ = ["ResourceHandlers"]

#: A change that reads first is tried again when somebody else was faster, so often.
_TRIES: Final = 5

#: For how long both the old and the new key are valid, seconds: until every front-end that may
#: still answer has the new one. A log entry reaches its peers within milliseconds.
_KEY_OVERLAP_S: Final = 1.0


@attrs.define
class ResourceHandlers:  # house: one handler for each row of `operations`, and nothing else
    """The handlers of one listener."""

    _desk: Desk
    _replicas_of: Callable[[str], tuple[str, ...]]
    _unix_time: Callable[[], float] = time.time

    async def get_decisions(self, _: Request) -> Response:
        """What coordinators decided lately, and why."""
        return json_answer(DecisionList(self._desk.state.decisions))

    async def post_drill(self, request: Request) -> Response:
        """Put a drill on record beside what coordinators decide while it runs."""
        wish: DrillWish = read_wish(await read_json_body(request), DrillWish)
        epoch = self._desk.state.epoch
        note = Decision(
            at_s=self._unix_time(),
            epoch=epoch,
            kind=DecisionKind.DRILL,
            subject=wish.subject,
            summary=wish.summary,
        )
        index = await self._desk.change(RecordDecisions(epoch=epoch, decisions=(note,)))
        return json_answer(Written(index=index, resource_version=index, is_new=True))

    async def get_registry(self, _: Request) -> Response:
        """All that is registered."""
        state = self._desk.state
        return json_answer(
            Resources(
                index=state.index,
                endpoints=tuple(_endpoint_resource(state, name) for name in state.endpoints),
                deployments=tuple(_deployment_resource(state, key) for key in state.deployments),
                namespace=self._desk.namespace,
            )
        )

    async def put_endpoint(self, request: Request) -> Response:
        """Make or change an endpoint."""
        name = request.path_params["endpoint"]
        endpoint, wish = read_endpoint(await read_json_body(request), name)
        sealed = b""
        known = self._desk.state.endpoints.get(name)
        if _needs_keys(endpoint) and (known is None or not known.key_digests):
            given = wish.keys
            keys = (
                EndpointKeys.fresh()
                if given is None
                else EndpointKeys(given.primary_key, given.secondary_key)
            )
            sealed = self._desk.vault.seal(name, keys)
            endpoint = attrs.evolve(endpoint, key_digests=keys.digests)
        command = PutEndpoint(
            endpoint=endpoint,
            document=wish.document,
            sealed_keys=sealed,
            expected=_expected(request),
            origin=self._origin(request),
        )
        return await self._write(name, lambda: self._desk.change(command))

    async def delete_endpoint(self, request: Request) -> Response:
        """Delete an endpoint and its deployments, also with live traffic if that is asked for."""
        name = request.path_params["endpoint"]
        command = DeleteEndpoint(
            name=name,
            expected=_expected(request),
            only_idle=not _is_set(request, "with_traffic"),
            origin=self._origin(request),
        )
        return await self._write(name, lambda: self._desk.change(command))

    async def put_deployment(self, request: Request) -> Response:
        """Make or change a deployment."""
        endpoint, name = request.path_params["endpoint"], request.path_params["deployment"]
        body = await read_json_body(request)
        deployment, wish = read_deployment(body, endpoint, name)
        command = PutDeployment(
            deployment=deployment,
            document=wish.document,
            expected=_expected(request),
            origin=self._origin(request),
        )
        return await self._write(deployment.key, lambda: self._desk.change(command))

    async def delete_deployment(self, request: Request) -> Response:
        """Delete a deployment that gets no traffic."""
        endpoint, name = request.path_params["endpoint"], request.path_params["deployment"]
        command = DeleteDeployment(
            endpoint=endpoint,
            name=name,
            expected=_expected(request),
            origin=self._origin(request),
        )
        return await self._write(deployment_key(endpoint, name), lambda: self._desk.change(command))

    async def patch_traffic(self, request: Request) -> Response:
        """Change how an endpoint's requests are shared out."""
        name = request.path_params["endpoint"]
        wish: TrafficWish = read_wish(await read_json_body(request), TrafficWish)
        _check_shares(wish)

        async def change(endpoint: Endpoint, version: int) -> TrafficChange:
            index = await self._desk.change(
                SetTraffic(
                    endpoint=name,
                    traffic=wish.traffic,
                    mirror_traffic=wish.mirror_traffic,
                    expected=version,
                    origin=self._origin(request),
                )
            )
            changed = self._desk.state
            new = changed.endpoints.get(name, endpoint)
            return TrafficChange(
                index=index,
                resource_version=changed.versions.get(name, index),
                old=dict(endpoint.traffic),
                new=dict(new.traffic),
            )

        return json_answer(await self._read_and_change(name, _expected(request), change))

    async def post_credentials(self, request: Request) -> Response:
        """The keys of an endpoint."""
        name = request.path_params["endpoint"]
        return json_answer(_as_credentials(self._keys_of(name)))

    async def post_regenerate(self, request: Request) -> Response:
        """Replace one key; the other one goes on working all the time."""
        name = request.path_params["endpoint"]
        wish: KeyWish = read_wish(await read_json_body(request), KeyWish)

        async def change(_: Endpoint, version: int) -> EndpointKeys:
            old = self._keys_of(name)
            new = _regenerated(old, wish)
            sealed = self._desk.vault.seal(name, new)
            # Old and new at once, until every front-end has learnt the new one: whoever uses the
            # answer at once must not meet a front-end that does not know its key yet.
            both = tuple(dict.fromkeys((*new.digests, *old.digests)))
            await self._desk.change(
                SetKeys(endpoint=name, key_digests=both, sealed_keys=sealed, expected=version)
            )
            await trio.sleep(_KEY_OVERLAP_S)
            alone = SetKeys(
                endpoint=name,
                key_digests=new.digests,
                sealed_keys=sealed,
                expected=self._desk.state.versions.get(name),
            )
            try:
                await self._desk.change(alone)
            except (NoCoordinatorError, OutcomeUnknownError) as error:
                # By itself that may have changed nothing; the first half has.
                raise OutcomeUnknownError(
                    "the new key opens already, and the old one may still do: look at the keys, "
                    f"and replace this one again ({error})"
                ) from None
            return new

        keys = await self._read_and_change(name, None, change)
        return json_answer(_as_credentials(keys))

    async def post_token(self, request: Request) -> Response:
        """A scoring token."""
        wish: TokenWish = read_wish(await read_json_body(request), TokenWish)
        office = TokenOffice(self._desk, self._unix_time)
        return json_answer(await office.issue(request.path_params["endpoint"], wish.ttl_s))

    async def post_revoke(self, request: Request) -> Response:
        """No token issued so far is believed any more."""
        name = request.path_params["endpoint"]
        office = TokenOffice(self._desk, self._unix_time)
        return await self._write(name, lambda: office.revoke(name))

    async def get_logs(self, request: Request) -> Response:
        """The end of what each replica printed."""
        params = request.path_params
        key = deployment_key(params["endpoint"], params["deployment"])
        if key not in self._desk.state.deployments:
            raise ProblemError(problems.NOT_FOUND, "no deployment has this name")
        replicas = self._replicas_of(key)
        items = [ReplicaLog(name, await self._desk.last_lines(name)) for name in replicas]
        return json_answer(LogList(tuple(items)))

    def _origin(self, request: Request) -> Origin:
        return Origin(at_s=self._unix_time(), by=asker_of(request), through=self._desk.name)

    async def _write(self, name: str, change: Callable[[], Awaitable[int]]) -> Response:
        """Commit, and say what it made of the resource."""
        before = self._desk.state
        index = await change()
        version = self._desk.state.versions.get(name, index)
        return json_answer(
            Written(
                index=index,
                resource_version=version,
                is_new=name not in before.endpoints and name not in before.deployments,
                is_changed=version == index,
            )
        )

    async def _read_and_change(
        self, name: str, expected: int | None, change: Callable[[Endpoint, int], Awaitable[Any]]
    ) -> Any:
        """Change what was read; again when somebody else was faster, unless a version is named."""
        for left in reversed(range(_TRIES)):
            state = self._desk.state
            endpoint = state.endpoints.get(name)
            if endpoint is None:
                raise MissingError("no endpoint has this name")
            version = state.versions.get(name, 1) if expected is None else expected
            try:
                return await change(endpoint, version)
            except ConflictError:
                if expected is not None or not left:
                    raise
        raise AssertionError

    def _keys_of(self, name: str) -> EndpointKeys:
        state = self._desk.state
        endpoint = state.endpoints.get(name)
        if endpoint is None:
            raise MissingError("no endpoint has this name")
        if not _needs_keys(endpoint):
            # Azure's words.
            raise RefusedError(f"Endpoint '{name}' does not use keys for authentication.")
        sealed = state.sealed_keys.get(name, b"")
        if not sealed:
            raise RefusedError("only digests of these keys were registered: nobody can show them")
        return self._desk.vault.open(name, sealed)


def _needs_keys(endpoint: Endpoint) -> bool:
    return endpoint.auth_mode is AuthMode.KEY and not endpoint.anonymous


def _regenerated(old: EndpointKeys, wish: KeyWish) -> EndpointKeys:
    """D15: Azure's own client sends the current key when it wants a fresh one."""
    current = old.primary if wish.key_type == "primary" else old.secondary
    value = fresh_key() if wish.key_value in (None, "", current) else wish.key_value
    assert value is not None
    if wish.key_type == "primary":
        return EndpointKeys(value, old.secondary)
    return EndpointKeys(old.primary, value)


def _as_credentials(keys: EndpointKeys) -> Credentials:
    return Credentials(primary_key=keys.primary, secondary_key=keys.secondary)


def _check_shares(wish: TrafficWish) -> None:
    """The service's own rule and D5."""
    shares = wish.traffic.values()
    if any(not 0 <= percent <= 100 for percent in shares) or sum(shares) not in (0, 100):
        raise RefusedError(f"traffic must be percentages that sum to 0 or 100, not {sum(shares)}")
    mirrored = (wish.mirror_traffic or {}).values()
    if any(not 0 <= percent <= 50 for percent in mirrored) or sum(map(bool, mirrored)) > 1:
        raise RefusedError("mirror traffic is 0 to 50 % of one deployment")


def _expected(request: Request) -> int | None:
    """The version that the writer insists on.

    Raises:
        ProblemError: a condition that cannot be read must not be taken for none.
    """
    is_new = request.headers.get("if-none-match")
    if is_new is not None and is_new.strip() != "*":
        raise ProblemError(problems.MALFORMED, "If-None-Match takes * only: it must be new")
    if is_new is not None:
        return 0
    text = request.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    number = text.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and int(number) < 2**63):
        raise ProblemError(problems.MALFORMED, 'If-Match takes a resource_version: "42"')
    return int(number)


def _is_set(request: Request, name: str) -> bool:
    """A yes or no of the query; no when it is not there.

    Raises:
        ProblemError: it is something else, or the query has more than that.
    """
    others = sorted(set(request.query_params) - {name})
    if others:
        raise ProblemError(problems.MALFORMED, f"there is no parameter {others[0]}: only {name}")
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise ProblemError(problems.MALFORMED, f"{name} is true or false, not {text}")
    return text == "true"


def _endpoint_resource(state: RegistryState, name: str) -> EndpointResource:
    endpoint = state.endpoints[name]
    return EndpointResource(
        name=name,
        resource_version=state.versions.get(name, 1),
        traffic=dict(endpoint.traffic),
        mirror_traffic=dict(endpoint.mirror_traffic),
        auth_mode=endpoint.auth_mode.value,
        has_keys=bool(endpoint.key_digests),
        document=state.documents.get(name, ""),
    )


def _deployment_resource(state: RegistryState, key: str) -> DeploymentResource:
    deployment = state.deployments[key]
    return DeploymentResource(
        endpoint=deployment.endpoint,
        name=deployment.name,
        resource_version=state.versions.get(key, 1),
        generation=deployment.generation,
        instance_count=deployment.scale.instance_count,
        document=state.documents.get(key, ""),
        revision=getattr(deployment.source, "revision", ""),
    )
