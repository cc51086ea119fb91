"""Options that many verbs share: which system is meant, and how its answer is shown."""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from trioroute.cli.output import FORMATS
from trioroute.errors import ConfigError

if TYPE_CHECKING:
    from trioroute.client.resources import ResourceClient
    from trioroute.client.saved.settings import Settings
    from trioroute.client.system import Reached, System

__all__ = [
    "Duration",
    "client_of",
    "cluster_tools",
    "output_options",
    "proxy_options",
    "shown_traffic",
    "system_of",
    "system_options",
    "tell",
    "traffic_of",
    "wait_options",
]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

#: Building a runtime takes a minute or two, and a large model another.
_WAIT_S: Final = 300.0
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """A time with its unit, `50ms` or `2s`; what a bare 80 means, not everybody agrees on."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value))
        if match is None or (match[2] and match[2] not in _UNITS):
            self.fail(f"{value!r} is not a time such as 50ms or 2s", param, ctx)
        number = float(match[1])
        if number and not match[2]:
            self.fail(f"{value} of what? Say {value}ms or {value}s", param, ctx)
        return number * _UNITS.get(match[2], 1.0)


def system_options(command: Decorated) -> Decorated:
    """--admin and --data."""
    command = click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="Data folder of a `trioroute up` [default: $TRIOROUTE_DATA or .trioroute].",
    )(command)
    return click.option(
        "--admin", metavar="URLS", help="Admin addresses instead [default: $TRIOROUTE_ADMIN]."
    )(command)


def output_options(default: str) -> Callable[[Decorated], Decorated]:
    """-o and --query, as in `az`."""

    def decorate(command: Decorated) -> Decorated:
        kinds = click.Choice(["text", *FORMATS] if default == "text" else FORMATS)
        command = click.option(
            "-o",
            "--output",
            type=kinds,
            default=default,
            show_default=True,
            metavar="FORMAT",
            help=", ".join(kinds.choices) + ".",
        )(command)
        return click.option("--query", metavar="JMESPATH", help="Show only this part.")(command)

    return decorate


def wait_options(command: Decorated) -> Decorated:
    """--no-wait and --timeout."""
    command = click.option(
        "--timeout", default=_WAIT_S, show_default=True, help="Seconds to wait for replicas."
    )(command)
    return click.option("--no-wait", is_flag=True, help="Return once it is in the log.")(command)


def proxy_options(command: Decorated) -> Decorated:
    """What the data plane can be told; the command gets it as one `proxy`: `ProxySettings`."""
    file = click.Path(path_type=Path)
    options = (
        click.option(
            "--limit",
            multiple=True,
            metavar="NAME=VALUE",
            help="Change a limit of the data plane (trioroute/proxy/README.md has the table).",
        ),
        click.option("--replica-authority", type=file, help="PEM: who signs replicas' TLS."),
        click.option("--replica-certificate", type=file, help="PEM: shown to such replicas."),
        click.option("--replica-key", type=file, help="PEM: the key of that."),
        click.option(
            "--access-log-per-s",
            default=0,
            type=click.IntRange(0),
            help="Most lines a second of each worker; 0: all.",
        ),
    )

    @functools.wraps(command)
    def with_settings(
        limit: tuple[str, ...],
        replica_authority: Path | None,
        replica_certificate: Path | None,
        replica_key: Path | None,
        access_log_per_s: int,
        **others: Any,
    ) -> Any:
        from trioroute.app.host.certificates import replica_files
        from trioroute.app.settings import ProxySettings, parse_limits

        proxy = ProxySettings(
            limits=parse_limits(limit),
            replica_files=replica_files(replica_authority, replica_certificate, replica_key),
            access_log_per_s=access_log_per_s,
        )
        return command(proxy=proxy, **others)

    wrapped: Any = with_settings
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast("Decorated", wrapped)


def client_of(admin: str | None, data: Path | None) -> "ResourceClient":
    """The system that the options name.

    Raises:
        UnreachableError: there is none.
    """
    from trioroute.client.resources import ResourceClient

    return ResourceClient(system_of(admin, data))


def system_of(admin: str | None, data: Path | None) -> "System":
    """The same, for whoever asks nothing about resources.

    Raises:
        UnreachableError: there is none.
    """
    from trioroute.client.system import find_system

    return find_system(admin, data, os.environ, reach=_reach)


def _reach(settings: "Settings") -> "Reached":
    with cluster_tools(settings):
        from trioroute.cli.kube.forward import reach_cluster
    return reach_cluster(settings, tell)


@contextlib.contextmanager
def cluster_tools(settings: "Settings") -> Iterator[None]:
    """For imports of what takes the cluster's client, which is an extra.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = settings.namespace
        raise ConfigError(
            f"namespace {name.value} ({name.origin}) is in a Kubernetes cluster, and {error.name} "
            "is missing: pip install 'trioroute[k8s]'"
        ) from None


def tell(text: str) -> None:
    """Progress: to standard error, so that standard output is data only."""
    click.echo(text, err=True)


def shown_traffic(shares: Mapping[str, int]) -> str:
    """`blue 90 %, green 10 %`; nothing for no traffic."""
    return ", ".join(f"{name} {percent} %" for name, percent in shares.items() if percent)


def traffic_of(words: tuple[str, ...]) -> dict[str, int]:
    """`blue=90 green=rest`, in one word or several, as in `az --traffic`.

    Raises:
        UsageError: not of that form.
    """
    shares: dict[str, int] = {}
    rest: str | None = None
    for word in " ".join(words).split():
        name, equals, percent = word.partition("=")
        if not (name and equals):
            hint = "for example blue=90 green=rest"
            raise click.UsageError(f"expected NAME=PERCENT, found {word!r}: {hint}")
        if percent == "rest" and rest is not None:
            raise click.UsageError(f"only one can get the rest: {rest} or {name}")
        if percent == "rest":
            rest = name
        elif percent.isascii() and percent.isdigit():
            shares[name.lower()] = int(percent)
        else:
            raise click.UsageError(f"{word!r}: a share is a whole number of percent, or rest")
    if rest is not None:
        shares[rest.lower()] = max(0, 100 - sum(shares.values()))
    return shares
