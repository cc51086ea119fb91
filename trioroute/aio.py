"""The SDK for asyncio and Trio: `async with trioroute.aio.connect() as client`.

One core: every call runs the synchronous client's code in a worker thread, so both say and raise
the same. A call that is cancelled returns at once; what it had sent may still be done, as with any
client that goes away.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import attrs

from trioroute.client import sdk
from trioroute.client.applying import Step
from trioroute.client.resources import TOKEN_TTL_S
from trioroute.core.decisions import Decision
from trioroute.core.status import ClusterStatus
from trioroute.wire.resources import Credentials, ScoringToken, TrafficChange

__all__ = ["Client", "Deployments", "Endpoints", "connect"]

_FOLLOW_S = 1.0
P = ParamSpec("P")
T = TypeVar("T")


async def _run(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    bound = partial(call, *arguments, **named)
    return await anyio.to_thread.run_sync(bound, abandon_on_cancel=True)


@attrs.frozen
class Endpoints:
    """As `trioroute.client.sdk.Endpoints`; every method is awaited."""

    _sync: sdk.Endpoints

    async def get(self, name: str) -> sdk.Resource:
        """One endpoint; raises NoSuchResourceError."""
        return await _run(self._sync.get, name)

    async def list(self) -> "list[sdk.Resource]":
        """All endpoints."""
        return await _run(self._sync.list)

    async def begin_create_or_update(self, endpoint: sdk.Given) -> sdk.Poller[sdk.Resource]:
        """Make it what is given; traffic that is not named stays as it is."""
        return await _run(self._sync.begin_create_or_update, endpoint)

    async def update(self, endpoint: sdk.Given) -> sdk.Resource:
        """The same, without a poller."""
        return await _run(self._sync.update, endpoint)

    async def begin_delete(self, name: str, *, with_traffic: bool = False) -> sdk.Poller[None]:
        """Delete an endpoint and its deployments; with live traffic only if that is said."""
        return await _run(self._sync.begin_delete, name, with_traffic=with_traffic)

    async def set_traffic(self, name: str, traffic: Mapping[str, int]) -> TrafficChange:
        """Share its requests out differently."""
        return await _run(self._sync.set_traffic, name, traffic)

    async def get_keys(self, name: str) -> Credentials | ScoringToken:
        """`primary_key` and `secondary_key`; `access_token` where the endpoint takes tokens."""
        return await _run(self._sync.get_keys, name)

    async def get_token(self, name: str, *, ttl_s: int = TOKEN_TTL_S) -> ScoringToken:
        """A token for an `aml_token` endpoint, valid for `ttl_s` seconds."""
        return await _run(self._sync.get_token, name, ttl_s=ttl_s)

    async def begin_regenerate_keys(
        self, name: str, *, key_type: str = "primary", key_value: str | None = None
    ) -> sdk.Poller[Credentials]:
        """Replace one key; returns when every front-end takes the new one."""
        call = self._sync.begin_regenerate_keys
        return await _run(call, name, key_type=key_type, key_value=key_value)

    async def invoke(
        self,
        endpoint_name: str,
        body: object = None,
        *,
        request_file: str | os.PathLike[str] | None = None,
        deployment_name: str | None = None,
    ) -> str:
        """Send one request; raises ScoringFailedError."""
        return await _run(
            self._sync.invoke,
            endpoint_name,
            body,
            request_file=request_file,
            deployment_name=deployment_name,
        )


@attrs.frozen
class Deployments:
    """As `trioroute.client.sdk.Deployments`; every method is awaited."""

    _sync: sdk.Deployments

    async def get(self, name: str, endpoint_name: str) -> sdk.Resource:
        """One deployment; raises NoSuchResourceError."""
        return await _run(self._sync.get, name, endpoint_name)

    async def list(self, endpoint_name: str) -> "list[sdk.Resource]":
        """An endpoint's deployments."""
        return await _run(self._sync.list, endpoint_name)

    async def begin_create_or_update(
        self, deployment: sdk.Given, *, wait_s: float | None = 300.0
    ) -> sdk.Poller[sdk.Resource]:
        """Make it what is given, and wait until it runs."""
        return await _run(self._sync.begin_create_or_update, deployment, wait_s=wait_s)

    async def begin_delete(self, name: str, endpoint_name: str) -> sdk.Poller[None]:
        """Delete a deployment that gets no traffic."""
        return await _run(self._sync.begin_delete, name, endpoint_name)

    async def get_logs(self, name: str, endpoint_name: str, lines: int = 5000) -> str:
        """The last lines that its replicas printed."""
        return await _run(self._sync.get_logs, name, endpoint_name, lines)


class Client:
    """One system."""

    def __init__(self, sync: sdk.Client) -> None:
        self._sync = sync
        self.endpoints = self.online_endpoints = Endpoints(sync.endpoints)
        self.deployments = self.online_deployments = Deployments(sync.deployments)

    async def __aenter__(self) -> Self:
        await anyio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing is kept open between calls."""

    async def apply(
        self,
        *paths: str | os.PathLike[str],
        wait_s: float | None = 300.0,
        prune: bool = False,
        dev: bool = False,
        assets: str | os.PathLike[str] | None = None,
        with_traffic: bool = False,
    ) -> list[Step]:
        """As the other client's `apply`; what was done."""
        return await _run(
            self._sync.apply,
            *paths,
            wait_s=wait_s,
            prune=prune,
            dev=dev,
            assets=assets,
            with_traffic=with_traffic,
        )

    async def status(self) -> ClusterStatus:
        """The whole system; raises UnreachableError when no front-end answers."""
        return await _run(self._sync.status)

    async def events(self, *, follow: bool = False) -> AsyncIterator[Decision]:
        """What coordinators decided lately, the oldest first; with `follow`, what comes too."""
        seen: list[Decision] = []
        while True:
            found = await _run(lambda: list(self._sync.events()))
            for each in found:
                if each not in seen:
                    yield each
            if not follow:
                return
            seen = found
            await anyio.sleep(_FOLLOW_S)


def connect(admin: str | None = None, data: str | os.PathLike[str] | None = None) -> Client:
    """As `trioroute.connect`; reads at most a small file, so it is not awaited.

    Raises:
        UnreachableError: there is no such system.
    """
    return Client(sdk.connect(admin, data))
