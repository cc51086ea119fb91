"""What all front-ends agree on: endpoints, deployments, replicas, homes and known holders.

The application's part of the replicated state. Commands come out of the Raft log in one order, so
`Registry.apply` must be deterministic and must not raise: a refused command is a value, and
nothing has changed. Commands of a coordinator carry its epoch; once a newer epoch has been opened,
older ones are refused, which fences a coordinator that does not know yet that it was replaced.

Per-request data never comes here. See `core.slots` for the soft state that is rebuilt instead.
"""

from collections.abc import Mapping

import attrs

from trioroute.core.decisions import Decision, with_decisions
from trioroute.core.model import (
    AuthMode,
    CoordinatorAddress,
    Deployment,
    Endpoint,
    Replica,
    RoutingSnapshot,
)
from trioroute.core.resources.changes import apply_resource, with_deployments
from trioroute.core.resources.commands import ResourceCommand
from trioroute.core.resources.forgetting import has_forgotten_holder, note_forgotten
from trioroute.core.resources.former import former_without_holder, note_former, settled
from trioroute.core.resources.halting import note_traffic, traffic_without, with_halted
from trioroute.core.resources.state import (
    Death,
    Forgotten,
    Homes,
    Refusal,
    RegistryState,
    Result,
    key_set_of,
)
from trioroute.core.resources.telling import note_change
from trioroute.core.slots.homes import joined
from trioroute.errors import InvariantError

__all__ = [
    "Command",
    "FenceHolder",
    "HaltCanary",
    "Homes",
    "MarkClean",
    "OpenEpoch",
    "ProveDead",
    "PutHomes",
    "PutRegistry",
    "PutReplicas",
    "RecordDecisions",
    "RegisterHolder",
    "Registry",
    "RegistryState",
    "Result",
    "SettleFormer",
]


@attrs.frozen(kw_only=True)
class PutRegistry:
    """Replace all endpoints and deployments by these (what `trioroute up` wishes)."""

    endpoints: tuple[Endpoint, ...]
    deployments: tuple[Deployment, ...]


@attrs.frozen(kw_only=True)
class OpenEpoch:
    """First act of a new coordinator: commands of earlier epochs are refused from here on."""

    epoch: int


@attrs.frozen(kw_only=True)
class RegisterHolder:
    """Make a holder known before it is leased anything, so that a take-over will wait for it.

    Each incarnation is registered anew, which takes back any mark of a clean end; that it followed
    one, or is the first, is kept, for then nothing from before it can run.
    """

    epoch: int
    holder: str
    incarnation: int


@attrs.frozen(kw_only=True)
class MarkClean:
    """That incarnation gave everything back and ended: nothing of it or of earlier ones can run."""

    epoch: int
    holder: str
    incarnation: int


@attrs.frozen(kw_only=True)
class FenceHolder:
    """Declare a holder dead: its home is gone and no take-over waits for it any more.

    Of one incarnation only: a fence must not meet a holder that has started again meanwhile.
    """

    epoch: int
    holder: str
    incarnation: int
    reason: str


@attrs.frozen(kw_only=True)
class ProveDead:
    """Somebody saw processes end that were holders: their parent, or who got their lock after them.

    No epoch: it is a fact, whoever holds the office.

    Attributes:
        holder: one holder, or a front-end for all of its holders.
        below: incarnations lower than this have ended.
        ended_s_ago: for how long, at least, when this was proposed.
    """

    holder: str
    below: int
    ended_s_ago: float


@attrs.frozen(kw_only=True)
class PutReplicas:
    """The whole replica set of one deployment.

    Attributes:
        ready_times_s: what the last starts took, for the next coordinator; those known before stay
            where there are none. One more is known exactly when there is one more replica.
    """

    epoch: int
    deployment: str
    replicas: tuple[Replica, ...]
    ready_times_s: tuple[float, ...] = ()


@attrs.frozen(kw_only=True)
class PutHomes:
    """The whole home assignment of one deployment, stored as decided, never recomputed.

    Attributes:
        leaving: slots taken from a home whose holder has not yet acknowledged it: it may still
            serve from them without a coordinator, so nobody else may have them (decision 22). Also
            on replicas that have gone, for as long as requests may run there.
    """

    epoch: int
    deployment: str
    homes: Homes
    leaving: Homes = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class RecordDecisions:
    """Keep these decisions for whoever asks why, under whichever coordinator (decision 32)."""

    epoch: int
    decisions: tuple[Decision, ...]


@attrs.frozen(kw_only=True)
class HaltCanary:
    """Give a rising deployment no more traffic; only its operator can give it some again.

    Attributes:
        traffic: what the decision was made under; nothing happens when it is another by now.
        reason: one sentence, for whoever asks.
    """

    epoch: int
    endpoint: str
    deployment: str
    traffic: Mapping[str, int]
    reason: str


