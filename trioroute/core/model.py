"""What trioroute routes: endpoints, deployments, replicas, and the snapshot a worker routes by.

Frozen values without behaviour. `spec` makes them from YAML, the registry replicates them, every
front-end routes from them. Times are seconds unless a name ends in `_ms`.
"""

import enum
from collections.abc import Mapping
from typing import Final

import attrs

__all__ = [
    "API_PREFIXES",
    "AuthMode",
    "CommandSource",
    "ContainerSource",
    "CoordinatorAddress",
    "Deployment",
    "Endpoint",
    "Isolation",
    "OnAbandon",
    "Probe",
    "Replica",
    "ReplicaState",
    "Route",
    "RoutingSnapshot",
    "ScaleKind",
    "ScaleSettings",
    "ScriptSource",
    "Source",
    "StaticSource",
    "TokenIssuer",
    "deployment_key",
]

#: Where the two scoring forms begin (D11). The version form is
#: `/api/v1/endpoint/<endpoint>/version/<deployment>/score` (D12).
API_PREFIXES: Final = ("/api/v1/service/", "/api/v1/endpoint/")


class AuthMode(enum.Enum):
    """How an endpoint's clients prove who they are (Azure `auth_mode`)."""

    KEY = "key"
    AML_TOKEN = "aml_token"  # noqa: S105 - Azure's name of the mode
    AAD_TOKEN = "aad_token"  # noqa: S105 - Azure's name of the mode


class ScaleKind(enum.Enum):
    """Azure `scale_settings.type`."""

    DEFAULT = "default"
    TARGET_UTILIZATION = "target_utilization"


class OnAbandon(enum.Enum):
    """What happens to a running request whose client has gone (decision 15)."""

    WAIT = "wait"
    CLOSE = "close"


class Isolation(enum.Enum):
    """What a front-end does when it has had no coordinator for longer than the lease."""

    SERVE = "serve"
    STOP = "stop"


