"""`trioroute invoke`: a scoring request with the endpoint's own key, or many and their times."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trioroute.cli.operate.names import complete_endpoints
from trioroute.cli.options import client_of, output_options, system_options
from trioroute.cli.output import reply

if TYPE_CHECKING:
    from trioroute.client.burst import Burst

__all__ = ["invoke"]

#: More is a benchmark's business, which sends at a rate of its own.
_COUNT: Final = click.IntRange(1, 1_000_000)
_THREADS: Final = click.IntRange(1, 256)


@click.command("invoke")
@click.argument("endpoint", shell_complete=complete_endpoints)
@click.option("-d", "--data-body", "body", help="The request's body, or @FILE; - reads stdin.")
@click.option("--request-file", "-r", type=click.Path(path_type=Path), help="The same as -d @FILE.")
@click.option("--deployment", "--deployment-name", help="Ask this deployment, whatever the split.")
@click.option("-n", "--repeat", default=1, show_default=True, type=_COUNT, help="Requests to send.")
@click.option(
    "-c", "--concurrency", default=1, show_default=True, type=_THREADS, help="At the same time."
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="Present the token in this file (- reads stdin), such as one of your own issuer.",
)
@output_options("text")
@system_options
def invoke(  # house: one parameter per option is Click's own form
    *,
    endpoint: str,
    body: str | None,
    request_file: Path | None,
    deployment: str | None,
    repeat: int,
    concurrency: int,
    token_file: Path | None,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> int:
    """Send a request to an endpoint and print the answer; exits with 1 when it is an error.

    It goes with the endpoint's key, or with a fresh token where it takes tokens.

    With -n, sends so many and prints how they were answered and how long they took.
    """
    from trioroute.client.scoring import invoke_endpoint, prepare

    client, content = client_of(admin, data), _read(body, request_file)
    token = None if token_file is None else _read_token(token_file)
    if repeat == 1:
        answer = invoke_endpoint(client, endpoint, content, deployment=deployment, token=token)
        reply(answer, _parsed(answer), output, query)
        return 0
    from trioroute.client.burst import run_burst

    scoring = prepare(client, endpoint, deployment=deployment, token=token)
    burst = run_burst(scoring, [content], count=repeat, concurrency=concurrency)
    reply(_told(burst), burst.summary(), output, query)
    return int(burst.succeeded < burst.sent)


def _told(burst: "Burst") -> str:
    found = burst.summary()
    failed = burst.sent - burst.succeeded
    ok = f"{burst.succeeded} of {burst.sent} answered 2xx in {burst.lasted_s:.2f} s"
    lines = [f"{ok}, {found['requests_per_s']} a second"]
    if burst.succeeded:
        names = ("p50", "p90", "p99", "max")
        lines.append("time  " + "  ".join(f"{name} {found[f'{name}_ms']} ms" for name in names))
    if failed:
        counts = ", ".join(
            f"{count} × {code or 'no answer'}"
            for code, count in sorted(burst.statuses.items())
            if not 200 <= code < 300
        )
        lines += [f"failed  {counts}", *(f"  {sample}" for sample in burst.samples)]
    return "\n".join(lines)


def _parsed(answer: str) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return answer


def _read_token(file: Path) -> str:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="ascii")
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{file}: a token is ASCII text only") from None
    if len(text.split()) != 1:
        raise click.UsageError(f"{file}: expected one token, on one line")
    return text.strip()


def _read(body: str | None, file: Path | None) -> bytes:
    try:
        if file is not None:
            return file.read_bytes()
        if body == "-":
            return sys.stdin.buffer.read()
        if body is not None and body.startswith("@"):
            return Path(body[1:]).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None
    return (body or "{}").encode()
