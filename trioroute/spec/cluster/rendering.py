"""Azure's files as what `kubectl apply` takes: custom resources and the ConfigMaps beside them."""

from typing import Any

from trioroute.spec.cluster.resources import resource_of
from trioroute.spec.load import Loaded

__all__ = ["manifests_of"]


def manifests_of(loaded: Loaded, *, namespace: str = "") -> list[dict[str, Any]]:
    """The objects, each after those that it names.

    Args:
        loaded: read for a cluster.
        namespace: written into each; empty for whatever `kubectl` is pointed at.
    """
    packs = [pack.manifest() for pack in loaded.code]
    keys = [*(one.name for one in loaded.endpoints), *(one.key for one in loaded.deployments)]
    manifests = [*packs, *(resource_of(loaded.documents[key]) for key in keys)]
    for manifest in manifests:
        if namespace:
            manifest["metadata"] = {"namespace": namespace, **manifest["metadata"]}
    return manifests
