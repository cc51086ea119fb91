"""The manifests as they are: single files, and overlays as kustomize renders them."""

import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

__all__ = ["FOLDER", "OVERLAYS", "documents_of", "needs_kustomize", "overlay"]

Json = dict[str, Any]

FOLDER: Final = Path(__file__).resolve().parents[2] / "k8s"
OVERLAYS: Final = sorted(path.name for path in (FOLDER / "overlays").iterdir())

needs_kustomize = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="SKIPPED: kubectl renders the overlays; not found"
)


def documents_of(part: str) -> list[Json]:
    """Every document of a folder below k8s, before kustomize has seen it."""
    files = sorted((FOLDER / part).rglob("*.yaml")) + sorted((FOLDER / part).rglob("*.json"))
    return [
        document
        for file in files
        if file.name != "kustomization.yaml"
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ]


@functools.cache
def overlay(name: str) -> tuple[Json, ...]:
    """What `kubectl apply -k` would send."""
    command = ["kubectl", "kustomize", str(FOLDER / "overlays" / name)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    return tuple(yaml.safe_load_all(done.stdout))
