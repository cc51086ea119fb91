"""The copying of custom resources, with a registry in memory instead of a group's log."""

from collections.abc import Sequence
from typing import Any

from tests.k8s.cluster import FakeCluster
from trioroute.core.registry import Command, Registry, RegistryState, Result
from trioroute.core.status import ClusterStatus, CoordinatorStatus, DeploymentStatus, EndpointStatus
from trioroute.discovery.kube.api import KubeApi
from trioroute.discovery.kube.registry import KubeRegistry

__all__ = ["RegistryOfTest"]

Json = dict[str, Any]


class RegistryOfTest:
    """A `ResourceLog` that applies at once, and the copyist that writes to it."""

    def __init__(self, cluster: FakeCluster, apis: Sequence[KubeApi] = ()) -> None:
        """Args:
        apis: of the namespaces to copy from; the cluster's own when none is named.
        """
        self.registry = Registry()
        self.commands: list[Command] = []
        #: Endpoint/deployment → what is seen of it.
        self.seen: dict[str, DeploymentStatus] = {}
        #: Endpoint/deployment → what keeps it from being as wished.
        self.problems: dict[str, str] = {}
        #: Who is said to coordinate.
        self.office = "fe-0"
        self._cluster = cluster
        self.copyist = KubeRegistry(
            apis or [cluster.router_api()],
            self,
            new_keys=lambda endpoint: ((endpoint.encode().ljust(32),) * 2, b"sealed"),
            system=self.system,
            problems=lambda: self.problems,
        )

    @property
    def state(self) -> RegistryState:
        """What has been copied."""
        return self.registry.state

    async def commit(self, command: Command) -> Result:
        """Apply one command."""
        self.commands.append(command)
        return self.registry.apply(command, self.registry.state.index + 1)

    async def run(self) -> None:
        """Copy until cancelled."""
        await self.copyist.run()

    def system(self) -> ClusterStatus:
        """What the registry has, with what the test says about it."""
        return ClusterStatus(
            reporter="fe-0",
            coordinator=CoordinatorStatus(name=self.office, epoch=1),
            endpoints=tuple(
                EndpointStatus(
                    name=name,
                    halted=self.state.halted.get(name, {}),
                    deployments=tuple(
                        self.seen.get(key, DeploymentStatus(endpoint=name, name=one.name))
                        for key, one in self.state.deployments.items()
                        if one.endpoint == name
                    ),
                )
                for name in self.state.endpoints
            ),
        )

    def conditions(self, kind: str, name: str) -> dict[str, Json]:
        """What the resource says of itself, by type."""
        resource = self._cluster.get(kind, name) or {}
        said = (resource.get("status") or {}).get("conditions") or []
        return {condition["type"]: condition for condition in said}

    def reason(self, kind: str, name: str, condition: str) -> str:
        """Of one condition; empty before it is written."""
        return str(self.conditions(kind, name).get(condition, {}).get("reason", ""))
