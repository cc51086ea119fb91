"""A cluster of somebody else's that cannot be used is one sentence, said before anything begins."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from chaos.pods.remote import check_remote, forwarded
from chaos.sim.kubernetes_cluster.plane import kubeconfig_of
from tests.house.tree import ROOT
from tests.k8s.cluster import NAMESPACE
from tests.k8s.running import running_cluster
from trioroute.cli.kube.access import open_access
from trioroute.client.saved.settings import find_settings
from trioroute.errors import ConfigError, ControlError

_OURS: Final = ("TRIOROUTE_IMAGE", "TOY_KUBELET")
#: What the client read of KUBECONFIG when it was imported.
_KUBECONFIG: Final = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _OURS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="TRIOROUTE_IMAGE: name an image"):
        check_remote()
    monkeypatch.setenv("TOY_KUBELET", "1")
    monkeypatch.setattr(_KUBECONFIG, str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="cannot be used"):
        check_remote()
    # Port 9 is "discard", which nobody serves.
    nobody = kubeconfig_of({"server": "http://127.0.0.1:9"}, "token", name="nobody")
    (tmp_path / "nobody").write_text(json.dumps(nobody))
    monkeypatch.setattr(_KUBECONFIG, str(tmp_path / "nobody"))
    with pytest.raises(ControlError, match="is the context of the kubeconfig the right one"):
        check_remote()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="kubectl renders the manifests"):
        check_remote()


def test_admin_apis_of_real_pods_are_reached_through_the_api_server(tmp_path: Path) -> None:
    with running_cluster() as cluster:
        named = {
            "TRIOROUTE_NAMESPACE": NAMESPACE,
            "TRIOROUTE_KUBECONFIG": str(cluster.write_kubeconfig(tmp_path / "kubeconfig")),
            "TRIOROUTE_CONFIG": str(tmp_path / "contexts.json"),
        }
        with forwarded(open_access(find_settings(None, None, named))) as urls:
            assert urls() == ()
            cluster.make_front_end("trioroute-0", "http://127.0.0.1:9090")
            (url,) = urls()
            # A port of this machine, not the pod's own.
            assert url.startswith("http://127.0.0.1:")
            assert not url.endswith(":9090")


def test_the_suite_says_it_and_ends() -> None:
    """As `make test-cluster` runs it, where nothing is set."""
    variables = {name: value for name, value in os.environ.items() if name not in _OURS}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/e2e/cluster"],
        cwd=ROOT,
        env=variables | {"TRIOROUTE_TEST_CLUSTER": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = (done.stdout + done.stderr).strip()
    assert (
        said == "ERROR: TRIOROUTE_IMAGE: name an image that the cluster can pull, or TOY_KUBELET=1"
    )
    assert done.returncode == int(pytest.ExitCode.USAGE_ERROR)
