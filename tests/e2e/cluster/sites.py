"""Which cluster the suite runs on: a fake one of its own, or the one that KUBECONFIG names.

`make test-cluster` sets TRIOROUTE_TEST_CLUSTER; `chaos.pods.remote` says what is done there then.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from chaos.pods.remote import remote_site
from chaos.pods.site import Site, fake_site

__all__ = ["is_remote", "open_site"]


def is_remote() -> bool:
    """Whether the suite runs on a cluster of somebody else's."""
    return bool(os.environ.get("TRIOROUTE_TEST_CLUSTER"))


@asynccontextmanager
async def open_site(folder: Path) -> AsyncIterator[Site]:
    """The cluster, with a namespace that is ours."""
    async with (remote_site if is_remote() else fake_site)(folder) as site:
        yield site
