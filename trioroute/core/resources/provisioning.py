"""Where a deployment is between what was registered and what runs, in Azure's words.

Derived from what is seen whenever somebody asks, never stored: it cannot be out of date.
"""

import enum
from collections.abc import Sequence

import attrs

from trioroute.core.model import Deployment, ScaleKind, StaticSource
from trioroute.core.status import (
    FAILED_STARTS,
    PROVISIONING_FAILED,
    ReplicaCondition,
    ReplicaStatus,
)

__all__ = ["Provisioning", "ProvisioningState", "least_count", "most_count", "provisioning_of"]


class ProvisioningState(enum.Enum):
    """`provisioning_state` of a deployment (`azure-reference.md` section 17)."""

    CREATING = "Creating"
    UPDATING = "Updating"
    SCALING = "Scaling"
    SUCCEEDED = "Succeeded"
    FAILED = PROVISIONING_FAILED


@attrs.frozen
class Provisioning:
    """A state, and in one line why it is not `Succeeded`."""

    state: ProvisioningState
    reason: str = ""


def least_count(deployment: Deployment) -> int:
    """How many replicas there will be without any load."""
    if isinstance(deployment.source, StaticSource):
        return 1
    scale = deployment.scale
    return scale.instance_count if scale.kind is ScaleKind.DEFAULT else scale.min_instances


def most_count(deployment: Deployment) -> int:
    """How many replicas there may be under any load."""
    if isinstance(deployment.source, StaticSource):
        return len(deployment.source.addresses)
    scale = deployment.scale
    return scale.instance_count if scale.kind is ScaleKind.DEFAULT else scale.max_instances


def provisioning_of(deployment: Deployment, replicas: Sequence[ReplicaStatus]) -> Provisioning:
    """What can be said from the replicas that are seen."""
    wanted = least_count(deployment)
    new = [each for each in replicas if not each.is_outdated]
    old = [r for r in replicas if r.is_outdated and r.state is ReplicaCondition.READY]
    ready = sum(each.state is ReplicaCondition.READY for each in new)
    progress = f"{ready} of {wanted} ready"
    failing = [
        each
        for each in new
        if each.state is ReplicaCondition.BACKING_OFF and each.restarts >= FAILED_STARTS
    ]
    if ready < wanted and failing:
        kept = f"; {len(old)} of the version before go on serving" if old else ""
        reason = f"{failing[0].reason or 'replicas do not start'}{kept}"
        return Provisioning(ProvisioningState.FAILED, reason)
    if old:
        return Provisioning(ProvisioningState.UPDATING, f"{progress}, {len(old)} old serve on")
    if ready >= wanted:
        return Provisioning(ProvisioningState.SUCCEEDED)
    waiting = next((each.reason for each in new if each.reason), "")
    why = f"{progress}: {waiting}" if waiting else progress
    is_new = not ready
    return Provisioning(ProvisioningState.CREATING if is_new else ProvisioningState.SCALING, why)
