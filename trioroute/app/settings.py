"""What one front-end is told when it starts: parsed once, frozen, all mistakes named at once."""

import ipaddress
import re
import signal
from pathlib import Path
from typing import Final

import attrs

from consensus import PeerAddress
from trioroute.app.host.certificates import ListenerFiles, PeerFiles
from trioroute.app.host.ports import LOOPBACK
from trioroute.errors import ConfigError

__all__ = [
    "END_TOGETHER",
    "ClientTrust",
    "DrainTimes",
    "FrontEndConfig",
    "parse_front_end",
    "voter_count",
]

#: Sent to all front-ends at once instead of SIGTERM: the whole group ends.
END_TOGETHER: Final = signal.SIGUSR1

#: A DNS label: on a cluster the name is the pod's.
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

_PORT_MAX: Final = 65535

#: More workers than this share nothing any more but the accept queue.
_WORKERS_MAX: Final = 64


@attrs.frozen(kw_only=True)
class DrainTimes:
    """How long each step of a drain may take, seconds.

    Attributes:
        hand_over_s: transferring leadership; a transfer takes one election.
        unready_s: time for load balancers to see `/readyz` fail. 0 where one listening socket is
            shared: there is no load balancer to wait for.
        exchanges_s: for what is in flight; Kubernetes' own grace period is 30 s by default, and
            the steps together must stay below it.
        linger_s: for a coordinator to put into the log that its holders ended in order, while
            peers that end too are still there to agree: the next start then has nothing in doubt.
        together_s: when the whole group ends, for the log to say so of every holder.
    """

    hand_over_s: float = 0.5
    unready_s: float = 0.0
    exchanges_s: float = 20.0
    linger_s: float = 0.3
    together_s: float = 2.0


@attrs.frozen(kw_only=True)
class ClientTrust:
    """What is known of who connects to the scoring ports.

    Attributes:
        proxies: addresses whose forwarding fields and request ids are believed.
        caps_addresses: limit the connections of one address; off behind a load balancer that
            hides its clients' addresses (decision 19).
    """

    proxies: tuple[str, ...] = ()
    caps_addresses: bool = True

    def options(self) -> list[str]:
        """As command-line words."""
        words = [f"--trusted-proxy={address}" for address in self.proxies]
        return words if self.caps_addresses else [*words, "--no-address-cap"]


@attrs.frozen(kw_only=True)
class FrontEndConfig:
    """One front-end.

    Attributes:
        name: its own name, one of the peers'.
        data: its data folder.
        peers: all front-ends, in the same order everywhere.
        voters: how many of them vote: the first ones.
        generation: number of the peers' list; members of another generation are refused.
        peer_files: certificates for the peers port; without them all peers are on this machine.
        workers: worker processes; 0 runs the data plane in the supervisor's loop.
        admin_tokens: file of admin tokens, or None: whoever reaches the admin port may do anything.
        read_only_host, read_only_port: where only reading is answered; no port: nowhere.
        scoring_host, scoring_port: where to listen, unless `scoring_fd` is given.
        scoring_fd: descriptor of a listening socket that outlives this process.
        tls_files, tls_port, tls_scoring_fd: the same for HTTPS; without files there is none.
        access_log: file that gets a line for each exchange, or None.
        clients: what is known of who connects.
        runner: data folder of the replica runner that owns local replicas, or None.
        kubernetes_namespace: where replicas are pods, or None; not beside a runner.
    """

    name: str
    data: Path
    peers: tuple[PeerAddress, ...]
    voters: int
    generation: int = 1
    peer_files: PeerFiles | None = None
    workers: int = 1
    admin_host: str = "127.0.0.1"
    admin_port: int = 9090
    admin_tokens: Path | None = None
    read_only_host: str = "127.0.0.1"
    read_only_port: int | None = None
    scoring_host: str = "127.0.0.1"
    scoring_port: int = 8080
    scoring_fd: int | None = None
    tls_files: ListenerFiles | None = None
    tls_port: int = 8443
    tls_scoring_fd: int | None = None
    access_log: Path | None = None
    clients: ClientTrust = attrs.field(factory=ClientTrust)
    runner: Path | None = None
    kubernetes_namespace: str | None = None
    drain: DrainTimes = attrs.field(factory=DrainTimes)

    @property
    def own_address(self) -> PeerAddress:
        """Where this front-end's peers find it."""
        return next(peer for peer in self.peers if peer.name == self.name)

    @property
    def voter_names(self) -> tuple[str, ...]:
        """Who votes."""
        return tuple(peer.name for peer in self.peers[: self.voters])


