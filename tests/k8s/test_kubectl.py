"""The real `kubectl` works with the fake API server: HTTPS, discovery, tables, apply, waiting."""

# house: tests chaos/sim/kubernetes and kubernetes_cluster together, through their oldest client

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.k8s.cluster import NAMESPACE
from tests.k8s.kubectl import Kubectl, needs_kubectl
from tests.k8s.rendered import FOLDER
from tests.k8s.running import RunningCluster, running_cluster

pytestmark = [needs_kubectl, pytest.mark.timeout(180)]

ENDPOINT: Final = """
apiVersion: trioroute.dev/v1alpha1
kind: OnlineEndpoint
metadata: {name: rose, namespace: models}
spec: {name: rose, auth_mode: key, traffic: {blue: 100}}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    with running_cluster(tmp_path / "tls", is_alive=True) as opened:
        yield opened


@pytest.fixture
def kubectl(cluster: RunningCluster, tmp_path: Path) -> Kubectl:
    return Kubectl(cluster.write_kubeconfig(tmp_path / "kubeconfig"), tmp_path)


def test_an_endpoint_from_its_file_to_its_deletion(kubectl: Kubectl) -> None:
    models = ("-n", NAMESPACE)
    assert "rose created" in kubectl("apply", "-f", "-", stdin=ENDPOINT)
    assert "rose unchanged" in kubectl("apply", "-f", "-", stdin=ENDPOINT)
    halved = ENDPOINT.replace("blue: 100", "blue: 50, green: 50")
    assert "rose configured" in kubectl("apply", "-f", "-", stdin=halved)
    said = "-o=jsonpath={.spec.traffic}"
    assert json.loads(kubectl("get", *models, "oe", "rose", said)) == {"blue": 50, "green": 50}
    # By the server, as somebody else: the traffic is not theirs.
    server = ("apply", "--server-side", "--field-manager=gitops", "-f", "-")
    theirs = ENDPOINT.replace("blue: 100", "blue: 60, green: 40")
    refused = kubectl.run(*server, stdin=theirs)
    assert refused.returncode == 1
    assert 'conflict with "kubectl-client-side-apply"' in refused.stderr
    assert "rose serverside-applied" in kubectl(*server, "--force-conflicts", stdin=theirs)
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "message": "it serves"}
    ready["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    seen = {"utilization": "30%", "coordinator": "fe-1"}
    patch = json.dumps({"status": {"conditions": [ready], **seen}})
    kubectl("patch", *models, "oe", "rose", "--subresource=status", "--type=merge", "-p", patch)
    kubectl("wait", *models, "--for=condition=Ready", "oe/rose", "--timeout=30s")
    head, row = kubectl("get", *models, "onlineendpoints").splitlines()
    columns = ["NAME", "READY", "TRAFFIC", "UTIL", "COORDINATOR", "REASON", "AGE"]
    assert head.split() == columns
    # Its traffic is a status of a coordinator, and there is none.
    assert row.split()[:5] == ["rose", "True", "30%", "fe-1", "Serving"]
    head, *_ = kubectl("get", *models, "onlinedeployments").splitlines()
    assert head.split() == [columns[0], columns[1], "ENDPOINT", *columns[2:]]
    assert "auth_mode: key" in kubectl("get", *models, "oe", "rose", "-o", "yaml")
    described = kubectl("describe", *models, "oe", "rose")
    assert "auth_mode:  key" in described
    assert "Events:" in described
    kubectl("delete", *models, "oe", "rose")
    gone = kubectl.run("get", *models, "oe", "rose")
    assert gone.returncode == 1
    assert '"rose" not found' in gone.stderr


SERVICE: Final = """
apiVersion: v1
kind: Service
metadata: {name: door, namespace: models}
spec: {ports: [{name: https, port: 443, targetPort: tls}, {name: http, port: 80}]}
"""


@pytest.mark.parametrize("way", [(), ("--server-side",)])
def test_a_services_ports_come_and_go_one_by_one(way: tuple[str, ...], kubectl: Kubectl) -> None:
    one = SERVICE.replace(", {name: http, port: 80}", "")
    wanted = {one: "443", SERVICE: "443 80"}
    for said in (one, SERVICE, one):
        kubectl("apply", *way, "-f", "-", stdin=said)
        found = kubectl("get", "-n", NAMESPACE, "svc", "door", "-o=jsonpath={.spec.ports[*].port}")
        assert " ".join(sorted(found.split())) == wanted[said]


def test_what_a_file_has_wrong_is_refused_by_name(kubectl: Kubectl) -> None:
    unknown = kubectl.run("apply", "-f", "-", stdin=ENDPOINT.replace("auth_mode", "auth_mood"))
    assert unknown.returncode == 1
    assert 'unknown field "spec.auth_mood"' in unknown.stderr
    invalid = kubectl.run("apply", "-f", "-", stdin=ENDPOINT.replace("name: rose,", "name: r,", 2))
    assert invalid.returncode == 1
    assert "spec.name" in invalid.stderr
    relation = kubectl.run("apply", "-f", "-", stdin=ENDPOINT.replace("100", "90"))
    assert "the traffic percentages have to make 0 or 100" in relation.stderr
    assert "auth_mode" in kubectl("explain", "onlineendpoint.spec")


def test_what_it_has_kept_of_discovery_goes_on_to_count(kubectl: Kubectl) -> None:
    """An unknown word has it ask again, with the mark of what it has: 304."""
    kubectl("get", "-n", NAMESPACE, "pods")
    for _ in range(2):
        assert "doesn't have a resource type" in kubectl.run("get", "frobs").stderr
    kubectl("get", "-n", NAMESPACE, "pods")
    assert "oe" in kubectl("api-resources", "--api-group=trioroute.dev")


def test_without_a_token_or_with_a_wrong_one(cluster: RunningCluster, tmp_path: Path) -> None:
    file = cluster.write_kubeconfig(tmp_path / "wrong", token="wrong")
    refused = Kubectl(file, tmp_path).run("get", "pods")
    assert refused.returncode == 1
    assert "You must be logged in" in refused.stderr
    file = cluster.write_kubeconfig(tmp_path / "router", token="router")
    kubectl = Kubectl(file, tmp_path)
    assert "No resources found" in kubectl.run("get", "pods", "-n", NAMESPACE).stderr
    secrets = kubectl.run("get", "secrets", "-n", NAMESPACE)
    assert secrets.returncode == 1
    assert "cannot list resource" in secrets.stderr


def test_what_the_handbook_has_made_by_hand(kubectl: Kubectl) -> None:
    """`kubectl create` and `auth can-i` send protobuf."""
    system = ("-n", NAMESPACE)
    types = '{"nodeSelector": {"pool": "cpu"}}'
    name = "trioroute-instance-types"
    kubectl("create", *system, "configmap", name, f"--from-literal=small={types}")
    assert kubectl("get", *system, "cm", name, "-o=jsonpath={.data.small}") == types
    assert "already exists" in kubectl.run("create", *system, "configmap", name).stderr
    secret = ("create", *system, "secret", "generic", "trioroute-secret")
    kubectl(*secret, "--from-literal=secret.key=k")
    kept = kubectl("get", *system, "secret", "trioroute-secret", "-o=jsonpath={.data.secret\\.key}")
    assert base64.b64decode(kept) == b"k"
    kubectl("create", "namespace", "team-c")
    assert "team-c" in kubectl("get", "namespaces")


def test_who_may_do_what_and_what_nobody_may(kubectl: Kubectl) -> None:
    system = ("-n", NAMESPACE)
    role = ("create", *system, "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl(*role)
    binding = ("rolebinding", "reader", "--role=reader", f"--serviceaccount={NAMESPACE}:reader")
    kubectl("create", *system, *binding)
    account = f"--as=system:serviceaccount:{NAMESPACE}:reader"
    may = ("auth", "can-i", *system)
    assert kubectl(*may, "delete", "pods") == "yes\n"
    assert kubectl(*may, "list", "pods", account) == "yes\n"
    assert kubectl.run(*may, "delete", "pods", account).stdout == "no\n"
    refused = kubectl.run("get", *system, "secrets", account)
    assert f'"system:serviceaccount:{NAMESPACE}:reader" cannot list resource' in refused.stderr


def test_a_changed_workload_keeps_nothing_of_the_patchs_own_words(kubectl: Kubectl) -> None:
    """kubectl says in a patch in which order its containers are."""
    container = {"name": "a", "image": "a:1"}
    labels = {"app": "a"}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    head = {"name": "a", "namespace": NAMESPACE}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": head, "spec": spec}
    said = json.dumps(body)
    kubectl("apply", "-f", "-", stdin=said)
    kubectl("apply", "-f", "-", stdin=said.replace("a:1", "a:2"))
    found = json.loads(kubectl("get", "-n", NAMESPACE, "deployment/a", "-o", "json"))
    pod = found["spec"]["template"]["spec"]
    assert [one["image"] for one in pod["containers"]] == ["a:2"]
    assert not [name for name in pod if name.startswith("$")]
    history = kubectl("rollout", "-n", NAMESPACE, "history", "deployment/a").splitlines()
    assert [row.split()[0] for row in history[2:] if row] == ["1", "2"]


def test_several_objects_in_one_list(kubectl: Kubectl) -> None:
    """No PATCH has that kind: kubectl looks for it in the OpenAPI document of version 2."""
    head = {"apiVersion": "v1", "kind": "ConfigMap"}
    items = [{**head, "metadata": {"name": name, "namespace": NAMESPACE}} for name in "ab"]
    several = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    assert kubectl("apply", "-f", "-", stdin=several).count(" created") == 2


def test_an_installation(kubectl: Kubectl) -> None:
    """As `k8s/README.md` has it, with a kubelet that says ready at once."""
    kubectl("delete", "-k", str(FOLDER / "crds"))
    assert kubectl("apply", "-k", str(FOLDER / "crds")).count(" created") == 2
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    system = ("-n", "trioroute-system")
    overlay = str(FOLDER / "overlays" / "ha")
    assert "statefulset.apps/trioroute created" in kubectl("apply", "-k", overlay)
    kubectl("rollout", *system, "status", "statefulset/trioroute", "--timeout=60s")
    kubectl("wait", *system, "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    pods = kubectl("get", *system, "pods").splitlines()
    assert pods[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row.split()[:3] for row in pods[1:]] == [
        [f"trioroute-{number}", "1/1", "Running"] for number in range(3)
    ]
    # kubectl sends the selector of a disruption budget each time, and calls that a change.
    again = kubectl("apply", "-k", overlay).splitlines()
    assert [line.partition("/")[0] for line in again if not line.endswith(" unchanged")] == [
        "poddisruptionbudget.policy"
    ]
    assert "Replicas:" in kubectl("describe", *system, "statefulset", "trioroute")
    assert "trioroute-0" in kubectl("get", *system, "all", "-o", "wide")
    kubectl("rollout", *system, "restart", "statefulset/trioroute")
    kubectl("rollout", *system, "status", "statefulset/trioroute", "--timeout=60s")
    told = "restartedAt"
    assert told in kubectl("get", *system, "statefulset/trioroute", "-o", "yaml")
    kubectl("rollout", *system, "undo", "statefulset/trioroute")
    kubectl("rollout", *system, "status", "statefulset/trioroute", "--timeout=60s")
    assert told not in kubectl("get", *system, "statefulset/trioroute", "-o", "yaml")
    history = kubectl("rollout", *system, "history", "statefulset/trioroute").splitlines()
    assert [row.split()[0] for row in history[2:] if row] == ["2", "3"]
    kubectl("scale", *system, "statefulset/trioroute", "--replicas=1")
    kubectl("wait", *system, "--for=delete", "pod/trioroute-2", "--timeout=60s")
    # The namespace goes first, and with it all that kubectl asks for after that.
    kubectl("delete", "-k", overlay, "--ignore-not-found", "--timeout=60s")
    assert "trioroute-system" not in kubectl("get", "namespaces")
