"""What a scenario is, and what a world must be able to do to run one."""

from collections.abc import Mapping
from typing import Protocol

import attrs

from chaos.history import History
from chaos.judging.levels import Levels
from chaos.plan import Plan, Profile
from chaos.workload.load import Load

__all__ = ["Scenario", "Setup", "World"]


@attrs.frozen(kw_only=True)
class Setup:
    """The system that a scenario wants.

    Attributes:
        front_ends: how many; three vote.
        replicas: model servers of the ordinary deployment, dealt out to `replica_processes`.
        slots: requests at once on each.
        service_s: what one request costs a replica.
        request_timeout_s, queue_wait_max_s: the deployment's settings. Waiting is long so that a
            busy machine makes requests late, and only slots that never come make them fail.
        shares_socket: front-ends accept from one listening socket, as under `up`, instead of each
            from a port of its own behind clients that retry refused connects.
        has_chat: a second deployment that may be upgraded.
        chat_max_s: how long its conversations may last, and so its slots are doubted.
        has_lines: front-ends call each other over lines that can be made bad. A line takes calls
            for somebody dead, so the refusal that proves it at once does not come through.
        limits: of the data plane (`--limit`), where they are not the product's own, seconds.
    """

    front_ends: int = 3
    replicas: int = 8
    replica_processes: int = 4
    slots: int = 2
    service_s: float = 0.015
    request_timeout_s: float = 2.0
    queue_wait_max_s: float = 8.0
    shares_socket: bool = False
    has_chat: bool = True
    chat_max_s: float = 5.0
    has_lines: bool = True
    limits: Mapping[str, float] = attrs.field(factory=dict)

    @property
    def deadline_s(self) -> float:
        """By when any request has an outcome: waiting, a coordinator's absence, executing."""
        failover_grace_s = 5.0
        return self.queue_wait_max_s + failover_grace_s + self.request_timeout_s


@attrs.frozen(kw_only=True)
class Scenario:
    """One claim, and what would show that it is wrong.

    Attributes:
        claim: what the project promises; the docstring of the scenario's module.
        worlds: names of the worlds in which it makes sense.
    """

    name: str
    claim: str
    profile: Profile
    levels: Levels
    load: Load
    setup: Setup = attrs.field(factory=Setup)
    worlds: frozenset[str] = frozenset({"processes"})


class World(Protocol):
    """Where a scenario runs: simulated, processes, or pods."""

    @property
    def name(self) -> str:
        """Its name in histories and reports."""
        ...

    def impossible(self) -> Mapping[str, str]:
        """Kinds of fault that cannot be had here, and what each would need."""
        ...

    def run(self, scenario: Scenario, plan: Plan) -> History:
        """Build the system, offer the load, do the faults, heal, and take it down again."""
        ...
