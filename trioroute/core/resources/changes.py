"""Endpoints and deployments one by one: what a user's command does to the registry.

The part of the registry's state machine that users write to. Pure and deterministic.
"""

from collections.abc import Mapping
from typing import Final

import attrs

from trioroute.core.model import AuthMode, Deployment, deployment_key
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
from trioroute.core.resources.state import Refusal, RegistryState, Result

__all__ = ["apply_resource", "with_deployments"]

#: `expected` of whoever wants to make something that must not exist yet.
_ABSENT: Final = 0


def apply_resource(
    state: RegistryState, command: ResourceCommand, index: int
) -> tuple[RegistryState, Result]:
    """The state after a command, and what became of it; refused commands change nothing."""
    name = _resource_of(command)
    result = _refusal_by_version(state, name, command.expected) or _refusal(state, command)
    if result is not None:
        return state, result
    changed = _changed(state, command)
    if changed == state:
        # The same content again is no change, so that applying a file twice moves no version.
        return state, Result()
    versions = {key: at for key, at in changed.versions.items() if _is_known(changed, key)}
    if _is_known(changed, name) and not isinstance(command, SetTokenKeys):
        versions[name] = index
    return attrs.evolve(changed, versions=versions), Result()


def with_deployments(state: RegistryState, deployments: Mapping[str, Deployment]) -> RegistryState:
    """The state with these deployments only; what is known of those that are gone goes too.

    A deployment whose content changed gets the next generation, so that whoever owns its replicas
    can tell those of the old content from those of the new.
    """
    numbered: dict[str, Deployment] = {}
    for key, wished in deployments.items():
        old = state.deployments.get(key)
        if old is None:
            numbered[key] = wished
            continue
        same = attrs.evolve(wished, generation=old.generation)
        grown = attrs.evolve(wished, generation=old.generation + 1)
        numbered[key] = old if same == old else grown
    return attrs.evolve(
        state,
        deployments=numbered,
        replicas={key: group for key, group in state.replicas.items() if key in numbered},
        ready_times_s={key: at for key, at in state.ready_times_s.items() if key in numbered},
        homes={key: homes for key, homes in state.homes.items() if key in numbered},
        leaving={key: homes for key, homes in state.leaving.items() if key in numbered},
        homes_index={key: at for key, at in state.homes_index.items() if key in numbered},
    )


def _resource_of(command: ResourceCommand) -> str:
    match command:
        case PutEndpoint(endpoint=endpoint):
            return endpoint.name
        case PutDeployment(deployment=deployment):
            return deployment.key
        case DeleteEndpoint(name=name):
            return name
        case DeleteDeployment(endpoint=parent, name=name):
            return deployment_key(parent, name)
        case SetTraffic(endpoint=name) | SetKeys(endpoint=name) | SetTokenKeys(endpoint=name):
            return name


def _is_known(state: RegistryState, name: str) -> bool:
    return name in state.endpoints or name in state.deployments


def _refusal_by_version(state: RegistryState, name: str, expected: int | None) -> Result | None:
    # What was registered before versions were counted has version 1.
    version = state.versions.get(name, 1) if _is_known(state, name) else _ABSENT
    if expected is None or expected == version:
        return None
    if expected == _ABSENT:
        return Result(f"{name} exists already", Refusal.CONFLICT)
    if version == _ABSENT:
        return Result(f"{name} does not exist any more", Refusal.MISSING)
    return Result(
        f"{name} was changed meanwhile: it is at version {version}, not {expected}",
        Refusal.CONFLICT,
    )


def _refusal(state: RegistryState, command: ResourceCommand) -> Result | None:
    """Why the command must not be applied; None when it may."""
    match command:
        case PutEndpoint(endpoint=endpoint):
            mounted = [e.name for e in state.endpoints.values() if e.mount is not None]
            if endpoint.mount is not None and set(mounted) - {endpoint.name}:
                return Result(f"{mounted[0]} is mounted already", Refusal.REFUSED)
            return None
        case PutDeployment(deployment=deployment):
            return _missing_endpoint(state, deployment.endpoint)
        case DeleteEndpoint():
            return _missing_endpoint(state, command.name) or _refusal_of_end(state, command)
        case DeleteDeployment():
            return _refusal_of_deletion(state, command)
        case SetKeys(endpoint=name):
            return _missing_endpoint(state, name)
        case SetTokenKeys():
            return _missing_endpoint(state, command.endpoint) or _refusal_of_token_keys(
                state, command
            )
        case SetTraffic():
            return _missing_endpoint(state, command.endpoint) or _refusal_of_traffic(state, command)


def _missing_endpoint(state: RegistryState, name: str) -> Result | None:
    if name in state.endpoints:
        return None
    return Result(f"there is no endpoint {name}", Refusal.MISSING)


def _refusal_of_end(state: RegistryState, command: DeleteEndpoint) -> Result | None:
    name = command.name
    shares = [
        f"{deployment} {percent} %"
        for deployment, percent in state.endpoints[name].traffic.items()
        if percent and deployment_key(name, deployment) in state.deployments
    ]
    if command.only_idle and shares:
        message = f"{name} has live traffic ({', '.join(shares)}): set that to 0 first"
        return Result(message, Refusal.REFUSED)
    return None


