"""The coordinator's copyist: custom resources into the registry, and what runs into their status.

Runs in the coordinator's office only. Every pass compares all there is with all there should be, so
one that was cut short at any write is finished by the next, of this coordinator or another.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

import attrs
import trio

from trioroute.core.model import AuthMode, Endpoint
from trioroute.core.registry import Command, RegistryState, Result
from trioroute.core.resources.commands import (
    Origin,
    PutEndpoint,
    ResourceCommand,
    with_origin,
)
from trioroute.core.status import ClusterStatus
from trioroute.discovery.kube.api import KubeApi
from trioroute.discovery.kube.calls import KubeError
from trioroute.discovery.kube.plan import Acceptance, Verdict, plan_registry
from trioroute.discovery.kube.status import FiguresPace, differs_only_in_figures, status_of
from trioroute.discovery.kube.watch import KubeWatch
from trioroute.spec.cluster.resources import (
    DEPLOYMENT_KIND,
    ENDPOINT_KIND,
    Reading,
    read_resource,
)

__all__ = ["KubeRegistry", "NewKeys", "ResourceLog"]

Json = dict[str, Any]

_LOG: Final = logging.getLogger(__name__)

#: How often what runs is compared with what the resources say of it, seconds.
_LOOK_S: Final = 1.0
_NOT_FOUND: Final = 404


class ResourceLog(Protocol):
    """The registry, and the way to change it."""

    @property
    def state(self) -> RegistryState:
        """The registry as applied here."""
        ...

    async def commit(self, command: Command) -> Result:
        """Propose, and wait until it is applied here.

        Raises:
            ControlError: not committed, or it is unknown whether.
        """
        ...


class NewKeys(Protocol):
    """Makes an endpoint's first keys."""

    def __call__(self, endpoint: str) -> tuple[tuple[bytes, ...], bytes]:
        """Their digests, and the keys sealed under the cluster secret."""
        ...


@attrs.define
class _Known:
    """A reading, kept while its resource stays the same."""

    version: str
    reading: Reading


