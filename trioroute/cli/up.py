"""`trioroute up`: the whole system on this machine, until Ctrl-C."""

import math
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trioroute.cli.options import proxy_options

if TYPE_CHECKING:
    from trioroute.app.settings import ProxySettings
    from trioroute.app.up import Running

__all__ = ["UpScreen", "up"]

_PORT = click.IntRange(0, 65535)
_PATH = click.Path(path_type=Path)


class UpScreen:
    """Progress to standard error, the result to standard output (ux.md, 2.2)."""

    def progress(self, text: str) -> None:
        """One line for each step."""
        click.echo(text, err=True)

    def show(self, running: "Running") -> None:
        """What serves where, how to ask it, and how to end it."""
        layout = running.layout
        names = " ".join(layout.names)
        click.echo(
            f"trioroute {version('trioroute')} · local · {len(layout.names)} front-ends"
            f" · data in {_shown(layout.data)}"
        )
        click.echo(f"✓ front-end {names} up ({running.started_in_s:.1f} s)")
        office = running.status.coordinator
        if office is not None:
            click.echo(f"✓ coordinator {office.name}, epoch {office.epoch}")
        for status in running.status.endpoints:
            rows = ", ".join(
                f"{row.name} {row.ready_count}/{max(len(row.replicas), row.ready_count)} ready"
                f" ({row.traffic_percent} %)"
                for row in status.deployments
            )
            click.echo(f"✓ endpoint {status.name}: {rows}")
        for endpoint, path in running.endpoints.items():
            click.echo(f"  score      {self._curl(running, endpoint, path)}")
        if not running.endpoints:
            click.echo("  no endpoint yet: trioroute apply endpoint.yml deployment.yml")
        if layout.tls_scoring_url is not None:
            click.echo(f"  HTTPS too  {layout.tls_scoring_url}")
        urls = "  ".join(layout.admin_url(name) for name in layout.names)
        click.echo(f"  admin      {urls}")
        click.echo(f"  status     trioroute status --data {_shown(layout.data)}")
        click.echo("  stop       Ctrl-C")
        sys.stdout.flush()

    def _curl(self, running: "Running", endpoint: str, path: str) -> str:
        words = ["curl", running.layout.scoring_url + path, "-H 'Content-Type: application/json'"]
        keys = running.keys.get(endpoint)
        if keys is not None:
            words.append(f"-H 'Authorization: Bearer {keys.primary}'")
        elif endpoint in running.takes_tokens:
            token = f"trioroute token {endpoint} --data {_shown(running.layout.data)}"
            words.append(f'-H "Authorization: Bearer $({token})"')
        sample = running.samples.get(endpoint)
        words.append("-d '{}'" if sample is None else f"-d @{_shown(sample)}")
        return " ".join(words)


def _shown(path: Path) -> Path:
    """A path as the user would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@click.command("up")
@click.argument("paths", nargs=-1, type=_PATH)
@click.option(
    "--front-ends",
    type=click.IntRange(1, 64),
    help="How many [default: the data folder's, else 3].",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(0, 64))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=_PORT, help="Scoring; 0: any.")
@click.option("--admin-port", default=9090, show_default=True, type=_PORT, help="First; 0: any.")
@click.option("--read-only-port", type=_PORT, help="First that only reads; 0: any [default: none].")
@click.option("--tls-certificate", type=_PATH, help="PEM: serve HTTPS too, with this.")
@click.option("--tls-key", type=_PATH, help="PEM: the key of that.")
@click.option("--tls-port", default=8443, show_default=True, type=_PORT, help="HTTPS; 0: any.")
@click.option("--data", default=Path(".trioroute"), show_default=True, type=_PATH)
@proxy_options
@click.option("--access-log", type=_PATH, help="File that gets a line for each request.")
@click.option("--trusted-proxy", multiple=True, help="Address whose X-Forwarded-* is believed.")
@click.option("--no-address-cap", is_flag=True, help="No limit on connections of one address.")
@click.option("--assets", type=_PATH, help="YAML: registered model names to local paths.")
@click.option("--dev", is_flag=True, help="Allow settings that are for development only.")
@click.option("--demo", is_flag=True, help="Run the packaged example and kill its coordinator.")
@click.option("--for", "for_s", type=click.FloatRange(min=0), help="End after so many seconds.")
def up(  # house: one parameter per option is Click's own form
    *,
    paths: tuple[Path, ...],
    front_ends: int | None,
    workers: int,
    host: str,
    port: int,
    admin_port: int,
    read_only_port: int | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_port: int,
    data: Path,
    access_log: Path | None,
    trusted_proxy: tuple[str, ...],
    no_address_cap: bool,
    assets: Path | None,
    proxy: "ProxySettings",
    dev: bool,
    demo: bool,
    for_s: float | None,
) -> int:
    """Run everything that the files at PATHS describe: front-ends, coordinator, replicas.

    PATHS are Azure ML endpoint and deployment files, or folders of them; without any, what ran last
    in the data folder runs again, and `trioroute apply` adds to it. Ctrl-C ends all of it.
    """
    import trio

    from trioroute.app.host.certificates import listener_files
    from trioroute.app.settings import ClientTrust
    from trioroute.app.up import UpConfig, run_up
    from trioroute.spec.sources import read_assets

    config = UpConfig(
        paths=paths,
        data=data,
        front_ends=front_ends,
        workers=workers,
        host=host,
        port=port,
        admin_port=admin_port,
        read_only_port=read_only_port,
        tls_files=listener_files(tls_certificate, tls_key),
        tls_port=tls_port,
        access_log=access_log,
        clients=ClientTrust(proxies=trusted_proxy, caps_addresses=not no_address_cap),
        assets={} if assets is None else read_assets(assets),
        proxy=proxy,
        dev=dev,
        demo=demo,
    )

    async def use(running: "Running") -> int:
        if running.demo is not None and running.drills is not None:
            from rich.console import Console

            from trioroute.demo.tour import run_tour

            status = await run_tour(running.drills, running.demo, Console(), limit_s=for_s)
            # Without a terminal nobody would look at what goes on running.
            if status or for_s is not None or not sys.stdout.isatty():
                return status
            click.echo("everything goes on running; stop: Ctrl-C")
        await trio.sleep(math.inf if for_s is None else for_s)
        return 0

    return trio.run(run_up, config, UpScreen(), use)