@attrs.frozen(kw_only=True)
class SettleFormer:
    """Nothing can run or begin any more that a deployment allowed before its change of that index.

    A version that does not know the command has nothing to settle either.
    """

    epoch: int
    deployment: str
    index: int


_OwnCommand = (
    PutRegistry
    | OpenEpoch
    | RegisterHolder
    | MarkClean
    | FenceHolder
    | ProveDead
    | PutReplicas
    | PutHomes
    | RecordDecisions
    | HaltCanary
    | SettleFormer
)
Command = _OwnCommand | ResourceCommand


class Registry:
    """The replicated state machine. One owner; readers take `state`, which is immutable."""

    def __init__(self, state: RegistryState | None = None) -> None:
        # Before the first command nothing was named, so nothing is forgotten.
        self.state = state if state is not None else RegistryState(forgotten=Forgotten())

    def apply(self, command: Command, index: int) -> Result:
        """Take one committed command.

        Args:
            index: its position in the log; rises with every call.
        """
        state = self.state
        if index <= state.index:
            raise InvariantError(f"log entry {index} applied after {state.index}")
        if isinstance(command, ResourceCommand):
            changed, result = apply_resource(state, command, index)
            changed = note_traffic(state, changed)
            if changed is not state:
                changed = note_change(state, changed, command)
        else:
            error = self._refusal(command)
            result = Result(error, Refusal.REFUSED if error else Refusal.NONE)
            changed = state if error else self._changed(command, index)
            if isinstance(command, PutRegistry):
                changed = note_traffic(state, changed)
        changed = note_former(state, note_forgotten(state, changed), index)
        self.state = attrs.evolve(changed, index=index)
        return result

    def snapshot_for(
        self, holder: str, coordinator: CoordinatorAddress | None = None
    ) -> RoutingSnapshot:
        """What one holder routes by."""
        state = self.state
        homes = {
            replica: masks[holder]
            for by_replica in state.homes.values()
            for replica, masks in by_replica.items()
            if masks.get(holder)
        }
        return RoutingSnapshot(
            version=state.index,
            endpoints=tuple(state.endpoints.values()),
            deployments=tuple(state.deployments.values()),
            replicas=tuple(replica for group in state.replicas.values() for replica in group),
            homes=homes,
            coordinator=coordinator,
            key_sets={
                name: key_set_of(keys)
                for name, keys in state.token_keys.items()
                if state.endpoints[name].auth_mode is AuthMode.AML_TOKEN
            },
        )

    def _refusal(self, command: _OwnCommand) -> str:
        """Why the command must not be applied; empty when it may."""
        state = self.state
        if isinstance(command, PutRegistry):
            known = {endpoint.name for endpoint in command.endpoints}
            strays = [d.key for d in command.deployments if d.endpoint not in known]
            return f"no such endpoint: {', '.join(strays)}" if strays else ""
        if isinstance(command, ProveDead):
            return "" if _proven(state, command) else f"no such holder: {command.holder}"
        if command.epoch < state.epoch:
            return f"epoch {command.epoch} is over, {state.epoch} has begun"
        if isinstance(command, MarkClean | FenceHolder):
            is_newest = state.holders.get(command.holder) == command.incarnation
            return "" if is_newest else f"{command.holder} has started again"
        if isinstance(command, SettleFormer):
            former = state.former.get(command.deployment)
            is_newest = former is not None and former.index == command.index
            return "" if is_newest else f"{command.deployment} was changed meanwhile"
        if isinstance(command, HaltCanary):
            endpoint = state.endpoints.get(command.endpoint)
            if endpoint is None or endpoint.traffic != command.traffic:
                return f"the traffic of {command.endpoint} was changed meanwhile"
            if traffic_without(state, command.endpoint, command.deployment) is None:
                return f"nobody else could take the share of {command.deployment}"
        if isinstance(command, PutReplicas | PutHomes):
            if command.deployment not in state.deployments:
                return f"no such deployment: {command.deployment}"
            if isinstance(command, PutHomes):
                return _overlap(command.homes, command.leaving)
        return ""

    def _changed(self, command: _OwnCommand, index: int) -> RegistryState:
        state = self.state
        match command:
            case PutRegistry():
                return _with_registry(state, command, index)
            case OpenEpoch(epoch=epoch):
                return attrs.evolve(state, epoch=epoch)
            case RegisterHolder(holder=holder, incarnation=incarnation):
                return attrs.evolve(
                    state,
                    holders={**state.holders, holder: incarnation},
                    dead={name: at for name, at in state.dead.items() if name != holder},
                    clean=tuple(name for name in state.clean if name != holder),
                    orderly=_orderly_with(state, holder, incarnation),
                )
            case ProveDead(below=below, ended_s_ago=ended_s_ago):
                death = Death(below=below, ended_s_ago=ended_s_ago)
                proven = dict.fromkeys(_proven(state, command), death)
                return attrs.evolve(state, dead={**state.dead, **proven})
            case MarkClean(holder=holder):
                return attrs.evolve(state, clean=(*state.clean, holder))
            case FenceHolder(holder=holder):
                return _without_holder(state, holder)
            case PutReplicas():
                return _with_replicas(state, command, index)
            case RecordDecisions(decisions=decisions):
                return attrs.evolve(state, decisions=with_decisions(state.decisions, decisions))
            case HaltCanary(endpoint=name, deployment=deployment, reason=reason):
                halted = with_halted(state, name, deployment, reason) or state
                return attrs.evolve(halted, versions={**halted.versions, name: index})
            case SettleFormer(deployment=key):
                return attrs.evolve(state, former=settled(state, key))
            case PutHomes(deployment=key, homes=homes, leaving=leaving):
                return attrs.evolve(
                    state,
                    homes={**state.homes, key: homes},
                    leaving={**state.leaving, key: leaving},
                    homes_index={**state.homes_index, key: index},
                )