class KubeRegistry:
    """Keeps the registry as the custom resources of the models' namespaces say."""

    def __init__(
        self,
        apis: Sequence[KubeApi],
        log: ResourceLog,
        *,
        new_keys: NewKeys,
        system: Callable[[], ClusterStatus],
        problems: Callable[[], Mapping[str, str]],
        dev: bool = False,
    ) -> None:
        """Args:
        apis: of each namespace. Nothing is copied before all of them have been listed: what is
            not known of must not look as if it was deleted.
        new_keys: called for an endpoint with keys that has none yet.
        system: what runs, as this front-end sees it.
        problems: deployment key to what keeps its objects from being as wished, `api` to why
            replicas cannot be watched.
        dev: whether settings for development only are allowed.
        """
        self._apis = {api.namespace: api for api in apis}
        self._log = log
        self._new_keys = new_keys
        self._system = system
        self._problems = problems
        self._dev = dev
        self._known: dict[str, _Known] = {}
        self._refused: dict[str, str] = {}
        self._pace = FiguresPace(0.0)
        self._dirty = trio.Event()
        self._watches: list[KubeWatch] = []

    @property
    def api_problem(self) -> str:
        """Why this or discovery cannot watch the API; empty while both can, or nobody does."""
        trouble = next((one.problem for one in self._watches if one.problem), "")
        return trouble or self._problems().get("api", "")

    async def run(self) -> None:
        """Copy until cancelled.

        Raises:
            ControlError: the log cannot be written: the office is lost.
        """
        watches = self._watches = [
            KubeWatch(
                api.resources.lister(kind), what=f"{kind}s", namespace=name, changed=self._poke
            )
            for name, api in self._apis.items()
            for kind in (ENDPOINT_KIND, DEPLOYMENT_KIND)
        ]
        self._pace = FiguresPace(trio.current_time())
        async with trio.open_nursery() as nursery:
            for watch in watches:
                nursery.start_soon(watch.run)
            while True:
                with trio.move_on_after(_LOOK_S):
                    await self._dirty.wait()
                self._dirty = trio.Event()
                if all(watch.is_synced for watch in watches):
                    await self._copy(tuple(o for w in watches for o in w.objects.values()))

    def _poke(self) -> None:
        self._dirty.set()

    async def _copy(self, resources: tuple[Json, ...]) -> None:
        readings = [self._read(resource) for resource in sorted(resources, key=_age)]
        self._forget_others(resources)
        plan = plan_registry(self._log.state, readings)
        waiting = {_identity_of(reading) for _, reading in plan.changes if reading is not None}
        self._refused = {one: why for one, why in self._refused.items() if one in waiting}
        for command, reading in plan.changes:
            await self._commit(command, reading)
        live = {_identity(resource): resource for resource in resources}
        for reading, traffic in plan.halts:
            await self._write_halt(live[_identity_of(reading)], traffic)
        await self._report(plan.verdicts, live)

    def _read(self, resource: Json) -> Reading:
        identity, version = _identity(resource), _spec_version(resource)
        known = self._known.get(identity)
        if known is None or known.version != version:
            known = _Known(version, read_resource(resource, dev=self._dev))
            self._known[identity] = known
        return known.reading

    def _forget_others(self, resources: tuple[Json, ...]) -> None:
        there = {_identity(resource) for resource in resources}
        self._pace.keep(there)
        for identity in [one for one in self._known if one not in there]:
            del self._known[identity]

    async def _commit(self, command: ResourceCommand, reading: Reading | None) -> None:
        if isinstance(command, PutEndpoint) and self._needs_keys(command.endpoint):
            digests, sealed = self._new_keys(command.endpoint.name)
            endpoint = attrs.evolve(command.endpoint, key_digests=digests)
            command = attrs.evolve(command, endpoint=endpoint, sealed_keys=sealed)
        command = with_origin(command, Origin(at_s=time.time(), through="kubernetes"))
        result = await self._log.commit(command)
        # Tried again at each look, since what it lacks may come; said once.
        known = "" if reading is None else self._refused.get(_identity_of(reading), "")
        if result.error and result.error != known:
            _LOG.warning("%s: %s", type(command).__name__, result.error)
        if reading is not None:
            self._refused[_identity_of(reading)] = result.error

    async def _write_halt(self, resource: Json, traffic: Mapping[str, int]) -> None:
        """Write what the canary guard decided, at the version that it was decided under."""
        name = resource["metadata"]["name"]
        body = {**resource, "spec": {**resource["spec"], "traffic": dict(traffic)}}
        try:
            replace = partial(self._api_of(resource).resources.replace, body)
            await trio.to_thread.run_sync(replace, abandon_on_cancel=True)
        except KubeError as error:
            # Somebody else wrote it: what they wrote is on its way to us. Or tried again later.
            _LOG.warning("halted traffic of %s is not written yet: %s", name, error)
        else:
            _LOG.info("%s: traffic %s, as the canary guard left it", name, dict(traffic))

    def _api_of(self, resource: Json) -> KubeApi:
        return self._apis[resource["metadata"]["namespace"]]

    def _needs_keys(self, endpoint: Endpoint) -> bool:
        known = self._log.state.endpoints.get(endpoint.name)
        has_keys = known is not None and bool(known.key_digests)
        return endpoint.auth_mode is AuthMode.KEY and not endpoint.anonymous and not has_keys

    async def _report(self, verdicts: Sequence[Verdict], live: Mapping[str, Json]) -> None:
        """Write every status that says something else; figures alone when it is their turn."""
        waiting: dict[str, Json] = {}
        for verdict in verdicts:
            identity = _identity_of(verdict.reading)
            there = live[identity].get("status") or {}
            status = self._status_of(verdict, there)
            if status == there:
                continue
            if differs_only_in_figures(status, there):
                waiting[identity] = status
                continue
            self._pace.note(identity, trio.current_time())
            await self._write_status(live[identity], status)
        for identity in self._pace.due(waiting, trio.current_time()):
            await self._write_status(live[identity], waiting[identity])

    def _status_of(self, verdict: Verdict, live: Json) -> Json:
        refused = self._refused.get(_identity_of(verdict.reading), "")
        if refused and verdict.acceptance is Acceptance.ACCEPTED:
            verdict = attrs.evolve(verdict, acceptance=Acceptance.REFUSED, message=refused)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        problem = self._problems().get(verdict.reading.key, "")
        return status_of(verdict, self._system(), live, now=now, problem=problem)

    async def _write_status(self, resource: Json, status: Json) -> None:
        try:
            await trio.to_thread.run_sync(
                partial(
                    self._api_of(resource).resources.write_status,
                    resource["kind"],
                    resource["metadata"]["name"],
                    status,
                ),
                abandon_on_cancel=True,
            )
        except KubeError as error:
            # What is deleted has no status; anything else is tried again at the next look.
            if error.status != _NOT_FOUND:
                _LOG.warning("status of %s: %s", _identity(resource), error)


def _identity(resource: Json) -> str:
    metadata = resource["metadata"]
    return f"{resource['kind']}/{metadata['namespace']}/{metadata['name']}"


def _identity_of(reading: Reading) -> str:
    return f"{reading.kind}/{reading.namespace}/{reading.name}"


def _spec_version(resource: Json) -> str:
    metadata = resource["metadata"]
    return f"{metadata['uid']}/{metadata.get('generation', 1)}"


def _age(resource: Json) -> tuple[str, str]:
    metadata = resource["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["uid"]
