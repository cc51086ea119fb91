"""`trioroute schema`: print the JSON Schema of endpoint or deployment files for an editor."""

import json

import click

from trioroute.spec.editor import KINDS, json_schema

__all__ = ["schema"]


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
def schema(kind: str) -> None:
    """Print the JSON Schema of KIND of file.

    Save it and name it in the file's first line, and editors with a YAML language server complete
    and check while you type:

    \b
        trioroute schema deployment > deployment.schema.json
        # yaml-language-server: $schema=deployment.schema.json
    """
    click.echo(json.dumps(json_schema(kind), indent=2))
