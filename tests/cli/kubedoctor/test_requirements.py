"""What `doctor` asks of a cluster before and after installation, by what it finds in a fake one."""

# house: the checks of requirements.py and installed.py are seen through the verb

import base64
import datetime as dt
import json
import time
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chaos.sim.kubernetes.objects import key_of
from chaos.sim.kubernetes_shown import discovery
from tests.k8s.rendered import documents_of
from tests.k8s.running import RunningCluster
from trioroute.cli.kubedoctor.requirements import OWN_RIGHTS, ROUTER_RIGHTS, Right
from trioroute.cli.main import main

Json = dict[str, Any]
Rows = dict[str, Json]


def doctor(capsys: pytest.CaptureFixture[str], line: str = "") -> Rows:
    with pytest.raises(SystemExit):
        main(["doctor", "--only", "kubernetes", "-o", "json", *line.split()])
    rows = json.loads(capsys.readouterr().out)
    return {row["id"].removeprefix("kubernetes."): row for row in rows}


def certificates(cluster: RunningCluster, capsys: pytest.CaptureFixture[str], line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["certs", *line.split(), "--write"])
    assert ended.value.code == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("name", "rights"), [("trioroute", ROUTER_RIGHTS), ("trioroute-front-ends", OWN_RIGHTS)]
)
def test_the_rights_asked_about_are_those_of_the_role(name: str, rights: tuple[Right, ...]) -> None:
    roles = [one for one in documents_of("base") if one["kind"] == "Role"]
    (role,) = (one for one in roles if one["metadata"]["name"] == name)
    granted = {
        (verb, group, resource, name)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
    assert set(rights) == granted
    assert len(rights) == len(granted)


def test_before_anything_is_installed(
    cluster: RunningCluster,
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    del environment
    rows = doctor(capsys, "--pre")
    assert "stateful-set" not in rows
    for name in ("api", "version", "clock", "namespace", "crd-endpoint", "rights", "your-rights"):
        assert rows[name]["verdict"] == "good", rows[name]
    assert rows["trioroute-peers"]["verdict"] == "bad"
    assert "certs --count 3 --seal --write -n models" in rows["trioroute-peers"]["fix"]
    assert (rows["nodes"]["verdict"], rows["storage"]["verdict"]) == ("bad", "warning")
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    for name in "abc":
        cluster.make("Node", {"metadata": {"name": name}, "status": ready})
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    cluster.make("StorageClass", {"metadata": {"name": "fast", "annotations": annotations}})
    certificates(cluster, capsys, "--count 3 --seal")
    rows = doctor(capsys, "--pre")
    assert {row["verdict"] for row in rows.values()} == {"good"}, rows


def test_what_was_changed_by_hand_is_found(
    cluster: RunningCluster,
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    del environment
    certificates(cluster, capsys, "--count 1 --seal --days 5")

    def older(definition: Json) -> Json:
        changed: Json = json.loads(json.dumps(definition))
        schema = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"]["spec"]["properties"].pop("tags")
        return changed

    def weaker(role: Json) -> Json:
        return {**role, "rules": role["rules"][1:]}

    cluster.do(
        cluster.inner.change,
        "CustomResourceDefinition",
        "onlineendpoints.trioroute.dev",
        older,
    )
    cluster.do(cluster.inner.change, "Role", "trioroute", weaker)
    rows = doctor(capsys, "--pre")
    assert rows["crd-endpoint"]["verdict"] == "warning"
    assert "not as this version" in rows["crd-endpoint"]["text"]
    assert rows["crd-deployment"]["verdict"] == "good"
    assert rows["rights"]["verdict"] == "bad"
    assert "may not: patch pods in models" in rows["rights"]["text"]
    cluster.do(cluster.inner.delete, "RoleBinding", "trioroute-front-ends")
    assert "list pods; watch pods; patch pods in models" in doctor(capsys)["rights"]["text"]
    cluster.do(cluster.inner.delete, "RoleBinding", "trioroute")
    assert doctor(capsys, "--pre")["rights"]["verdict"] == "skipped"
    assert doctor(capsys)["rights"]["verdict"] == "bad"
    assert (rows["trioroute-peers"]["verdict"], "days" in rows["trioroute-peers"]["text"]) == (
        "warning",
        True,
    )


def test_who_may_not_look_is_told_so_and_nothing_crashes(
    cluster: RunningCluster,
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pathlib import Path

    cluster.write_kubeconfig(Path(environment["TRIOROUTE_KUBECONFIG"]), token="router")
    rows = doctor(capsys)
    assert rows["rights"]["verdict"] == "skipped"
    assert rows["secrets"]["verdict"] == "skipped"
    assert rows["your-rights"]["verdict"] == "warning"
    assert "get pods/portforward" in rows["your-rights"]["text"]
    text = Path(environment["TRIOROUTE_KUBECONFIG"]).read_text()
    Path(environment["TRIOROUTE_KUBECONFIG"]).write_text(
        text.replace(str(cluster.inner.server.port), "9")
    )
    rows = doctor(capsys)
    assert [row["verdict"] for row in rows.values()] == ["bad"]
    assert "kubectl version has to work first" in rows["api"]["fix"]


def test_a_secret_that_is_none_of_ours_is_found(
    cluster: RunningCluster,
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    del environment
    broken = {"ca.crt": base64.b64encode(b"no certificate").decode()}
    cluster.make("Secret", {"metadata": {"name": "trioroute-peers"}, "data": broken})
    cluster.make("Secret", {"metadata": {"name": "trioroute-secret"}, "data": {"other": "eA=="}})
    rows = doctor(capsys, "--pre")
    assert (
        "ca.crt of Secret trioroute-peers is no PEM certificate" in rows["trioroute-peers"]["text"]
    )
    assert rows["trioroute-secret"]["verdict"] == "bad"
    # Its certificates are mended without a word about the other Secret, which keys are lost with.
    assert "--seal" not in rows["trioroute-peers"]["fix"]


def test_an_old_server_a_wrong_clock_and_a_strict_namespace_are_told(
    cluster: RunningCluster,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del environment
    monkeypatch.setattr(discovery, "_VERSION", {"minor": "27", "gitVersion": "v1.27.0"})
    monkeypatch.setattr(cluster.inner.api.objects, "_clock", lambda: time.time() - 60)
    labels = {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    cluster.do(
        cluster.inner.change,
        "Namespace",
        "models",
        lambda old: {**old, "metadata": {**old["metadata"], **labels}},
    )
    kind = cluster.inner.kind("CustomResourceDefinition")
    key = key_of(kind, "", "onlinedeployments.trioroute.dev")
    cluster.do(cluster.inner.api.store.remove, key)
    rows = doctor(capsys, "--pre")
    assert rows["version"]["verdict"] == "bad"
    assert "update to 1.30" in rows["version"]["fix"]
    assert rows["clock"]["verdict"] == "warning"
    assert rows["clock"]["text"].split(" s ")[0].endswith(("59", "60", "61"))
    assert rows["namespace"]["verdict"] == "warning"
    assert rows["crd-deployment"]["verdict"] == "bad"
    assert "the definition of OnlineDeployment is missing" in rows["crd-deployment"]["text"]


def test_a_namespace_that_is_not_there_and_certificates_that_ended_are_bad(
    cluster: RunningCluster,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del environment
    text = base64.b64encode(_ended_certificate()).decode()
    data = {"ca.crt": text, "trioroute-0.crt": text}
    cluster.make("Secret", {"metadata": {"name": "trioroute-peers"}, "data": data})
    row = doctor(capsys, "--pre")["trioroute-peers"]
    assert row["verdict"] == "bad"
    assert "in -2 days" in row["text"]
    monkeypatch.setenv("TRIOROUTE_NAMESPACE", "elsewhere")
    rows = doctor(capsys, "--pre")
    assert rows["namespace"]["verdict"] == "bad"
    assert "kubectl create namespace elsewhere" in rows["namespace"]["fix"]


def _ended_certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "trioroute-0")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    ended = builder.not_valid_before(now - dt.timedelta(9)).not_valid_after(now - dt.timedelta(1.5))
    return ended.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
