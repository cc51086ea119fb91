"""What `k8s/README.md` tells an operator, by the real `kubectl`, with pods that really run."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from chaos.pods.install import MANIFESTS, REPLICA_COMMAND
from chaos.pods.site import fake_site
from chaos.pods.system import deployment, endpoint
from chaos.sim.kubernetes_cluster.plane import ADMIN_TOKEN
from chaos.sim.kubernetes_cluster.tls import make_server_tls
from tests.e2e.cluster.sites import is_remote
from tests.k8s.kubectl import Kubectl, needs_kubectl

pytestmark = [
    needs_kubectl,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(is_remote(), reason="SKIPPED: names of its own in the cluster are taken"),
]

Json = dict[str, Any]

NAMESPACE: Final = "trioroute-system"
#: Namespaces of the component `models-in-several`, and the endpoint that each has.
TEAMS: Final = {"team-a": "iris", "team-b": "rose"}
WAIT: Final = "--timeout=90s"


async def test_installed_applied_changed_and_removed(tmp_path: Path) -> None:
    tls = make_server_tls(tmp_path / "tls")
    async with fake_site(tmp_path, "", tls) as site:
        assert site.plane is not None
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(site.plane.kubeconfig(ADMIN_TOKEN)))
        kubectl = Kubectl(file, tmp_path)
        await trio.to_thread.run_sync(partial(_live, kubectl, tmp_path))


def _live(kubectl: Kubectl, folder: Path) -> None:
    """A life of one endpoint, in a thread: the cluster is in this process too."""
    _install(kubectl, folder)
    _serve(kubectl, folder)
    _change(kubectl)
    for team in TEAMS:
        kubectl("delete", "-n", team, "onlinedeployments,onlineendpoints", "--all", WAIT)
    for team, endpoint_name in TEAMS.items():
        kubectl("wait", "-n", team, "--for=delete", f"deployment/{endpoint_name}-blue", WAIT)
    kubectl("delete", "-k", str(folder / "overlay"), "--ignore-not-found", WAIT)
    assert not {NAMESPACE, *TEAMS} & set(kubectl("get", "namespaces").split())


def _install(kubectl: Kubectl, folder: Path) -> None:
    kubectl("apply", "-k", str(MANIFESTS / "crds"))
    kubectl("apply", "-f", str(MANIFESTS / "base" / "namespace.yaml"))
    certs = [sys.executable, "-m", "trioroute.cli.main", "certs", "--count", "3", "--seal"]
    made = subprocess.run(certs, capture_output=True, check=True, text=True, timeout=60)
    kubectl("apply", "-f", "-", stdin=made.stdout)
    _write_overlay(folder / "overlay")
    kubectl("apply", "-k", str(folder / "overlay"))
    kubectl("rollout", "status", "-n", NAMESPACE, "statefulset/trioroute", WAIT)


def _write_overlay(folder: Path) -> None:
    """An operator's own, with what makes an end quick."""
    folder.mkdir()
    knobs = {"UNREADY_S": "0", "DRAIN_S": "2"}
    patch = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trioroute"}}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(MANIFESTS / "overlays" / "ha", folder)],
        "components": [os.path.relpath(MANIFESTS / "components" / "models-in-several", folder)],
        "patches": [{"patch": json.dumps({**patch, "data": knobs})}],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))


def _serve(kubectl: Kubectl, folder: Path) -> None:
    short = {"request_timeout_ms": 1000, "max_concurrent_requests_per_instance": 2}
    blue = deployment("blue", "trioroute", REPLICA_COMMAND, request_settings=short)
    for team, name in TEAMS.items():
        for body in (endpoint({"blue": 100}), blue):
            file = folder / f"{team}.yaml"
            file.write_text(json.dumps(body).replace("iris", name))
            kubectl("apply", "-n", team, "-f", str(file))
    for team, name in TEAMS.items():
        kubectl("wait", "-n", team, "--for=condition=Ready", f"onlineendpoint/{name}", WAIT)
        head, row = kubectl("get", "-n", team, "onlineendpoints").splitlines()
        shown = dict(zip(head.split(), row.split(), strict=True))
        assert (shown["NAME"], shown["READY"], shown["REASON"]) == (name, "True", "Serving")
        assert shown["COORDINATOR"].startswith("trioroute-")
        assert kubectl("get", "-n", team, "pods").count("1/1") == 1
    system = ("-n", NAMESPACE)
    pods = kubectl("get", *system, "pods", "-o", "wide")
    assert pods.count("1/1") == 3
    assert "trioroute-0" in kubectl("logs", *system, "trioroute-0")
    plugin = folder / "plugins" / "kubectl-trioroute"
    plugin.parent.mkdir()
    plugin.write_text(
        f"#!{sys.executable} -P\nfrom trioroute.cli.kube.plugin import main\nmain()\n"
    )
    plugin.chmod(0o755)
    said = kubectl(
        "trioroute", *system, "get", "deployments", "-o", "json", path=str(plugin.parent)
    )
    assert all(f'"{name}"' in said for name in TEAMS.values())


def _change(kubectl: Kubectl) -> None:
    """Of a deployment that serves: how many, and what each may use."""
    system = ("-n", "team-a")
    patch = ("patch", *system, "od", "iris-blue", "--type=merge", "-p")
    kubectl(*patch, '{"spec": {"instance_count": 2}}')
    ready = "--for=jsonpath={.status.readyReplicas}=2"
    kubectl("wait", *system, ready, "deployment/iris-blue", WAIT)
    wanted = {"requests": {"cpu": "250m", "memory": "300Mi"}, "limits": {"memory": "600Mi"}}
    kubectl(*patch, json.dumps({"spec": {"resources": wanted}}))
    field = "{.spec.template.spec.containers[0].resources.requests.cpu}"
    kubectl("wait", *system, f"--for=jsonpath={field}=250m", "deployment/iris-blue", WAIT)
    kubectl("rollout", "status", *system, "deployment/iris-blue", WAIT)
    pods = kubectl("get", *system, "pods", "-l", "trioroute.dev/endpoint=iris", "-o", "json")
    for pod in json.loads(pods)["items"]:
        said: Json = pod["spec"]["containers"][0]["resources"]
        if "deletionTimestamp" not in pod["metadata"]:
            assert (said["requests"]["cpu"], said["limits"]["memory"]) == ("250m", "600Mi")
