"""What `trioroute doctor` looks at: a machine, a running system, a cluster."""

from pathlib import Path

import attrs

from trioroute.client.resources import ResourceClient
from trioroute.client.saved.settings import Settings
from trioroute.core.status import ClusterStatus

__all__ = ["Patient"]


@attrs.frozen(kw_only=True)
class Patient:
    """What is looked at.

    Attributes:
        data: data folder of an `up`; None when admin addresses were named.
        client: of the running system; None when there is none, and `why_not` says why.
        is_silent: whether there should be one: its address was named, or it left its own behind.
        endpoint: to send one real request to; empty for none.
        cluster: settings whose namespace is of front-ends in a Kubernetes cluster; None for none.
        is_pre: whether only what can be looked at before is.
        deep_s: for how long Jobs may look from inside the cluster, seconds; None for none.
        image: what those run where no front-end is installed.
    """

    data: Path | None
    client: ResourceClient | None = None
    why_not: str = ""
    is_silent: bool = False
    endpoint: str = ""
    cluster: Settings | None = None
    is_pre: bool = False
    deep_s: float | None = None
    image: str = ""

    def status(self) -> ClusterStatus | None:
        """What the coordinator sees."""
        return None if self.client is None else self.client.system.status()
