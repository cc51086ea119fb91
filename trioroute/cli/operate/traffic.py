"""`trioroute traffic` and `scale`: changes while everything serves, told as old → new."""

from pathlib import Path

import click

from trioroute.cli.options import client_of, system_options, tell, traffic_of, wait_options

__all__ = ["scale", "traffic"]


@click.command("traffic")
@click.argument("endpoint")
@click.argument("shares", nargs=-1, metavar="NAME=PERCENT…")
@click.option("--mirror", help="Deployment=percent that gets copies (at most 50), or none.")
@system_options
def traffic(
    *,
    endpoint: str,
    shares: tuple[str, ...],
    mirror: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Share an endpoint's requests out: `traffic fraud blue=90 green=rest`; without, show it."""
    client = client_of(admin, data)
    old = client.endpoint(endpoint)
    if not shares and mirror is None:
        click.echo(" ".join(f"{name}={percent}" for name, percent in old.traffic.items()))
        return
    mirrored = None
    if mirror is not None:
        mirrored = {} if mirror in ("", "none") else traffic_of((mirror,))
    wanted = traffic_of(shares) if shares else old.traffic
    changed = client.set_traffic(endpoint, wanted, mirror_traffic=mirrored)
    names = dict.fromkeys((*changed.old, *changed.new))
    moves = [f"{n} {changed.old.get(n, 0)} → {changed.new.get(n, 0)}" for n in names]
    click.echo(f"traffic of {endpoint}: {', '.join(moves) or 'none'}")
    if changed.old != changed.new:
        words = " ".join(f"{name}={percent}" for name, percent in changed.old.items())
        tell(f"undo: trioroute traffic {endpoint} {words}")


@click.command("scale")
@click.argument("deployment", metavar="ENDPOINT/DEPLOYMENT")
@click.argument("count", type=click.IntRange(min=0))
@wait_options
@system_options
def scale(
    *,
    deployment: str,
    count: int,
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
        raise click.UsageError("name the deployment as ENDPOINT/DEPLOYMENT")
    client = client_of(admin, data)
    old = client.deployment(endpoint, name).instance_count
    written = update(client, endpoint, name, Changes(named={"instance_count": count}))
    click.echo(f"instances of {deployment}: {old} → {count}")
    if not no_wait:
        wait_provisioned(client, {deployment: written.index}, wait_s=timeout, progress=tell)
