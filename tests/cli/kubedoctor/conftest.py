"""The fake cluster that verbs of this process are pointed at."""

from tests.cli.kube.conftest import cluster, environment

__all__ = ["cluster", "environment"]