def _refusal_of_deletion(state: RegistryState, command: DeleteDeployment) -> Result | None:
    name, key = command.name, deployment_key(command.endpoint, command.name)
    if key not in state.deployments:
        return Result(f"there is no deployment {key}", Refusal.MISSING)
    parent = state.endpoints[command.endpoint]
    live, mirrored = parent.traffic.get(name, 0), parent.mirror_traffic.get(name, 0)
    if (live or mirrored) and not command.with_traffic:
        share = f"{live} % of the traffic" if live else f"{mirrored} % of mirrored traffic"
        return Result(f"{key} gets {share}: set that to 0 first", Refusal.REFUSED)
    return None


def _refusal_of_token_keys(state: RegistryState, command: SetTokenKeys) -> Result | None:
    name = command.endpoint
    if state.endpoints[name].auth_mode is not AuthMode.AML_TOKEN:
        return Result(f"{name} does not take tokens of ours", Refusal.REFUSED)
    if tuple(key.public for key in state.token_keys.get(name, ())) != command.known:
        return Result(f"the signing keys of {name} were changed meanwhile", Refusal.CONFLICT)
    return None


def _refusal_of_traffic(state: RegistryState, command: SetTraffic) -> Result | None:
    shares = {**command.traffic, **(command.mirror_traffic or {})}
    for name, percent in shares.items():
        key = deployment_key(command.endpoint, name)
        if percent and key not in state.deployments:
            return Result(f"there is no deployment {key}", Refusal.MISSING)
    mirrored = command.mirror_traffic
    if mirrored is None:
        mirrored = state.endpoints[command.endpoint].mirror_traffic
    both = [name for name, percent in mirrored.items() if percent and command.traffic.get(name)]
    if both:
        message = f"{both[0]} cannot get live traffic and mirrored traffic: set one of them to 0"
        return Result(message, Refusal.REFUSED)
    return None


def _changed(state: RegistryState, command: ResourceCommand) -> RegistryState:
    match command:
        case PutEndpoint():
            return _with_endpoint(state, command)
        case PutDeployment(deployment=deployment, document=document):
            key = deployment.key
            changed = with_deployments(state, {**state.deployments, key: deployment})
            return attrs.evolve(changed, documents={**state.documents, key: document})
        case DeleteEndpoint(name=name):
            return _without_endpoint(state, name)
        case DeleteDeployment(endpoint=parent, name=name):
            return _without_deployment(state, deployment_key(parent, name))
        case SetTraffic():
            return _with_traffic(state, command)
        case SetTokenKeys(endpoint=name, keys=keys):
            return attrs.evolve(state, token_keys={**state.token_keys, name: keys})
        case SetKeys(endpoint=name, key_digests=digests, sealed_keys=sealed):
            endpoint = attrs.evolve(state.endpoints[name], key_digests=digests)
            return attrs.evolve(
                state,
                endpoints={**state.endpoints, name: endpoint},
                sealed_keys={**state.sealed_keys, name: sealed},
            )


def _with_endpoint(state: RegistryState, command: PutEndpoint) -> RegistryState:
    name = command.endpoint.name
    old = state.endpoints.get(name)
    has_keys = old is not None and bool(old.key_digests)
    digests = old.key_digests if old is not None and has_keys else command.endpoint.key_digests
    sealed = state.sealed_keys.get(name, b"") if has_keys else command.sealed_keys
    endpoint = attrs.evolve(command.endpoint, key_digests=digests)
    return attrs.evolve(
        state,
        endpoints={**state.endpoints, name: endpoint},
        documents={**state.documents, name: command.document},
        sealed_keys={**state.sealed_keys, name: sealed},
        # Back to keys and then to tokens once more: the old tokens are not to come alive again.
        token_keys={
            key: keys
            for key, keys in state.token_keys.items()
            if key != name or endpoint.auth_mode is AuthMode.AML_TOKEN
        },
    )


def _with_traffic(state: RegistryState, command: SetTraffic) -> RegistryState:
    old = state.endpoints[command.endpoint]
    mirrored = command.mirror_traffic
    endpoint = attrs.evolve(
        old,
        traffic={name: percent for name, percent in command.traffic.items() if percent},
        mirror_traffic=old.mirror_traffic
        if mirrored is None
        else {name: percent for name, percent in mirrored.items() if percent},
    )
    return attrs.evolve(state, endpoints={**state.endpoints, old.name: endpoint})


def _without_endpoint(state: RegistryState, name: str) -> RegistryState:
    gone = [key for key, one in state.deployments.items() if one.endpoint == name]
    left = {key: one for key, one in state.deployments.items() if key not in gone}
    return attrs.evolve(
        with_deployments(state, left),
        endpoints={key: one for key, one in state.endpoints.items() if key != name},
        documents=_without(state.documents, {name, *gone}),
        sealed_keys={key: one for key, one in state.sealed_keys.items() if key != name},
        token_keys={key: one for key, one in state.token_keys.items() if key != name},
    )


def _without_deployment(state: RegistryState, key: str) -> RegistryState:
    left = {name: one for name, one in state.deployments.items() if name != key}
    documents = _without(state.documents, {key})
    return attrs.evolve(with_deployments(state, left), documents=documents)


def _without(documents: Mapping[str, str], gone: set[str]) -> dict[str, str]:
    return {key: one for key, one in documents.items() if key not in gone}
