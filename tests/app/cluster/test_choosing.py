"""A runner, a cluster, or nobody."""

import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from trioroute.app.cluster.choosing import cluster_of, source_of
from trioroute.app.settings import ClusterSettings, FrontEndConfig
from trioroute.discovery.local import LocalReplicaSource
from trioroute.errors import ConfigError

PLAIN = FrontEndConfig(name="fe-0", data=Path("/nowhere"), peers=(), voters=1)


def test_without_either_nobody_does() -> None:
    assert cluster_of(PLAIN) is None
    assert source_of(PLAIN, None) is None


def test_a_runner_does(tmp_path: Path) -> None:
    assert isinstance(source_of(attrs.evolve(PLAIN, runner=tmp_path), None), LocalReplicaSource)


def test_a_cluster_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="--kubernetes-namespace models"):
        cluster_of(attrs.evolve(PLAIN, cluster=ClusterSettings(namespaces=("models",))))


def test_without_the_extra_it_says_what_to_install() -> None:
    """In a process of its own: the client is imported here already."""
    program = (
        "import sys; sys.modules['kubernetes'] = None\n"
        "from pathlib import Path\n"
        "from trioroute.app.cluster.choosing import cluster_of\n"
        "from trioroute.app.settings import ClusterSettings, FrontEndConfig\n"
        "cluster_of(FrontEndConfig(name='a', data=Path('/'), peers=(), voters=1,\n"
        "    cluster=ClusterSettings(namespaces=('n',))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert "pip install 'trioroute[k8s]'" in done.stderr