def _proven(state: RegistryState, proof: ProveDead) -> list[str]:
    """The holders that the proof is about, which have not started again since."""
    return [
        name
        for name, incarnation in state.holders.items()
        if incarnation < proof.below and proof.holder in (name, name.rpartition("/")[0])
    ]


def _orderly_with(state: RegistryState, holder: str, incarnation: int) -> dict[str, int]:
    """Who followed clean ends only, or nobody, once this incarnation is registered."""
    orderly = {name: at for name, at in state.orderly.items() if name != holder}
    is_first = holder not in state.holders and not has_forgotten_holder(state, holder)
    if is_first or holder in state.clean or state.orderly.get(holder) == incarnation:
        orderly[holder] = incarnation
    return orderly


def _with_replicas(state: RegistryState, command: PutReplicas, index: int) -> RegistryState:
    """Replace the set. Homes on a replica that goes are leaving until `PutHomes` says otherwise.

    It may come back under its name (a fixed address does, and one that was not ready for a while),
    and who is cut off meanwhile still serves from its home there (decision 22).
    """
    key, times = command.deployment, command.ready_times_s
    ids = {replica.id for replica in command.replicas}
    homes, leaving = state.homes.get(key, {}), state.leaving.get(key, {})
    gone = {name: masks for name, masks in homes.items() if name not in ids and masks}
    moved = {name: joined(leaving.get(name, {}), masks) for name, masks in gone.items()}
    return attrs.evolve(
        state,
        replicas={**state.replicas, key: command.replicas},
        ready_times_s={**state.ready_times_s, **({key: times} if times else {})},
        homes={**state.homes, key: {n: masks for n, masks in homes.items() if n in ids}},
        leaving={**state.leaving, key: {**leaving, **moved}},
        homes_index={**state.homes_index, **({key: index} if gone else {})},
    )


def _overlap(homes: Homes, leaving: Homes) -> str:
    """Which replica has a slot with two homes; empty when none has."""
    for replica in {*homes, *leaving}:
        seen = 0
        for mask in [*homes.get(replica, {}).values(), *leaving.get(replica, {}).values()]:
            if seen & mask:
                return f"homes overlap on replica {replica}"
            seen |= mask
    return ""


def _with_registry(state: RegistryState, command: PutRegistry, index: int) -> RegistryState:
    """Replace the wish. Sealed keys stay only beside the digests that they belong to."""
    endpoints = {endpoint.name: endpoint for endpoint in command.endpoints}
    changed = with_deployments(state, {one.key: one for one in command.deployments})
    old = {**state.endpoints, **state.deployments}
    new = {**endpoints, **changed.deployments}
    kept = {name for name, one in new.items() if old.get(name) == one}
    return attrs.evolve(
        changed,
        endpoints=endpoints,
        versions={name: state.versions.get(name, 1) if name in kept else index for name in new},
        documents={name: text for name, text in state.documents.items() if name in kept},
        sealed_keys={
            name: sealed
            for name, sealed in state.sealed_keys.items()
            if name in endpoints
            and endpoints[name].key_digests == state.endpoints[name].key_digests
        },
        token_keys={
            name: keys
            for name, keys in state.token_keys.items()
            if name in endpoints and endpoints[name].auth_mode is AuthMode.AML_TOKEN
        },
    )


def _without_holder(state: RegistryState, holder: str) -> RegistryState:
    holders = {name: at for name, at in state.holders.items() if name != holder}
    return attrs.evolve(
        state,
        homes=_homes_without(holder, state.homes),
        leaving=_homes_without(holder, state.leaving),
        former=former_without_holder(state, holder),
        holders=holders,
        dead={name: at for name, at in state.dead.items() if name != holder},
        clean=tuple(name for name in state.clean if name != holder),
        orderly={name: at for name, at in state.orderly.items() if name != holder},
    )


def _homes_without(holder: str, homes: Mapping[str, Homes]) -> dict[str, Homes]:
    return {
        key: {
            replica: {name: mask for name, mask in masks.items() if name != holder}
            for replica, masks in by_replica.items()
        }
        for key, by_replica in homes.items()
    }
