"""What the custom resources change in the registry, and what is to be said of each. Pure.

On Kubernetes the resources are the source of truth: what they say is put into the registry, what
they no longer say leaves it. A resource that is refused changes nothing: what was accepted under
its name before serves on.

One thing the log changes by itself: the canary guard takes the traffic of a version that fails.
That goes the other way, into the resource, or the next look would undo it.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from trioroute.core.model import Deployment, Endpoint
from trioroute.core.resources.commands import (
    DeleteDeployment,
    DeleteEndpoint,
    PutDeployment,
    PutEndpoint,
    ResourceCommand,
)
from trioroute.core.resources.state import RegistryState
from trioroute.spec.cluster.resources import Reading

__all__ = ["Acceptance", "Plan", "Verdict", "plan_registry"]

#: How many problems of one resource its condition names; the first are what a person mends first.
_PROBLEMS_MAX: Final = 5


class Acceptance(enum.Enum):
    """Why a resource is part of the registry or is not: the Accepted condition's reason."""

    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    DUPLICATE = "Duplicate"
    ENDPOINT_MISSING = "EndpointMissing"
    REFUSED = "Refused"


@attrs.frozen(kw_only=True)
class Verdict:
    """What became of one resource.

    Attributes:
        reading: what it says.
        message: for people; never empty.
    """

    reading: Reading
    acceptance: Acceptance
    message: str


@attrs.frozen(kw_only=True)
class Plan:
    """What to commit, in this order, and a verdict for each resource.

    Attributes:
        changes: each with the reading that it comes from, None for what is deleted.
        halts: endpoints whose resource has to say the traffic that the canary guard left them.
    """

    changes: tuple[tuple[ResourceCommand, Reading | None], ...]
    halts: tuple[tuple[Reading, Mapping[str, int]], ...]
    verdicts: tuple[Verdict, ...]


def plan_registry(state: RegistryState, readings: Sequence[Reading]) -> Plan:
    """Compare.

    Args:
        readings: of all resources, the oldest first: of two with one name it is what counts.
    """
    chosen: dict[str, Reading] = {}
    verdicts = [_judge(reading, chosen, state) for reading in _endpoints_first(readings)]
    accepted = [one.reading for one in verdicts if one.acceptance is Acceptance.ACCEPTED]
    halted = {one.key for one in accepted if _is_halted(state, one)}
    puts = [
        (put, one)
        for one in accepted
        if one.key not in halted and (put := _put_of(state, one)) is not None
    ]
    return Plan(
        changes=(*puts, *_deletions(state, chosen)),
        halts=tuple(
            (one, state.endpoints[one.key].traffic) for one in accepted if one.key in halted
        ),
        verdicts=tuple(verdicts),
    )


def _is_halted(state: RegistryState, reading: Reading) -> bool:
    """Whether the guard has changed the traffic since this very text was copied.

    Another text is its operator's new decision, and counts.
    """
    said, known = reading.said, state.endpoints.get(reading.key)
    return (
        isinstance(said, Endpoint)
        and known is not None
        and reading.key in state.halted
        and state.documents.get(reading.key) == reading.document
        and known.traffic != said.traffic
    )


def _endpoints_first(readings: Sequence[Reading]) -> list[Reading]:
    return sorted(readings, key=lambda reading: "/" in reading.key)


def _judge(reading: Reading, chosen: dict[str, Reading], state: RegistryState) -> Verdict:
    other = chosen.setdefault(reading.key, reading)
    if other is not reading:
        where = "" if other.namespace == reading.namespace else f" in namespace {other.namespace}"
        message = f"{other.name}{where} describes {reading.key} already, and is older"
        return Verdict(reading=reading, acceptance=Acceptance.DUPLICATE, message=message)
    if reading.said is None:
        shown = [f"{one.field}: {one.message}" for one in reading.problems[:_PROBLEMS_MAX]]
        more = len(reading.problems) - len(shown)
        message = "; ".join(shown) + (f"; and {more} more" if more else "")
        serving = reading.key in state.endpoints or reading.key in state.deployments
        message += "; what was accepted before serves on" if serving else ""
        return Verdict(reading=reading, acceptance=Acceptance.INVALID, message=message)
    if isinstance(reading.said, Deployment):
        parent = chosen.get(reading.said.endpoint)
        is_known = reading.said.endpoint in state.endpoints
        # Who may write in one namespace has no say in what answers for another's endpoint.
        is_foreign = parent is not None and parent.namespace != reading.namespace
        if parent is None or is_foreign or (parent.said is None and not is_known):
            where = f" in namespace {reading.namespace}" if is_foreign else ""
            message = f"there is no accepted OnlineEndpoint {reading.said.endpoint}{where}"
            return Verdict(reading=reading, acceptance=Acceptance.ENDPOINT_MISSING, message=message)
    return Verdict(reading=reading, acceptance=Acceptance.ACCEPTED, message="it is in the registry")


def _put_of(state: RegistryState, reading: Reading) -> ResourceCommand | None:
    """What makes the registry say the same; None when it does."""
    said, document = reading.said, reading.document
    if isinstance(said, Endpoint):
        known = state.endpoints.get(reading.key)
        # Keys are made once and live in the registry only.
        same = known is not None and attrs.evolve(said, key_digests=known.key_digests) == known
        put: ResourceCommand = PutEndpoint(endpoint=said, document=document)
    else:
        assert isinstance(said, Deployment)
        old = state.deployments.get(reading.key)
        same = old is not None and attrs.evolve(said, generation=old.generation) == old
        put = PutDeployment(deployment=said, document=document)
    return None if same and state.documents.get(reading.key) == document else put


def _deletions(
    state: RegistryState, chosen: Mapping[str, Reading]
) -> list[tuple[ResourceCommand, None]]:
    gone: list[tuple[ResourceCommand, None]] = [
        (DeleteDeployment(endpoint=one.endpoint, name=one.name, with_traffic=True), None)
        for key, one in state.deployments.items()
        if key not in chosen
    ]
    gone += [(DeleteEndpoint(name=name), None) for name in state.endpoints if name not in chosen]
    return gone
