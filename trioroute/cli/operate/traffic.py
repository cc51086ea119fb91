"""`trioroute traffic` and `scale`: changes while everything serves, told as old → new."""

from collections.abc import Mapping
from pathlib import Path

import click

from trioroute.cli.operate.names import complete_deployments, complete_endpoints
from trioroute.cli.options import (
    client_of,
    output_options,
    system_options,
    tell,
    traffic_of,
    wait_options,
)
from trioroute.cli.output import reply

__all__ = ["scale", "traffic"]


@click.command("traffic")
@click.argument("endpoint", shell_complete=complete_endpoints)
@click.argument("shares", nargs=-1, metavar="NAME=PERCENT…")
@click.option("--mirror", help="Deployment=percent that gets copies (at most 50), or none.")
@output_options("text")
@system_options
def traffic(
    *,
    endpoint: str,
    shares: tuple[str, ...],
    mirror: str | None,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Share an endpoint's requests out: `traffic fraud blue=90 green=rest`; without, show it."""
    client = client_of(admin, data)
    old = client.endpoint(endpoint)
    if not shares and mirror is None:
        text = " ".join(f"{name}={percent}" for name, percent in old.traffic.items())
        reply(text, dict(old.traffic), output, query)
        return
    mirrored = None
    if mirror is not None:
        mirrored = {} if mirror in ("", "none") else traffic_of((mirror,))
    wanted = traffic_of(shares) if shares else old.traffic
    for name in (*wanted, *(mirrored or ())):
        # Names the nearest one when there is none.
        client.deployment(endpoint, name)
    changed = client.set_traffic(endpoint, wanted, mirror_traffic=mirrored)
    names = dict.fromkeys((*changed.old, *changed.new))
    moves = [f"{n} {changed.old.get(n, 0)} → {changed.new.get(n, 0)}" for n in names]
    lines = [f"traffic of {endpoint}: {', '.join(moves) or 'none'}"]
    value = {"endpoint": endpoint, "old": dict(changed.old), "new": dict(changed.new)}
    if mirrored is not None:
        value |= {"old_mirror": dict(old.mirror_traffic), "new_mirror": mirrored}
        lines.append(f"mirror: {_words(old.mirror_traffic)} → {_words(mirrored)}")
    reply("\n".join(lines), value, output, query)
    if changed.old != changed.new:
        # Where nothing had a share, saying so takes a name.
        before = changed.old or dict.fromkeys(changed.new, 0)
        tell(f"undo: trioroute traffic {endpoint} {_words(before)}")


def _words(shares: Mapping[str, int]) -> str:
    return " ".join(f"{name}={percent}" for name, percent in shares.items()) or "none"


@click.command("scale")
@click.argument("deployment", metavar="ENDPOINT/DEPLOYMENT", shell_complete=complete_deployments)
@click.argument("count", type=click.IntRange(min=0))
@output_options("text")
@wait_options
@system_options
def scale(
    *,
    deployment: str,
    count: int,
    output: str,
    query: str | None,
    no_wait: bool,
    timeout: float,
    admin: str | None,
    data: Path | None,
) -> None:
    """Run so many replicas of a deployment whose number is fixed."""
    from trioroute.client.applying import wait_provisioned
    from trioroute.client.editing import Changes, update

    endpoint, slash, name = deployment.partition("/")
    if not slash:
        raise click.UsageError("name the deployment as ENDPOINT/DEPLOYMENT, such as fraud/blue")
    client = client_of(admin, data)
    old = client.deployment(endpoint, name).instance_count
    written = update(client, endpoint, name, Changes(named={"instance_count": count}))
    value = {"deployment": deployment, "old": old, "new": count}
    reply(f"instances of {deployment}: {old} → {count}", value, output, query)
    if old != count:
        tell(f"undo: trioroute scale {deployment} {old}")
    if not no_wait:
        wait_provisioned(client, {deployment: written.index}, wait_s=timeout, progress=tell)
