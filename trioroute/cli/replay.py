"""`trioroute replay`: a recorded trace under other settings, beside who knows the future."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import click

from trioroute.cli.options import output_options
from trioroute.cli.output import reply
from trioroute.core.model import ScaleKind, ScaleSettings
from trioroute.core.yardstick.replay import Outcome, ReplaySettings, Report, replay
from trioroute.core.yardstick.trace import Trace, parse_trace
from trioroute.errors import ConfigError

__all__ = ["replay_trace"]

#: Names for `--set`: what they mean and the least that makes sense.
_SETTINGS: Final[Mapping[str, tuple[str, float]]] = {
    "target": ("target_utilization_percentage", 1),
    "min": ("min_instances", 0),
    "max": ("max_instances", 1),
    "polling": ("polling_interval, seconds", 0.1),
    "count": ("instance_count: a fixed number, no scaling", 1),
    "slots": ("max_concurrent_requests_per_instance", 1),
    "wait": ("max_queue_wait_ms", 0),
    "down": ("trioroute.scale_down_after_s", 0),
    "burst": ("trioroute.burst_wait_max_s", 0),
    "depth": ("most requests that may wait", 1),
    "ready": ("seconds until a replica is ready, where the trace has none", 0),
}
_WHOLE: Final = frozenset({"target", "min", "max", "count", "slots", "depth"})


@click.command("replay")
@click.argument("trace", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--set",
    "changes",
    metavar="NAME=VALUE",
    multiple=True,
    help="Try another setting; may be given several times. "
    + "; ".join(f"{name}: {meaning}" for name, (meaning, _) in _SETTINGS.items())
    + ".",
)
@click.option("--deployment", metavar="ENDPOINT/DEPLOYMENT", help="Which one of an access log.")
@output_options("text")
def replay_trace(
    *,
    trace: Path,
    changes: tuple[str, ...],
    deployment: str | None,
    output: str,
    query: str | None,
) -> None:
    """Run a recorded TRACE under other settings, in virtual time.

    TRACE is an access log (`trioroute up --access-log FILE`) or has one JSON object a line:
    {"at": 12.5, "service": 0.08} for each request, {"ready": 3.1} for each start of a replica, in
    seconds. An access log has such lines, too, for starts while it was written. Nobody is refused
    for a wait that can be foretold, as the router does at a deployment's maximum. Shows
    replica-seconds, waits and rejections beside those of two scalers that know the future: one
    that gives every request the same wait, one that lets none wait.
    """
    values = _values(changes)
    recorded = _read(trace, deployment)
    if not recorded.ready_times_s and "ready" in values:
        recorded = attrs.evolve(recorded, ready_times_s=(values["ready"],))
    report = replay(recorded, _settings(values))
    shown = {"requests": len(recorded.requests), "guessed": recorded.guessed}
    reply(_as_text(recorded, report), shown | attrs.asdict(report), output, query)


def _read(path: Path, deployment: str | None) -> Trace:
    try:
        with path.open(encoding="utf-8") as file:
            return parse_trace(file, name=str(path), deployment=deployment)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}") from None


def _values(changes: tuple[str, ...]) -> dict[str, float]:
    values: dict[str, float] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in _SETTINGS:
            known = ", ".join(_SETTINGS)
            raise click.UsageError(f"--set {change}: expected NAME=VALUE, NAME one of {known}")
        values[name] = _value(name, text)
    return values


def _value(name: str, text: str) -> float:
    meaning, least = _SETTINGS[name]
    try:
        value = float(int(text)) if name in _WHOLE else float(text)
    except ValueError:
        kind = "a whole number" if name in _WHOLE else "a number"
        raise click.UsageError(f"--set {name}={text}: expected {kind} ({meaning})") from None
    if not least <= value < float("inf"):
        raise click.UsageError(f"--set {name}={text}: expected at least {least:g} ({meaning})")
    return value


def _settings(values: Mapping[str, float]) -> ReplaySettings:
    low = int(values.get("min", 1))
    high = int(values.get("max", max(10, low)))
    if low > high:
        raise click.UsageError(f"min ({low}) is more than max ({high})")
    scale = ScaleSettings(
        kind=ScaleKind.DEFAULT if "count" in values else ScaleKind.TARGET_UTILIZATION,
        instance_count=int(values.get("count", 1)),
        min_instances=low,
        max_instances=high,
        target_utilization_percentage=int(values.get("target", 70)),
        polling_interval_s=values.get("polling", 1.0),
        down_after_s=values.get("down"),
    )
    return ReplaySettings(
        scale=scale,
        slots_per_replica=int(values.get("slots", 1)),
        queue_wait_max_s=values.get("wait", 500.0) / 1000,
        queue_depth_max=int(values.get("depth", 1024)),
        burst_wait_max_s=values.get("burst", 30.0),
    )


def _as_text(trace: Trace, report: Report) -> str:
    rows = [
        ("this scaler", report.scaler),
        ("knows the future, same waits", report.same_waits),
        ("knows the future, no waits", report.no_waits),
    ]
    head = ("replica-s", "most", "served", "rejected", "mean wait", "p99", "longest")
    lines = [
        f"{len(trace.requests)} requests in {trace.requests[-1].arrived_at:.1f} s; "
        f"{report.starts} replicas started"
        + (f"; {trace.guessed} service times guessed" if trace.guessed else ""),
        "",
        " " * 28 + "".join(f"{each:>11}" for each in head),
    ]
    return "\n".join([*lines, *(f"{name:28}{_row(outcome)}" for name, outcome in rows)])


def _row(outcome: Outcome) -> str:
    waits = (outcome.wait_mean_s, outcome.wait_p99_s, outcome.wait_max_s)
    return (
        f"{outcome.replica_time_s:11.1f}{outcome.replicas_max:11}"
        f"{outcome.served:11}{outcome.rejected:11}"
        + "".join(f"{f'{wait_s * 1000:.0f} ms':>11}" for wait_s in waits)
    )
