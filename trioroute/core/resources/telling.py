"""Users' changes as events: who changed what, from what to what.

Told by the state machine itself, so what it says was there before is what was there before.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from trioroute.core.decisions import Decision, DecisionKind, with_decisions
from trioroute.core.model import deployment_key
from trioroute.core.resources.commands import (
    DeleteDeployment,
    DeleteEndpoint,
    PutDeployment,
    PutEndpoint,
    ResourceCommand,
    SetKeys,
    SetTokenKeys,
    SetTraffic,
)
from trioroute.core.resources.state import RegistryState

__all__ = ["differences", "note_change"]

#: Events are lines: more changes than these are in the resource itself.
_CHANGES_MAX: Final = 6
#: They have events of their own.
_TRAFFIC: Final = ("traffic", "mirror_traffic")
#: Words that anybody may read, as anybody may read events where scrapers need no token. Numbers
#: are shown too; all other texts (variables, tags, commands, addresses) are named and not told.
_OPEN: Final = frozenset({"auth_mode", "instance_type", "type"})
_CLOSED: Final = frozenset({"environment_variables", "tags"})


def note_change(
    before: RegistryState, after: RegistryState, command: ResourceCommand
) -> RegistryState:
    """The state with what the command changed among its events."""
    if isinstance(command, SetKeys | SetTokenKeys) or command.origin is None:
        return after
    origin = command.origin
    inputs = {"by": origin.by, "through": origin.through}
    events = tuple(
        Decision(
            at_s=origin.at_s,
            epoch=after.epoch,
            kind=kind,
            subject=subject,
            summary=summary,
            inputs={name: value for name, value in inputs.items() if value},
        )
        for kind, subject, summary in _told(before, after, command)
    )
    return attrs.evolve(after, decisions=with_decisions(after.decisions, events))


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each value that differs: where, the old one and the new one, None where there is none."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys((*old, *new)):
            below = f"{path}.{name}" if path else str(name)
            yield from differences(old.get(name), new.get(name), below)
    elif old != new:
        yield path, old, new


_Told = tuple[DecisionKind, str, str]


def _told(before: RegistryState, after: RegistryState, command: ResourceCommand) -> Iterator[_Told]:
    match command:
        case PutEndpoint(endpoint=endpoint):
            if endpoint.name not in before.endpoints:
                yield DecisionKind.ENDPOINT, endpoint.name, "made"
            elif changes := _changes(before, after, endpoint.name):
                yield DecisionKind.ENDPOINT, endpoint.name, changes
            yield from _told_of_traffic(before, after, endpoint.name)
        case SetTraffic(endpoint=name):
            yield from _told_of_traffic(before, after, name)
        case PutDeployment(deployment=deployment):
            key = deployment.key
            known = key in before.deployments
            if summary := _changes(before, after, key) if known else "made":
                yield DecisionKind.DEPLOYMENT, key, summary
        case DeleteEndpoint(name=name):
            gone = [one.name for one in before.deployments.values() if one.endpoint == name]
            summary = "deleted" + (f" with {', '.join(gone)}" if gone else "")
            yield DecisionKind.ENDPOINT, name, summary
        case DeleteDeployment(endpoint=parent, name=name):
            yield DecisionKind.DEPLOYMENT, deployment_key(parent, name), "deleted"


def _told_of_traffic(before: RegistryState, after: RegistryState, name: str) -> Iterator[_Told]:
    new, old = after.endpoints[name], before.endpoints.get(name)
    for what in _TRAFFIC:
        shares = getattr(new, what)
        moves = [
            f"{deployment} {was or 0} → {share or 0}"
            for deployment, was, share in differences(getattr(old, what, {}), shares)
            if (was or 0) != (share or 0)
        ]
        if moves:
            prefix = "" if what == "traffic" else "mirror "
            yield DecisionKind.TRAFFIC, name, prefix + ", ".join(moves)


def _changes(before: RegistryState, after: RegistryState, key: str) -> str:
    """What of a resource is another, by the names of its user's fields."""
    try:
        lines = list(_lines(_content(before, key), _content(after, key)))
    except (ValueError, RecursionError):
        return "changed"  # whoever speaks to the admin API may call anything a document
    if _revision(before, key) != _revision(after, key):
        lines.append("what its files say")
    left = len(lines) - _CHANGES_MAX
    return ", ".join(lines[:_CHANGES_MAX]) + (f", and {left} more" if left > 0 else "")


def _lines(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for path, was, now in differences(old, new):
        field, _, rest = path.partition(".")
        if field in _TRAFFIC:
            continue
        name = rest.rpartition(".")[2] or field
        is_open = field not in _CLOSED and all(
            name in _OPEN or isinstance(value, int | float | None) for value in (was, now)
        )
        yield f"{path} {_shown(was)} → {_shown(now)}" if is_open else f"{path} is another"


def _content(state: RegistryState, key: str) -> Mapping[str, Any]:
    document = state.documents.get(key, "")
    read = json.loads(document) if document else None
    content = read.get("content") if isinstance(read, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def _revision(state: RegistryState, key: str) -> str:
    deployment = state.deployments.get(key)
    return "" if deployment is None else getattr(deployment.source, "revision", "")


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)
