"""`trioroute render k8s`: Azure's files as what `kubectl apply` takes."""

from pathlib import Path
from typing import Final

import click

from trioroute.cli.options import tell

__all__ = ["render"]

_PATH: Final = click.Path(path_type=Path)
#: `kubectl apply` keeps what it applied in an annotation, and those have 256 KiB in all.
_ANNOTATION_BYTES_MAX: Final = 256 * 1024


@click.group("render")
def render() -> None:
    """Write down what another system takes."""


@render.command("k8s")
@click.argument("paths", nargs=-1, required=True, type=_PATH)
@click.option("-n", "--namespace", default="", help="Written into each [default: kubectl's].")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="yaml: one document each; json: one List.",
)
@click.option("--dev", is_flag=True, help="Allow settings that are for development only.")
def render_k8s(*, paths: tuple[Path, ...], namespace: str, output: str, dev: bool) -> None:
    """Print the custom resources for the endpoint and deployment files at PATHS.

    A small code folder becomes a ConfigMap, which its deployment then names. Nothing is asked of
    any cluster, and nothing is changed.
    """
    from trioroute.spec.cluster.container import ContainerFinder
    from trioroute.spec.cluster.rendering import manifests_of
    from trioroute.spec.load import load_paths
    from trioroute.spec.written.documents import to_yaml

    finder = ContainerFinder(packs_code=True)
    loaded = load_paths(paths, dev=dev, starting=False, cluster=finder)
    for warning in loaded.warnings:
        tell(f"warning: {warning}")
    for pack in loaded.code:
        if sum(map(len, pack.files.values())) > _ANNOTATION_BYTES_MAX:
            tell(f"note: ConfigMap {pack.name} is large: kubectl apply --server-side takes it")
    manifests = manifests_of(loaded, namespace=namespace)
    if output == "json":
        import json

        listed = {"apiVersion": "v1", "kind": "List", "items": manifests}
        click.echo(json.dumps(listed, indent=2, ensure_ascii=False))
    else:
        click.echo("---\n".join(map(to_yaml, manifests)), nl=False)