def voter_count(front_end_count: int) -> int:
    """How many of so many front-ends vote: 1 of one or two, else 3 (decision 4).

    Two voters would be worse than one: both must live for either to be of use.
    """
    return 1 if front_end_count < 3 else 3


def parse_front_end(config: FrontEndConfig, peers: str) -> FrontEndConfig:
    """Check a front-end's settings and add its peers, given as `name=host:port,…`.

    Args:
        config: everything else, as given on the command line; its own peers are ignored.

    Raises:
        ConfigError: names every mistake, one a line.
    """
    problems: list[str] = []
    parsed = _parse_peers(peers, problems)
    config = attrs.evolve(config, peers=tuple(parsed))
    problems += _problems(config)
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _parse_peers(text: str, problems: list[str]) -> list[PeerAddress]:
    peers: list[PeerAddress] = []
    for item in filter(None, text.split(",")):
        name, separator, address = item.partition("=")
        host, colon, port = address.rpartition(":")
        if not (separator and colon and host and port.isascii() and port.isdigit()):
            problems.append(f"--peers: {item!r} is not name=host:port")
        elif not 0 < int(port) <= _PORT_MAX:
            problems.append(f"--peers: port {port} of {name} is not in 1 … {_PORT_MAX}")
        else:
            peers.append(PeerAddress(name=name, host=host.strip("[]"), port=int(port)))
    return peers


def _problems(config: FrontEndConfig) -> list[str]:
    """Everything wrong with settings whose types are right."""
    names = [peer.name for peer in config.peers]
    far = ", ".join(peer.name for peer in config.peers if peer.host not in LOOPBACK)
    is_open = bool(far) and config.peer_files is None
    checks = [
        (bool(_NAME.fullmatch(config.name)), f"--name: {config.name!r} is not a DNS label"),
        (config.name in names, f"--peers: {config.name} itself is missing"),
        (len(set(names)) == len(names), "--peers: two of one name"),
        (
            not is_open,
            f"--peers: {far}: on other machines, which only mutual TLS may connect: give "
            "--peer-certificate, --peer-key and --peer-authority",
        ),
        (0 < config.voters <= max(len(names), 1), f"--voters: not in 1 … {len(names)}"),
        (
            config.runner is None or config.kubernetes_namespace is None,
            "--runner and --kubernetes-namespace: replicas are processes here or pods, not both",
        ),
        (config.voters % 2 == 1, "--voters: an even number tolerates no more than one fewer"),
        (0 <= config.workers <= _WORKERS_MAX, f"--workers: not in 0 … {_WORKERS_MAX}"),
        (0 <= config.admin_port <= _PORT_MAX, f"--admin-port: not in 0 … {_PORT_MAX}"),
        (
            config.read_only_port is None or 0 <= config.read_only_port <= _PORT_MAX,
            f"--read-only-port: not in 0 … {_PORT_MAX}",
        ),
        (0 <= config.scoring_port <= _PORT_MAX, f"--port: not in 0 … {_PORT_MAX}"),
        (0 <= config.tls_port <= _PORT_MAX, f"--tls-port: not in 0 … {_PORT_MAX}"),
        *(
            (_is_address(proxy), f"--trusted-proxy: {proxy!r} is not an IP address")
            for proxy in config.clients.proxies
        ),
    ]
    return [problem for is_right, problem in checks if not is_right]


def _is_address(text: str) -> bool:
    """In the one spelling that a peer's address has, too: they are compared as text."""
    try:
        return str(ipaddress.ip_address(text)) == text
    except ValueError:
        return False
