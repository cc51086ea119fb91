"""What one front-end is told when it starts: parsed once, frozen, all mistakes named at once."""

import ipaddress
import re
import signal
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final

import attrs

from consensus import PeerAddress
from trioroute.app.host.certificates import ListenerFiles, PeerFiles, ReplicaFiles
from trioroute.app.host.ports import LOOPBACK
from trioroute.errors import ConfigError
from trioroute.spec.problems import nearest
from trioroute.wire.http import Limits

__all__ = [
    "END_TOGETHER",
    "ClientTrust",
    "DrainTimes",
    "FrontEndConfig",
    "ProxySettings",
    "parse_front_end",
    "parse_limits",
    "voter_count",
]

#: Sent to all front-ends at once instead of SIGTERM: the whole group ends. Each that is done closes
#: `left_fd`, and ends on the SIGTERM that follows when all are.
END_TOGETHER: Final = signal.SIGUSR1

#: A DNS label: on a cluster the name is the pod's.
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

#: Values of limits, as plain as they can be written.
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")

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
        together_s: when the whole group ends, for the others' workers to have left as well. Who
            told us to end tells us that, and knows better how long it may take.
    """

    hand_over_s: float = 0.5
    unready_s: float = 0.0
    exchanges_s: float = 20.0
    linger_s: float = 0.3
    together_s: float = 60.0


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
class ProxySettings:
    """What the data plane is told, whoever starts it.

    Attributes:
        limits: see `wire.http.Limits`.
        replica_files: for replicas that speak TLS.
        access_log_per_s: most lines a second of one worker; 0 for all of them.
    """

    limits: Limits = attrs.field(factory=Limits)
    replica_files: ReplicaFiles = attrs.field(factory=ReplicaFiles)
    access_log_per_s: int = 0

    def options(self) -> list[str]:
        """As command-line words: what is not as it is by default."""
        words = [
            f"--limit={limit.name}={value}"
            for limit in attrs.fields(Limits)
            if (value := getattr(self.limits, limit.name)) != limit.default
        ]
        if self.access_log_per_s:
            words.append(f"--access-log-per-s={self.access_log_per_s}")
        words += [f"{option}={file}" for option, file in self.replica_files.options().items()]
        return words


@attrs.frozen(kw_only=True)
class ClusterSettings:
    """Which Kubernetes cluster runs the replicas.

    Attributes:
        namespaces: of the models and their custom resources; the first for what is made through
            the admin API.
        kubeconfig: file with the API server and credentials; None in a pod, which has its own.
        pod_networks: where pods have their addresses, others are not routed to; empty for the
            private ranges.
        front_ends_namespace: where front-ends are pods themselves, to look there for those that
            have ended; empty: nobody looks.
    """

    namespaces: tuple[str, ...]
    kubeconfig: Path | None = None
    pod_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    front_ends_namespace: str = ""


def cluster_settings(
    namespaces: str | None,
    kubeconfig: Path | None,
    pod_networks: Sequence[str] = (),
    front_ends_namespace: str | None = None,
) -> ClusterSettings | None:
    """What the command line says about a cluster, None when it says nothing.

    Args:
        namespaces: joined by commas.
        front_ends_namespace: the front-ends' own.

    Raises:
        ConfigError: details of a cluster, and no namespace; or what is none, or none of a network.
    """
    if namespaces is None:
        if kubeconfig is not None or pod_networks or front_ends_namespace is not None:
            raise ConfigError(
                "--kubeconfig, --pod-network, --front-ends-namespace: "
                "give --kubernetes-namespace with them"
            )
        return None
    try:
        networks = tuple(ip_network(text) for text in pod_networks)
    except ValueError as error:
        raise ConfigError(f"--pod-network: {error}; expected one like 10.0.0.0/8") from None
    names = tuple(name.strip() for name in namespaces.split(","))
    for name in names:
        if not _NAME.fullmatch(name) or names.count(name) > 1:
            message = f"--kubernetes-namespace {namespaces}: {name!r} is no name, or there twice"
            raise ConfigError(f"{message}; expected names joined by commas: models,more-models")
    own = front_ends_namespace or ""
    if front_ends_namespace is not None and not _NAME.fullmatch(own):
        raise ConfigError(f"--front-ends-namespace: {own!r} is no name of a namespace")
    return ClusterSettings(
        namespaces=names,
        kubeconfig=kubeconfig,
        pod_networks=networks,
        front_ends_namespace=own,
    )


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
        proxy: what its workers' data planes are told.
        runner: data folder of the replica runner that owns local replicas, or None.
        cluster: where replicas are pods, or None; not beside a runner.
        termination_log: file that Kubernetes reads when this container has ended, or None.
        predecessor_ended_at: on CLOCK_BOOTTIME: when all earlier processes of this front-end had
            ended; None when nobody saw it: at latest when this one got the lock.
        left_fd: descriptor to close when its workers have left, or None (`END_TOGETHER`).
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
    proxy: ProxySettings = attrs.field(factory=ProxySettings)
    runner: Path | None = None
    cluster: ClusterSettings | None = None
    termination_log: Path | None = None
    predecessor_ended_at: float | None = None
    left_fd: int | None = None
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


def parse_limits(words: Sequence[str]) -> Limits:
    """Limits given as `name=value`; all others are as they are by default.

    Raises:
        ConfigError: names every mistake, one a line.
    """
    limits = attrs.fields_dict(Limits)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            problems.append(f"--limit {word}: expected NAME=VALUE")
        elif name not in limits:
            similar = nearest(name, limits)
            hint = f"did you mean {similar}?" if similar else f"there are {', '.join(limits)}"
            problems.append(f"--limit {word}: there is no such limit; {hint}")
        elif name in values:
            problems.append(f"--limit {word}: {name} is given twice")
        else:
            _read_limit(name, text, limits[name].type is int, values, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    try:
        chosen = Limits(**values)
    except ValueError as error:
        raise ConfigError(f"--limit: {error}") from None
    for name in ("target_bytes_max", "field_bytes_max"):
        if getattr(chosen, name) > chosen.head_bytes_max:
            raise ConfigError(
                f"--limit: {name} is {getattr(chosen, name)}, but a whole head may have only"
                f" {chosen.head_bytes_max} bytes (head_bytes_max)"
            )
    return chosen


def _read_limit(
    name: str, text: str, is_whole: bool, values: dict[str, Any], problems: list[str]
) -> None:
    if (_WHOLE if is_whole else _NUMBER).fullmatch(text) is None:
        kind = "a whole number" if is_whole else "a number of seconds"
        example = f"{name}={getattr(Limits(), name)}"
        problems.append(f"--limit {name}={text}: expected {kind}, such as {example}")
        return
    values[name] = int(text) if is_whole else float(text)


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
            config.runner is None or config.cluster is None,
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
