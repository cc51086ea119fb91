"""What a shell completes: names of endpoints and deployments, asked of the system that is meant.

A shell waits for the answer while somebody types, so it is asked once, for 0.2 s (ux.md, 2.1), and
no answer is no completion.
"""

from pathlib import Path
from typing import Any, Final

import click

from trioroute.cli.options import system_of
from trioroute.errors import TrioRouteError

__all__ = ["complete_deployments", "complete_either", "complete_endpoints"]

_PATIENCE_S: Final = 0.2


def complete_endpoints(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - Click's
    incomplete: str,
) -> list[str]:
    """Endpoints."""
    return [name for name in _names(ctx)[0] if name.startswith(incomplete)]


def complete_deployments(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - Click's
    incomplete: str,
) -> list[str]:
    """Deployments, as ENDPOINT/DEPLOYMENT."""
    return [name for name in _names(ctx)[1] if name.startswith(incomplete)]


def complete_either(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - Click's
    incomplete: str,
) -> list[str]:
    """Both."""
    endpoints, deployments = _names(ctx)
    return [name for name in (*endpoints, *deployments) if name.startswith(incomplete)]


def _names(ctx: click.Context) -> tuple[list[str], list[str]]:
    import msgspec

    from trioroute.client.http import AdminClient
    from trioroute.wire.resources import Resources

    given: dict[str, Any] = ctx.params
    data = given.get("data")
    try:
        system = system_of(given.get("admin"), data and Path(data))
        client = AdminClient(system.admin_urls[0], timeout_s=_PATIENCE_S, token=system.token)
        registry = msgspec.json.decode(client.ask("GET", "/v1/registry"), type=Resources)
    except (TrioRouteError, msgspec.MsgspecError, IndexError):
        return [], []
    deployments = [f"{one.endpoint}/{one.name}" for one in registry.deployments]
    return [one.name for one in registry.endpoints], deployments
