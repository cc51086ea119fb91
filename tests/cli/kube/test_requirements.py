"""What `doctor` asks of a cluster before and after installation, by what it finds in a fake one."""

# house: the checks of requirements.py and installed.py are seen through the verb

import base64
import json
from typing import Any

import pytest

from tests.k8s.rendered import documents_of
from tests.k8s.running import RunningCluster
from trioroute.cli.kube.requirements import ROUTER_RIGHTS
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


def test_the_rights_asked_about_are_those_of_the_role() -> None:
    (role,) = (one for one in documents_of("base") if one["kind"] == "Role")
    granted = {
        (verb, group, resource, name)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
    assert set(ROUTER_RIGHTS) == granted
    assert len(ROUTER_RIGHTS) == len(granted)


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
    assert "list pods; watch pods; patch pods in models" in rows["rights"]["text"]
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