class ReplicaState(enum.Enum):
    """Whether a replica may be sent requests."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@attrs.frozen(kw_only=True)
class TokenIssuer:
    """Whose tokens open an `aad_token` endpoint: any OpenID Connect issuer.

    Attributes:
        issuer: the tokens' `iss`, compared as it is written.
        audience: what must be among their `aud`.
        jwks: URL or absolute path of the public keys; None: as the issuer's discovery says.
    """

    issuer: str
    audience: str
    jwks: str | None = None


@attrs.frozen(kw_only=True)
class Endpoint:
    """A public scoring name.

    Attributes:
        traffic: deployment name to percent; sums to 0 or 100.
        key_digests: SHA-256 of each key that is valid now; the keys themselves are not kept.
        anonymous: no credential is needed (`trioroute.anonymous`, development only).
        mount: `"/"` when the endpoint answers every path that no other matches (R-MOUNT).
        mirror_traffic: at most one deployment name to the percent of requests it gets copies of.
        priority: whether clients may set `x-trioroute-priority` (decision 18).
        canary_halt_error_rate: share of failed requests that halts a rising deployment, or None.
        canary_halt_p99_ratio: p99 over that of the others that halts it, or None.
        cors_origins: who may call from a browser: origins, or `*` alone for everybody (D9).
        managed_codes: answer 424, 429, 408 where Kubernetes endpoints say 502, 503, 504 (D7).
        body_bytes_max: longest request body, or None for the worker's own limit.
        half_close_grace_s: how long a client that shut its sending side before the answer counts
            as there (decision 16); None for ever.
        server_timing: tell clients in `Server-Timing` where the time went.
        idempotent: every request may be sent again after a replica failed on it (contract, 4).
        token_issuer: for `auth_mode: aad_token`; without it such an endpoint refuses everybody.
        forwards_authorization: replicas get the client's `Authorization`.
    """

    name: str
    auth_mode: AuthMode = AuthMode.KEY
    traffic: Mapping[str, int] = attrs.field(factory=dict)
    key_digests: tuple[bytes, ...] = ()
    anonymous: bool = False
    mount: str | None = None
    description: str | None = None
    tags: Mapping[str, object] = attrs.field(factory=dict)
    mirror_traffic: Mapping[str, int] = attrs.field(factory=dict)
    priority: bool = False
    canary_halt_error_rate: float | None = None
    canary_halt_p99_ratio: float | None = None
    cors_origins: tuple[str, ...] = ()
    managed_codes: bool = False
    body_bytes_max: int | None = None
    half_close_grace_s: float | None = 1.0
    server_timing: bool = True
    idempotent: bool = False
    forwards_authorization: bool = False
    token_issuer: TokenIssuer | None = None


@attrs.frozen(kw_only=True)
class ScaleSettings:
    """How many replicas, and what decides it.

    Attributes:
        down_after_s: for how long fewer must have sufficed before there are fewer; None for a
            minute, or 20 polling intervals if that is longer.
    """

    kind: ScaleKind = ScaleKind.DEFAULT
    instance_count: int = 1
    min_instances: int = 1
    max_instances: int = 1
    target_utilization_percentage: int = 70
    polling_interval_s: float = 1.0
    down_after_s: float | None = None


@attrs.frozen(kw_only=True)
class Probe:
    """When a replica counts as ready or alive (Azure's probe block, seconds)."""

    initial_delay_s: float = 10.0
    period_s: float = 10.0
    timeout_s: float = 2.0
    success_threshold: int = 1
    failure_threshold: int = 30


@attrs.frozen(kw_only=True)
class Route:
    """A port and path inside the replica's container (Azure `inference_config`)."""

    port: int
    path: str


@attrs.frozen(kw_only=True)
class ScriptSource:
    """Replicas that run a scoring script under the Azure inference server.

    Attributes:
        code: absolute folder of the user's code.
        script: path of the scoring script inside `code`.
        model: absolute path given to the script as AZUREML_MODEL_DIR, or None.
        conda_file: absolute path of the environment's conda file, or None.
        conda: the content of a conda file that was written in its place, as JSON, or None.
        python: interpreter to use instead of a runtime built by us (`trioroute.python`), or None.
        environment: variables of the deployment.
        revision: what the files said when they were registered; files that changed since make a
            source another one, so that applying them again replaces the replicas.
    """

    code: str
    script: str
    model: str | None = None
    conda_file: str | None = None
    conda: str | None = None
    python: str | None = None
    environment: Mapping[str, str] = attrs.field(factory=dict)
    revision: str = ""

    @property
    def snapshot(self) -> str:
        """The copy of code and packages that replicas run from; empty: they run in `code`."""
        return self.revision.partition("-")[0]


@attrs.frozen(kw_only=True)
class CommandSource:
    """Replicas that run any command; `{port}` in an argument is the port to listen on."""

    command: tuple[str, ...]
    cwd: str
    model: str | None = None
    environment: Mapping[str, str] = attrs.field(factory=dict)
    revision: str = ""


@attrs.frozen(kw_only=True)
class ContainerSource:
    """Replicas that are containers of a cluster, run from an image.

    Attributes:
        command: replaces the image's own; `{port}` in a word is the scoring port. Empty for the
            image's own.
        code: ConfigMap with the scoring script, or empty when the image has it.
        script: the scoring script in it.
        model_claim: PersistentVolumeClaim with the model, or empty when the image has it.
        model_path: where in the claim.
        instance_type: the operator's name of a kind of node, or empty for the default one.
        requests, limits: quantities by resource, over those of the instance type.
        environment: variables of the deployment.
        resource, uid: name and identity of the custom resource that describes it and owns what is
            made for it.
        namespace: where that is, and so where everything that it names is looked for.
        workload: an existing Deployment whose pods are the replicas; nothing is made then, and
            image, code and model are that Deployment's own.
    """

    image: str
    workload: str = ""
    command: tuple[str, ...] = ()
    code: str = ""
    script: str = ""
    model_claim: str = ""
    model_path: str = ""
    instance_type: str = ""
    requests: Mapping[str, str] = attrs.field(factory=dict)
    limits: Mapping[str, str] = attrs.field(factory=dict)
    environment: Mapping[str, str] = attrs.field(factory=dict)
    resource: str = ""
    uid: str = ""
    namespace: str = ""


@attrs.frozen(kw_only=True)
class StaticSource:
    """Replicas that somebody else runs, at fixed addresses."""

    addresses: tuple[tuple[str, int], ...]


Source = ScriptSource | CommandSource | ContainerSource | StaticSource


@attrs.frozen(kw_only=True)
class Deployment:
    """One version behind an endpoint.

    Attributes:
        slots_per_replica: Azure `max_concurrent_requests_per_instance`, the limit that is exact.
        unlimited: no limit at all (`trioroute.unlimited`): least busy of two, no queue.
        scoring_path: where the replica scores; `/score` unless an inference_config says otherwise.
        readiness_path: what the coordinator's readiness probe asks for.
        stream_max_s: how long an answer may stream after its head, None for request_timeout_s.
        upgrade_max_s: how long an upgraded connection may last, None when upgrades are refused.
        liveness_path: what a liveness probe asks for.
        scoring_port: where a container listens; local replicas are given a free port instead.
        queue_depth_max, queue_bytes_max: how many requests may wait for a slot at once, over all
            front-ends, and how much of them may be kept in memory meanwhile.
        isolation_max_s: for how long `Isolation.SERVE` lasts (decision 26).
        burst_wait_max_s: how long a request may wait, whatever `queue_wait_max_s` says, for
            replicas that are being started: a burst is delayed, not failed. 0: no longer.
        probe_while_busy: whether a probe can be answered while all slots are taken (decision 20).
        replica_tls: replicas speak TLS.
        replica_tls_name: whom their certificates must be for; empty for their address.
    """

    endpoint: str
    name: str
    source: Source
    slots_per_replica: int = 1
    unlimited: bool = False
    request_timeout_s: float = 5.0
    queue_wait_max_s: float = 0.5
    queue_depth_max: int = 1024
    queue_bytes_max: int = 67_108_864
    stream_max_s: float | None = None
    upgrade_max_s: float | None = None
    on_abandon: OnAbandon = OnAbandon.WAIT
    isolation: Isolation = Isolation.SERVE
    scale: ScaleSettings = attrs.field(factory=ScaleSettings)
    readiness: Probe = attrs.field(factory=Probe)
    liveness: Probe = attrs.field(factory=Probe)
    scoring_path: str = "/score"
    readiness_path: str = "/"
    generation: int = 1
    liveness_path: str = "/"
    scoring_port: int = 5001
    isolation_max_s: float = 600.0
    burst_wait_max_s: float = 30.0
    probe_while_busy: bool = False
    replica_tls: bool = False
    replica_tls_name: str = ""

    @property
    def key(self) -> str:
        """`endpoint/deployment`, the name used on the wire and in metrics."""
        return deployment_key(self.endpoint, self.name)

    @property
    def request_max_s(self) -> float:
        """MAXREQ: the longest a request of this deployment may keep its slot (decision 14)."""
        return max(self.request_timeout_s, self.stream_max_s or 0.0, self.upgrade_max_s or 0.0)


@attrs.frozen(kw_only=True)
class Replica:
    """One model server instance.

    Attributes:
        id: unique for ever: a restarted model server is a new replica, because work of the old
            one cannot still be running in it.
        deployment: the deployment's key.
        slots: how many requests it may have in flight.
    """

    id: str
    deployment: str
    host: str
    port: int
    slots: int
    state: ReplicaState = ReplicaState.READY


@attrs.frozen(kw_only=True)
class CoordinatorAddress:
    """Where the coordinator of an epoch listens for slot links."""

    name: str
    epoch: int
    host: str
    port: int


@attrs.frozen(kw_only=True)
class RoutingSnapshot:
    """Everything a worker routes by; immutable, replaced whole.

    Attributes:
        version: index of the last applied log entry; never falls.
        homes: this holder's home: replica id to a bit mask of slot numbers.
        coordinator: None while nobody is known to hold the office.
        key_sets: endpoint name to the JSON Web Key Set that its tokens are verified by.
    """

    version: int
    endpoints: tuple[Endpoint, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    replicas: tuple[Replica, ...] = ()
    homes: Mapping[str, int] = attrs.field(factory=dict)
    coordinator: CoordinatorAddress | None = None
    key_sets: Mapping[str, bytes] = attrs.field(factory=dict)


def deployment_key(endpoint: str, deployment: str) -> str:
    """The one spelling of a deployment's full name."""
    return f"{endpoint}/{deployment}"
