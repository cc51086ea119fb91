"""`trioroute invoke`: one scoring request, with the endpoint's own key."""

import sys
from pathlib import Path

import click

from trioroute.cli.options import client_of, system_options

__all__ = ["invoke"]


@click.command("invoke")
@click.argument("endpoint")
@click.option("-d", "--data-body", "body", help="The request's body, or @FILE; - reads stdin.")
@click.option("--request-file", "-r", type=click.Path(path_type=Path), help="The same as -d @FILE.")
@click.option("--deployment", "--deployment-name", help="Ask this deployment, whatever the split.")
@system_options
def invoke(
    *,
    endpoint: str,
    body: str | None,
    request_file: Path | None,
    deployment: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Send one request to an endpoint and print the answer; exits with 1 when it is an error."""
    from trioroute.client.scoring import invoke_endpoint

    answer = invoke_endpoint(
        client_of(admin, data), endpoint, _read(body, request_file), deployment=deployment
    )
    click.echo(answer)


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
