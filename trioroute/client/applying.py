"""`apply`: makes what is registered equal to what files say, in an order that drops no request.

New endpoints first, since deployments need one; then deployments, waiting until they are rolled
out; only then endpoints that exist, since their traffic may go to what was just started; deletions
last.
Applying the same files again changes nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from trioroute.client.resources import ResourceClient
from trioroute.core.resources.provisioning import ProvisioningState
from trioroute.core.resources.telling import differences
from trioroute.core.status import ClusterStatus, DeploymentStatus, ReplicaCondition
from trioroute.errors import TrioRouteError
from trioroute.spec.load import Loaded
from trioroute.spec.written.documents import Document
from trioroute.wire.resources import EndpointResource, Resources

__all__ = [
    "ProvisioningFailedError",
    "Step",
    "WaitTimedOutError",
    "apply_steps",
    "plan_steps",
    "wait_provisioned",
]

#: How often to look again while something starts, seconds.
_LOOK_S: Final = 0.1
#: How much of what a failed replica printed is shown: a traceback's end.
_LAST_LINES: Final = 15
#: Set by `traffic` and not only by files: a file that does not name them leaves them alone.
_TRAFFIC_FIELDS: Final = ("traffic", "mirror_traffic")

Progress = Callable[[str], None]


class WaitTimedOutError(TrioRouteError):
    """What was registered did not run in time; it stays registered and may still get there."""

    reason = "timed-out"


class ProvisioningFailedError(TrioRouteError):
    """What was registered does not start; the message says why, with its last lines."""

    reason = "provisioning-failed"


@attrs.frozen(kw_only=True)
class Step:
    """What is to be done about one resource.

    Attributes:
        action: `create`, `update`, `delete` or `unchanged`.
        kind: `endpoint` or `deployment`.
        key: its name in the registry.
        changes: of an update, one line for each field: `path: old → new`.
    """

    action: str
    kind: str
    key: str
    changes: tuple[str, ...] = ()


def plan_steps(loaded: Loaded, registry: Resources, *, prune: bool = False) -> list[Step]:
    """What it takes to make the registry say what the files say, in the order to do it.

    Args:
        prune: delete what no file names.
    """
    endpoints = {one.name: one for one in registry.endpoints}
    deployments = {f"{one.endpoint}/{one.name}": one for one in registry.deployments}
    made, changed = [], []
    for endpoint in loaded.endpoints:
        new = loaded.documents[endpoint.name]
        old = endpoints.get(endpoint.name)
        if old is None:
            made.append(Step(action="create", kind="endpoint", key=endpoint.name))
        else:
            lines = tuple(_lines(shown_endpoint(old), kept_traffic(new.content, old)))
            changed.append(_update("endpoint", endpoint.name, lines))
    inner = []
    for deployment in loaded.deployments:
        key = deployment.key
        before = deployments.get(key)
        if before is None:
            inner.append(Step(action="create", kind="deployment", key=key))
            continue
        lines = tuple(_lines(_content(before.document), loaded.documents[key].content))
        if before.revision != getattr(deployment.source, "revision", ""):
            lines += ("files: changed",)
        inner.append(_update("deployment", key, lines))
    return [*made, *inner, *changed, *(_deletions(loaded, registry) if prune else ())]


def _update(kind: str, key: str, changes: tuple[str, ...]) -> Step:
    return Step(action="update" if changes else "unchanged", kind=kind, key=key, changes=changes)


def _deletions(loaded: Loaded, registry: Resources) -> Iterator[Step]:
    for deployment in registry.deployments:
        key = f"{deployment.endpoint}/{deployment.name}"
        is_parent_kept = deployment.endpoint in loaded.documents
        if key not in loaded.documents and is_parent_kept:
            yield Step(action="delete", kind="deployment", key=key)
    for endpoint in registry.endpoints:
        if endpoint.name not in loaded.documents:
            yield Step(action="delete", kind="endpoint", key=endpoint.name)


def apply_steps(
    client: ResourceClient,
    loaded: Loaded,
    steps: Sequence[Step],
    *,
    wait_s: float | None,
    progress: Progress,
    with_traffic: bool = False,
) -> None:
    """Do what was planned; returns when all of it runs.

    Args:
        with_traffic: delete endpoints also while they have live traffic.
        wait_s: for how long to wait for each rollout; None does not wait at all.

    Raises:
        ProblemAnswerError: a step was refused; those before it are done, those after it are not.
        WaitTimedOutError, ProvisioningFailedError: what was registered does not run (yet).
    """
    awaited: dict[str, int] = {}
    registered = {one.name: one for one in client.registry().endpoints}
    for step in steps:
        if awaited and wait_s is not None and (step.kind, step.action) == ("endpoint", "update"):
            # Its traffic may go to what is just being started.
            wait_provisioned(client, awaited, wait_s=wait_s, progress=progress)
            awaited = {}
        if step.action in ("create", "update"):
            progress(f"{step.action} {step.kind} {step.key}")
            index = _put(client, loaded, step, registered.get(step.key))
            if step.kind == "deployment":
                awaited[step.key] = index
        elif step.action == "delete":
            progress(f"delete {step.kind} {step.key}")
            _delete(client, step, with_traffic=with_traffic)
        elif step.kind == "deployment":
            awaited[step.key] = 0
    if wait_s is not None:
        wait_provisioned(client, awaited, wait_s=wait_s, progress=progress)


def _put(client: ResourceClient, loaded: Loaded, step: Step, old: EndpointResource | None) -> int:
    document = loaded.documents[step.key]
    if step.kind == "deployment":
        (deployment,) = [one for one in loaded.deployments if one.key == step.key]
        return client.put_deployment(deployment, document.encode()).index
    (endpoint,) = [one for one in loaded.endpoints if one.name == step.key]
    if old is not None:
        endpoint = attrs.evolve(endpoint, **_kept_fields(document.content, old))
    return client.put_endpoint(endpoint, document.encode()).index


def _delete(client: ResourceClient, step: Step, *, with_traffic: bool) -> None:
    if step.kind == "endpoint":
        client.delete_endpoint(step.key, with_traffic=with_traffic)
    else:
        client.delete_deployment(*step.key.split("/"))


def wait_provisioned(
    client: ResourceClient,
    awaited: Mapping[str, int],
    *,
    wait_s: float,
    progress: Progress,
) -> ClusterStatus | None:
    """Return when each deployment runs as it was registered.

    Args:
        awaited: deployment key to the index of the log from which on its state counts.

    Raises:
        WaitTimedOutError: it takes longer.
        ProvisioningFailedError: one does not start; says what it printed last.
    """
    deadline = time.monotonic() + wait_s
    applied = max(awaited.values(), default=0)
    said: set[str] = set()
    waiting: dict[str, str] = {}
    while True:
        status = client.system.status(applied=applied)
        if status is not None:
            waiting = dict(_waiting(client, status, awaited))
            if not waiting:
                return status
        for key, why in waiting.items():
            line = f"{key}: {why}"
            if line not in said:
                said.add(line)
                progress(line)
        if time.monotonic() > deadline:
            lines = [f"{key}: {why}" for key, why in waiting.items()] or ["nobody answers"]
            raise WaitTimedOutError(f"not there after {wait_s:g} s: {'; '.join(lines)}")
        time.sleep(_LOOK_S)


def _waiting(
    client: ResourceClient, status: ClusterStatus, awaited: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    found = {d.key: d for endpoint in status.endpoints for d in endpoint.deployments}
    for key in awaited:
        one = found.get(key)
        state = "" if one is None else one.provisioning_state
        if one is not None and state == ProvisioningState.FAILED.value:
            printed = _last_lines_of_failed(client, one)
            if printed is not None:
                text = "".join(f"\n    {line}" for line in printed)
                raise ProvisioningFailedError(
                    f"deployment {key} does not start: {one.provisioning_reason}{text}"
                )
        if state != ProvisioningState.SUCCEEDED.value:
            why = "" if one is None else one.provisioning_reason
            yield key, f"{state or 'unknown'} {why}".strip()


def _last_lines_of_failed(client: ResourceClient, one: DeploymentStatus) -> tuple[str, ...] | None:
    """What a failed replica printed last; None when all of them were replaced since that look.

    They come again at the next end, after a longer pause each time.
    """
    failing = {r.id for r in one.replicas if r.state is ReplicaCondition.BACKING_OFF}
    logs = client.logs(one.endpoint, one.name).items
    return next((log.lines[-_LAST_LINES:] for log in logs if log.id in failing), None)


def shown_endpoint(resource: EndpointResource) -> dict[str, Any]:
    """An endpoint as its user would write it today, with the traffic that it has now."""
    content = dict(_content(resource.document))
    for field in _TRAFFIC_FIELDS:
        content.pop(field, None)
        value = getattr(resource, field)
        if value:
            content[field] = dict(value)
    return content


def kept_traffic(content: Mapping[str, Any], old: EndpointResource) -> dict[str, Any]:
    """New content with the present traffic where the file does not name any."""
    named = {field: value for field, value in content.items() if value is not None}
    kept = {
        field: dict(getattr(old, field))
        for field in _TRAFFIC_FIELDS
        if field not in content and getattr(old, field)
    }
    for field in _TRAFFIC_FIELDS:
        if isinstance(named.get(field), Mapping):
            shares = {str(k).lower(): share for k, share in named[field].items() if share}
            named[field] = shares
            if not shares:
                del named[field]
    return {**named, **kept}


def _kept_fields(content: Mapping[str, Any], old: EndpointResource) -> dict[str, Any]:
    return {field: dict(getattr(old, field)) for field in _TRAFFIC_FIELDS if field not in content}


def _content(document: str) -> Mapping[str, Any]:
    return Document.decode(document).content if document else {}


def _lines(old: Any, new: Any) -> Iterator[str]:
    """One line for each value that differs: `path: old → new`."""
    for path, was, now in differences(old, new):
        yield f"{path}: {_shown(was)} → {_shown(now)}"


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)
