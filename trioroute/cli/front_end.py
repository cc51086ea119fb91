"""`trioroute front-end`: one front-end alone, as a pod of a StatefulSet runs it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trioroute.cli.options import proxy_options

if TYPE_CHECKING:
    from trioroute.app.settings import ProxySettings

__all__ = ["front_end"]

_PATH = click.Path(path_type=Path)


@click.command("front-end")
@click.option("--name", required=True, help="This front-end's name, one of the peers'.")
@click.option("--data", required=True, type=_PATH, help="Its data folder.")
@click.option("--peers", required=True, help="All front-ends: name=host:port,…")
@click.option("--voters", default=1, show_default=True, help="How many vote: the first ones.")
@click.option("--generation", default=1, show_default=True, help="Number of the peers' list.")
@click.option("--peer-certificate", type=_PATH, help="PEM: its own, for peers and slot links.")
@click.option("--peer-key", type=_PATH, help="PEM: the key of that.")
@click.option("--peer-authority", type=_PATH, help="PEM: who signs the peers' certificates.")
@click.option("--workers", default=1, show_default=True, help="Worker processes; 0: none apart.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Scoring address.")
@click.option("--port", default=8080, show_default=True, help="Scoring port.")
@click.option("--tls-certificate", type=_PATH, help="PEM: serve HTTPS too, with this.")
@click.option("--tls-key", type=_PATH, help="PEM: the key of that.")
@click.option("--tls-port", default=8443, show_default=True, help="Scoring port for HTTPS.")
@click.option("--tls-scoring-fd", type=int, help="Inherited, instead of --tls-port.")
@click.option("--scoring-fd", type=int, help="Inherited listening socket, instead of --port.")
@click.option("--admin-host", default="127.0.0.1", show_default=True, help="Admin address.")
@click.option("--admin-port", default=9090, show_default=True, help="Admin port.")
@click.option("--admin-tokens", type=_PATH, help="File: who may do what (ROLE NAME sha256:HEX).")
@click.option("--read-only-host", default="127.0.0.1", show_default=True, help="Its address.")
@click.option("--read-only-port", type=int, help="Admin port that only reads (on a cluster: 9091).")
@click.option("--runner", type=_PATH, help="Data folder of a replica runner.")
@click.option("--kubernetes-namespace", help="Replicas are pods there (a,b: several).")
@click.option("--kubeconfig", type=_PATH, help="Cluster to use where this is no pod of it.")
@click.option("--pod-network", multiple=True, help="Where pods are: 10.0.0.0/8. [private ranges]")
@click.option("--front-ends-namespace", help="Front-ends are pods there: whose end is looked at.")
@click.option("--termination-log", type=_PATH, help="File: read by Kubernetes when this has ended.")
@click.option("--predecessor-ended-at", type=float, help="CLOCK_BOOTTIME of that; for `up`.")
@click.option("--left-fd", type=int, help="Closed when its workers have left; for `up`.")
@proxy_options
@click.option("--access-log", type=_PATH, help="File: a line per request.")
@click.option("--trusted-proxy", multiple=True, help="Address whose X-Forwarded-* is believed.")
@click.option("--no-address-cap", is_flag=True, help="No limit on connections of one address.")
@click.option("--drain", default=20.0, show_default=True, help="Seconds to finish what runs.")
@click.option("--unready", default=0.0, show_default=True, help="Seconds unready before that.")
def front_end(  # house: one parameter per option is Click's own form
    *,
    name: str,
    data: Path,
    peers: str,
    voters: int,
    generation: int,
    peer_certificate: Path | None,
    peer_key: Path | None,
    peer_authority: Path | None,
    workers: int,
    host: str,
    port: int,
    scoring_fd: int | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_port: int,
    tls_scoring_fd: int | None,
    admin_host: str,
    admin_port: int,
    admin_tokens: Path | None,
    read_only_host: str,
    read_only_port: int | None,
    runner: Path | None,
    kubernetes_namespace: str | None,
    kubeconfig: Path | None,
    pod_network: tuple[str, ...],
    front_ends_namespace: str | None,
    termination_log: Path | None,
    predecessor_ended_at: float | None,
    left_fd: int | None,
    access_log: Path | None,
    trusted_proxy: tuple[str, ...],
    no_address_cap: bool,
    proxy: "ProxySettings",
    drain: float,
    unready: float,
) -> None:
    """Run one front-end: a supervisor and its workers.

    It takes part in choosing the coordinator, answers scoring requests, and ends in order when it
    gets SIGTERM; a second SIGTERM skips the waits.
    """
    import trio

    from trioroute.app.host.certificates import listener_files, peer_files
    from trioroute.app.host.slices import short_slice
    from trioroute.app.settings import (
        ClientTrust,
        DrainTimes,
        FrontEndConfig,
        cluster_settings,
        parse_front_end,
    )
    from trioroute.app.supervisor import run_front_end

    config = FrontEndConfig(
        name=name,
        data=data,
        peers=(),
        voters=voters,
        generation=generation,
        peer_files=peer_files(peer_certificate, peer_key, peer_authority),
        workers=workers,
        scoring_host=host,
        scoring_port=port,
        scoring_fd=scoring_fd,
        tls_files=listener_files(tls_certificate, tls_key),
        tls_port=tls_port,
        tls_scoring_fd=tls_scoring_fd,
        admin_host=admin_host,
        admin_port=admin_port,
        admin_tokens=admin_tokens,
        read_only_host=read_only_host,
        read_only_port=read_only_port,
        runner=runner,
        cluster=cluster_settings(
            kubernetes_namespace, kubeconfig, pod_network, front_ends_namespace
        ),
        termination_log=termination_log,
        predecessor_ended_at=predecessor_ended_at,
        left_fd=left_fd,
        access_log=access_log,
        clients=ClientTrust(proxies=trusted_proxy, caps_addresses=not no_address_cap),
        proxy=proxy,
        drain=DrainTimes(exchanges_s=drain, unready_s=unready),
    )
    with short_slice(wanted=workers > 0):  # else this very process serves requests
        trio.run(run_front_end, parse_front_end(config, peers))
