"""`trioroute plan`: how many replicas an expected load needs, and how long requests would wait."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import click

from trioroute.cli.options import Duration, client_of, output_options, system_options, tell
from trioroute.cli.output import reply
from trioroute.core.planning import (
    Carried,
    Load,
    Plan,
    carried_by,
    front_ends_for,
    plan_replicas,
)

if TYPE_CHECKING:
    from trioroute.core.model import Deployment

__all__ = ["plan"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_YAML: Final = ("yaml", "yamlc")


class Multiple(click.ParamType[float]):
    """A factor, `3x` or `3`."""

    name = "factor"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The factor as a number."""
        try:
            return float(str(value).removesuffix("x"))
        except ValueError:
            self.fail(f"{value!r} is not a factor such as 3x", param, ctx)


#: Name of a field of `Load` → its option and what that takes and means. What is not given comes
#: from the deployment of --from, and else has the default of `Load`.
_FIGURES: Final[Mapping[str, tuple[str, Any, str]]] = {
    "requests_per_s": ("--rps", float, "Requests per second."),
    "service_s": ("--req-time", Duration(), "Mean time of one request."),
    "target_utilization": ("--target-utilization", float, "Percent.  [default: 70]"),
    "slots_per_replica": ("--max-concurrent", int, "Per replica.  [default: 1]"),
    "queue_wait_max_s": ("--max-queue-wait", Duration(), "Then 503.  [default: 500ms]"),
    "shed_max": ("--shed", float, "Percent of requests that may get 503.  [default: 0.1]"),
    "p99_wait_max_s": ("--p99-wait", Duration(), "99 of 100 requests wait no longer."),
    "spike": ("--spike", Multiple(), "Highest load, as a multiple.  [default: 1x]"),
    "cold_start_s": ("--cold-start", Duration(), "Until a new replica is ready. [default: 30s]"),
}
_PERCENTAGES: Final = ("target_utilization", "shed_max")


def _figures(command: Decorated) -> Decorated:
    for field, (flag, kind, meaning) in reversed([*_FIGURES.items()]):
        command = click.option(flag, field, type=kind, help=meaning)(command)
    return command


@click.command()
@_figures
@click.option("--replicas", type=click.IntRange(1), help="The other way round: what so many carry.")
@click.option(
    "--from",
    "source",
    metavar="FILE|ENDPOINT/DEPLOYMENT",
    help="Take the limits of a deployment's file, or of one that runs, with its measured load.",
)
@click.option(
    "--window",
    type=Duration(),
    default="10s",
    show_default=True,
    help="How long to look at one that runs.",
)
@click.option(
    "--front-end-rps",
    type=float,
    help="What one front-end carries on such a machine (make bench): says how many are needed.",
)
@output_options("text")
@system_options
def plan(
    *,
    replicas: int | None,
    source: str | None,
    window: float,
    front_end_rps: float | None,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
    **figures: float | None,
) -> None:
    """Size replicas and limits for an expected load.

    Shows what Azure's published formula gives, how long requests would wait with that (Erlang C:
    random arrivals, exponential request times), and how many replicas keep the waiting within
    max_queue_wait_ms. With -o yaml, only the settings to paste.
    """
    given: dict[str, Any] = {name: one for name, one in figures.items() if one is not None}
    for name in _PERCENTAGES:
        if name in given:
            given[name] /= 100
    if not 0 < given.get("target_utilization", 1) <= 1:
        hint = f"{given['target_utilization'] * 100:g} is not in 1 … 100 percent"
        raise click.BadParameter(hint, param_hint="--target-utilization")
    if replicas is not None and "requests_per_s" in given:
        raise click.UsageError("--rps asks for the replicas and --replicas for the rps: give one")
    if source is not None:
        measured = _Measuring(admin, data, window, is_rate_wanted=replicas is None)
        given = {**_limits_of(source, measured, given), **given}
    if replicas is not None:
        given["requests_per_s"] = 1.0
    _require(given)
    try:
        load = Load(**given)
        found = plan_replicas(load) if replicas is None else carried_by(replicas, load)
        carried = load.requests_per_s if isinstance(found, Plan) else found.requests_per_s
        count = front_end_rps and front_ends_for(carried * load.spike, front_end_rps)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if isinstance(found, Plan):
        text, least, most = _as_text(load, found), found.replicas, found.spike_replicas
    else:
        text, least, most = _carried_text(load, replicas or 1, found), replicas or 1, replicas or 1
    settings = _as_yaml(load, least, max(least, most))
    if output in _YAML and query is None:
        # What is pasted into a deployment; the other formats have every figure.
        click.echo(settings)
        return
    if count:
        text += f"\n{'front-ends':<14}{count}: they carry it while one is down"
    value = {"load": attrs.asdict(load), **attrs.asdict(found), "front_ends": count}
    reply(f"{text}\n\n{settings}", value, output, query)


def _require(given: Mapping[str, float]) -> None:
    for name in ("requests_per_s", "service_s"):
        if name not in given:
            flag = _FIGURES[name][0]
            raise click.UsageError(f"Missing option '{flag}', or --from a deployment that runs.")


