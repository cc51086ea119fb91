"""`trioroute plan`: how many replicas an expected load needs, and how long requests would wait."""

from typing import Any

import attrs
import click

from trioroute.cli.options import Duration, output_options
from trioroute.cli.output import reply
from trioroute.core.planning import Load, Plan, plan_replicas

__all__ = ["plan"]


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


@click.command()
@click.option("--rps", type=float, required=True, help="Requests per second.")
@click.option(
    "--req-time", "request_time", type=Duration(), required=True, help="Mean time of one request."
)
@click.option("--target-utilization", type=float, default=70, show_default=True, help="Percent.")
@click.option(
    "--max-concurrent",
    "concurrent_max",
    type=int,
    default=1,
    show_default=True,
    help="Per replica.",
)
@click.option(
    "--max-queue-wait",
    "queue_wait_max",
    type=Duration(),
    default="500ms",
    show_default=True,
    help="Then 503.",
)
@click.option(
    "--shed",
    type=float,
    default=0.1,
    show_default=True,
    help="Percent of requests that may get 503.",
)
@click.option("--spike", type=Multiple(), default="1x", help="Highest load, as a multiple.")
@click.option("--cold-start", type=Duration(), default="30s", help="Until a new replica is ready.")
@output_options("text")
def plan(
    *,
    rps: float,
    request_time: float,
    target_utilization: float,
    concurrent_max: int,
    queue_wait_max: float,
    shed: float,
    spike: float,
    cold_start: float,
    output: str,
    query: str | None,
) -> None:
    """Size replicas and limits for an expected load.

    Shows what Azure's published formula gives, how long requests would wait with that (Erlang C:
    random arrivals, exponential request times), and how many replicas keep the waiting within
    max_queue_wait_ms.
    """
    if not 0 < target_utilization <= 100:
        hint = f"{target_utilization:g} is not in 1 … 100 percent"
        raise click.BadParameter(hint, param_hint="--target-utilization")
    load = Load(
        requests_per_s=rps,
        service_s=request_time,
        slots_per_replica=concurrent_max,
        queue_wait_max_s=queue_wait_max,
        shed_max=shed / 100,
        target_utilization=target_utilization / 100,
        spike=spike,
        cold_start_s=cold_start,
    )
    try:
        answer = plan_replicas(load)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if output in ("yaml", "yamlc") and query is None:
        # What is pasted into a deployment; the other formats have every figure.
        click.echo(_as_yaml(load, answer))
    else:
        reply(_as_text(load, answer), attrs.asdict(answer), output, query)


def _as_text(load: Load, answer: Plan) -> str:
    limit = f"{load.queue_wait_max_s * 1000:g} ms"
    offered = f"{load.requests_per_s:g}/s x {load.service_s:g} s"
    mean = f"{answer.mean_wait_s * 1000:.1f} ms on average"
    lines = [
        ("offered load", f"{load.offered:.1f} busy slots ({offered})"),
        ("formula", f"{_replicas(answer.formula_replicas, answer.formula_shed)} after {limit}"),
        ("needed", f"{_replicas(answer.replicas, answer.shed)} after {limit}"),
        ("utilization", f"{_percent(answer.utilization)} of the slots needed"),
        ("waiting", f"{_percent(answer.wait_probability)} of the requests wait, {mean}"),
    ]
    if load.spike > 1:
        backlog = f"{answer.spike_backlog:.0f} requests pile up or get 503 until they are ready"
        lines.append(("spike", f"{answer.spike_replicas} replicas at {load.spike:g}x; {backlog}"))
    head = "\n".join(f"{name:<14}{text}" for name, text in lines)
    return f"{head}\n\n{_as_yaml(load, answer)}"


def _replicas(count: int, shed: float) -> str:
    return f"{count} replica{'s' * (count != 1)}; {_percent(shed)} of the requests get 503"


def _as_yaml(load: Load, answer: Plan) -> str:
    """Settings to paste into a deployment of type kubernetes."""
    return "\n".join(
        [
            "scale_settings:",
            "  type: target_utilization",
            f"  min_instances: {answer.replicas}",
            f"  max_instances: {max(answer.replicas, answer.spike_replicas)}",
            f"  target_utilization_percentage: {load.target_utilization * 100:.0f}",
            "request_settings:",
            f"  max_concurrent_requests_per_instance: {load.slots_per_replica}",
            f"  max_queue_wait_ms: {load.queue_wait_max_s * 1000:.0f}",
        ]
    )


def _percent(share: float) -> str:
    percent = share * 100
    return "under 0.01 %" if 0 < percent < 0.01 else f"{percent:.{2 - (percent >= 1)}f} %"
