"""Registers what `up` was given, the way `trioroute apply` does, and fetches the keys it made."""

from collections.abc import Callable, Sequence

import trio

from trioroute.admin.resources.vault import EndpointKeys
from trioroute.client.applying import apply_steps, plan_steps
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System
from trioroute.spec.load import Loaded

__all__ = ["register"]


async def register(
    admin_urls: Sequence[str], loaded: Loaded, progress: Callable[[str], None]
) -> dict[str, EndpointKeys]:
    """Make the registry say what the files say, and nothing besides; waits for no replica.

    Without files everything stays as it was when `up` ended last.

    Returns:
        The keys of every endpoint that has some.

    Raises:
        ProblemAnswerError: a change was refused.
        UnreachableError: nobody took it.
    """
    client = ResourceClient(System(admin_urls=tuple(admin_urls)))
    token = trio.lowlevel.current_trio_token()

    def say(text: str) -> None:
        trio.from_thread.run_sync(progress, text, trio_token=token)

    return await trio.to_thread.run_sync(_register, client, loaded, say, abandon_on_cancel=True)


def _register(
    client: ResourceClient, loaded: Loaded, say: Callable[[str], None]
) -> dict[str, EndpointKeys]:
    if loaded.documents:
        steps = plan_steps(loaded, client.registry(), prune=True)
        apply_steps(client, loaded, steps, wait_s=None, progress=say)
    keys = {}
    for endpoint in client.registry().endpoints:
        if endpoint.has_keys:
            found = client.credentials(endpoint.name)
            keys[endpoint.name] = EndpointKeys(found.primary_key, found.secondary_key)
    return keys