@attrs.frozen
class _Measuring:
    """Which system is asked, and for how long."""

    admin: str | None
    data: Path | None
    window_s: float
    is_rate_wanted: bool


def _limits_of(source: str, measuring: _Measuring, given: Mapping[str, float]) -> dict[str, float]:
    """Of a file, or of a deployment that runs: then with what it is measured to get."""
    path = Path(source)
    if path.suffix in (".yml", ".yaml") or path.exists():
        from trioroute.spec.load import load_paths

        return _limits(load_paths([path], starting=False).deployments, source)
    endpoint, slash, name = source.partition("/")
    if not (slash and name):
        raise click.UsageError(f"--from {source}: no such file; or name ENDPOINT/DEPLOYMENT")
    from trioroute.spec.load import load_documents
    from trioroute.spec.written.documents import Document

    client = client_of(measuring.admin, measuring.data)
    document = Document.decode(client.deployment(endpoint, name).document)
    is_cluster = client.registry().is_cluster
    loaded = load_documents([document], loopback=True, cluster=is_cluster)
    limits = _limits(loaded.deployments, source)
    wanted = {"service_s"} | ({"requests_per_s"} if measuring.is_rate_wanted else set())
    if wanted <= given.keys():
        return limits
    from trioroute.client.measuring import look_at, measure

    tell(f"looking at {source} for {measuring.window_s:g} s")
    seen = measure(lambda: look_at(client.system, source), measuring.window_s)
    return limits | attrs.asdict(seen)


def _limits(deployments: "tuple[Deployment, ...]", source: str) -> dict[str, float]:
    if len(deployments) != 1:
        count = len(deployments)
        raise click.UsageError(f"--from {source}: expected one deployment, found {count}")
    (one,) = deployments
    return {
        "slots_per_replica": one.slots_per_replica,
        "queue_wait_max_s": one.queue_wait_max_s,
        "target_utilization": one.scale.target_utilization_percentage / 100,
    }


def _as_text(load: Load, answer: Plan) -> str:
    limit = f"{load.queue_wait_max_s * 1000:g} ms"
    offered = f"{load.requests_per_s:g}/s x {load.service_s:g} s"
    truth = _waiting(
        answer.formula_wait_probability, answer.formula_mean_wait_s, answer.formula_p99_wait_s
    )
    lines = [
        ("offered load", f"{load.offered:.1f} busy slots ({offered})"),
        ("formula", f"{_replicas(answer.formula_replicas, answer.formula_shed)} after {limit}"),
        ("its truth", truth),
        ("needed", f"{_replicas(answer.replicas, answer.shed)} after {limit}"),
        ("utilization", f"{_percent(answer.utilization)} of the slots needed"),
        ("waiting", _waiting(answer.wait_probability, answer.mean_wait_s, answer.p99_wait_s)),
    ]
    if load.spike > 1:
        backlog = f"{answer.spike_backlog:.0f} requests pile up or get 503 until they are ready"
        lines.append(("spike", f"{answer.spike_replicas} replicas at {load.spike:g}x; {backlog}"))
    return _aligned(lines)


def _carried_text(load: Load, replicas: int, answer: Carried) -> str:
    slots = replicas * load.slots_per_replica
    limit = f"{load.queue_wait_max_s * 1000:g} ms"
    p99 = f"99 % of them wait up to {answer.formula_p99_wait_s * 1000:.1f} ms"
    shed = f"{_percent(answer.formula_shed)} of the requests get 503 after {limit}"
    return _aligned(
        [
            ("replicas", f"{replicas} with {slots} slots"),
            ("formula", f"{answer.formula_per_s:.1f}/s; {p99}, {shed}"),
            ("carried", f"{answer.requests_per_s:.1f}/s within the limits"),
            ("waiting", _waiting(answer.wait_probability, answer.mean_wait_s, answer.p99_wait_s)),
        ]
    )


def _waiting(probability: float, mean_s: float, p99_s: float) -> str:
    mean = f"{mean_s * 1000:.1f} ms on average"
    return f"{_percent(probability)} of the requests wait, {mean}; p99 {p99_s * 1000:.1f} ms"


def _aligned(lines: list[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<14}{text}" for name, text in lines)


def _replicas(count: int, shed: float) -> str:
    return f"{count} replica{'s' * (count != 1)}; {_percent(shed)} of the requests get 503"


def _as_yaml(load: Load, least: int, most: int) -> str:
    """Settings to paste into a deployment of type kubernetes."""
    return "\n".join(
        [
            "scale_settings:",
            "  type: target_utilization",
            f"  min_instances: {least}",
            f"  max_instances: {most}",
            f"  target_utilization_percentage: {load.target_utilization * 100:.0f}",
            "request_settings:",
            f"  max_concurrent_requests_per_instance: {load.slots_per_replica}",
            f"  max_queue_wait_ms: {load.queue_wait_max_s * 1000:.0f}",
        ]
    )


def _percent(share: float) -> str:
    percent = share * 100
    return "under 0.01 %" if 0 < percent < 0.01 else f"{percent:.{2 - (percent >= 1)}f} %"
