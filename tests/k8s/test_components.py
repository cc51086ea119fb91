"""Each component does one thing to an overlay, and what comes out is valid."""

# house: tests k8s/components, which is no Python

import os
import subprocess
from pathlib import Path
from typing import Any, Final

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.k8s.rendered import FOLDER, needs_kustomize, overlay

Json = dict[str, Any]

pytestmark = needs_kustomize

#: The oldest and the newest, and those between.
VERSIONS: Final = [f"1.{minor}" for minor in range(28, 37)]
#: Kinds that an operator of somebody else's defines, whose schemas are not here.
OTHERS: Final = ("cert-manager.io/", "monitoring.coreos.com/")
#: How cert-manager's csi-driver names its files when nobody says otherwise.
CSI_FILES: Final = {
    "certificate-file": "tls.crt",
    "privatekey-file": "tls.key",
    "ca-file": "ca.crt",
}
COMPONENTS: Final = sorted(path.name for path in (FOLDER / "components").iterdir())


def with_component(name: str, folder: Path) -> tuple[Json, ...]:
    """What `kubectl apply -k` would send from a user's own overlay."""
    where = os.path.relpath(FOLDER, folder)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{where}/overlays/{'tls' if name == 'allow-insecure' else 'ha'}"],
        "components": [f"{where}/components/{name}"],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    return tuple(yaml.safe_load_all(done.stdout))


def one(documents: tuple[Json, ...], kind: str, name: str = "trioroute") -> Json:
    (found,) = (d for d in documents if (d["kind"], d["metadata"]["name"]) == (kind, name))
    return found


def own_rights(documents: tuple[Json, ...]) -> list[Json]:
    """What front-ends may do where they are themselves."""
    names = [each for each in documents if each["metadata"]["name"] == "trioroute-front-ends"]
    assert [each["kind"] for each in names] == ["Role", "RoleBinding"]
    assert {each["metadata"]["namespace"] for each in names} == {"trioroute-system"}
    return names


def models_namespace(documents: tuple[Json, ...]) -> Json:
    """The variable that says where models are."""
    (container,) = one(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert "--kubernetes-namespace=$(MODELS_NAMESPACE)" in container["args"]
    (found,) = (each for each in container["env"] if each["name"] == "MODELS_NAMESPACE")
    return dict(found)


@pytest.mark.parametrize("name", COMPONENTS)
def test_it_is_valid_and_changes_something(name: str, tmp_path: Path) -> None:
    made = with_component(name, tmp_path)
    plain = overlay("tls" if name == "allow-insecure" else "ha")
    known = [
        each for each in made if each not in plain and not each["apiVersion"].startswith(OTHERS)
    ]
    assert known
    for version in VERSIONS:
        for document in known:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("cluster-ip", "ClusterIP"), ("node-port", "NodePort"), ("internal-load-balancer", None)],
)
def test_the_services_type(name: str, kind: str | None, tmp_path: Path) -> None:
    service = one(with_component(name, tmp_path), "Service")
    assert service["spec"]["type"] == (kind or "LoadBalancer")
    assert bool(service["metadata"].get("annotations")) is (kind is None)


def test_http_comes_back_only_where_it_is_allowed(tmp_path: Path) -> None:
    assert [port["port"] for port in one(overlay("tls"), "Service")["spec"]["ports"]] == [443]
    made = with_component("allow-insecure", tmp_path)
    assert [port["port"] for port in one(made, "Service")["spec"]["ports"]] == [443, 80]


def test_models_elsewhere_take_the_rights_with_them(tmp_path: Path) -> None:
    made = with_component("models-elsewhere", tmp_path)
    wanted = models_namespace(made)["value"]
    role, binding = one(made, "Role"), one(made, "RoleBinding")
    assert {role["metadata"]["namespace"], binding["metadata"]["namespace"]} == {wanted}
    # The account stays with the front-ends, and may only look at their pods there.
    assert [one["namespace"] for one in binding["subjects"]] == ["trioroute-system"]
    assert own_rights(made) == own_rights(overlay("ha"))
    assert one(made, "Namespace", wanted)["metadata"]["labels"]


def test_cert_manager_makes_the_files_that_front_ends_are_told_of(tmp_path: Path) -> None:
    made = with_component("cert-manager", tmp_path)
    spec = one(made, "StatefulSet")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    mount = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}["peers"]
    (volume,) = (v for v in spec["template"]["spec"]["volumes"] if v["name"] == "peers")
    assert volume.keys() == {"name", "projected"}
    sources = [source["secret"] for source in volume["projected"]["sources"]]
    paths = {f"{mount}/{item['path']}" for source in sources for item in source["items"]}
    options = ("--peer-certificate=", "--peer-key=", "--peer-authority=")
    wanted = [arg.partition("=")[2] for arg in container["args"] if arg.startswith(options)]
    names = [f"trioroute-{number}" for number in range(spec["replicas"])]
    assert paths == {path.replace("$(POD_NAME)", name) for path in wanted for name in names}
    leaves = [each["spec"] for each in made if each["kind"] == "Certificate"]
    leaves = [each for each in leaves if not each.get("isCA")]
    assert [each["dnsNames"] for each in leaves] == [[name] for name in names]
    assert [each["secretName"] for each in leaves] == [source["name"] for source in sources]
    issuers = {each["metadata"]["name"]: each["spec"] for each in made if each["kind"] == "Issuer"}
    authority = one(made, "Certificate", "trioroute-peers-authority")["spec"]
    assert {each["issuerRef"]["name"] for each in leaves} == {"trioroute-peers"}
    assert issuers["trioroute-peers"]["ca"]["secretName"] == authority["secretName"]


def test_by_the_csi_driver_a_front_end_has_its_own_key_and_no_other(tmp_path: Path) -> None:
    made = with_component("cert-manager-csi", tmp_path)
    spec = one(made, "StatefulSet")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    mount = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}["peers"]
    (volume,) = (each for each in spec["volumes"] if each["name"] == "peers")
    assert volume.keys() == {"name", "csi"}
    said = {
        name.partition("/")[2]: value for name, value in volume["csi"]["volumeAttributes"].items()
    }
    assert said["dns-names"] == "${POD_NAME}", "what front-ends ask of each other's certificates"
    assert {"server auth", "client auth"} <= set(said["key-usages"].split(","))
    assert int(said["fs-group"]) == spec["securityContext"]["fsGroup"]
    files = {said.get(name, file) for name, file in CSI_FILES.items()}
    options = ("--peer-certificate=", "--peer-key=", "--peer-authority=")
    wanted = {arg.partition("=")[2] for arg in container["args"] if arg.startswith(options)}
    assert wanted == {f"{mount}/{file}" for file in files}
    secrets = [each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each]
    assert "trioroute-peers" not in secrets
    issuers = {each["metadata"]["name"] for each in made if each["kind"] == "Issuer"}
    assert said["issuer-name"] in issuers
    # Only the authority's key is a Secret, and no pod of ours mounts it.
    kept = [each["spec"]["secretName"] for each in made if each["kind"] == "Certificate"]
    assert kept == ["trioroute-peers-authority"]
    assert not set(kept) & set(secrets)


def test_prometheus_finds_the_port_that_only_reads_and_is_let_in(tmp_path: Path) -> None:
    made = with_component("monitoring", tmp_path)
    spec = one(made, "ServiceMonitor")["spec"]
    (endpoint,) = spec["endpoints"]
    wanted = spec["selector"]["matchLabels"].items()
    doors = [
        each["metadata"]["name"]
        for each in made
        if each["kind"] == "Service"
        and wanted <= each["metadata"]["labels"].items()
        and any(port["name"] == endpoint["port"] for port in each["spec"]["ports"])
    ]
    assert doors == ["trioroute-admin"]
    rules = [one(each, "NetworkPolicy")["spec"]["ingress"] for each in (overlay("ha"), made)]
    ((before, rule),) = (each for each in zip(*rules, strict=True) if each[0] != each[1])
    assert [port["port"] for port in rule["ports"]] == [endpoint["port"]]
    added = [each for each in rule["from"] if each not in before["from"]]
    namespace = {"kubernetes.io/metadata.name": "monitoring"}
    assert added == [{"namespaceSelector": {"matchLabels": namespace}}]


def test_models_in_several_have_a_role_in_each_and_nowhere_else(tmp_path: Path) -> None:
    made = with_component("models-in-several", tmp_path)
    wanted = models_namespace(made)["value"].split(",")
    assert own_rights(made) == own_rights(overlay("ha"))
    rest = [each for each in made if each not in own_rights(made)]
    roles = [each for each in rest if each["kind"] == "Role"]
    bindings = [each for each in rest if each["kind"] == "RoleBinding"]
    for found in (roles, bindings):
        assert [each["metadata"]["namespace"] for each in found] == wanted
    own = one(overlay("ha"), "Role")
    assert all(each["rules"] == own["rules"] for each in roles)
    for each in bindings:
        assert [subject["namespace"] for subject in each["subjects"]] == ["trioroute-system"]
    assert {each["metadata"]["name"] for each in made if each["kind"] == "Namespace"} > set(wanted)


def test_models_are_where_the_front_ends_are_unless_said_otherwise() -> None:
    made = overlay("ha")
    own = {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert models_namespace(made)["valueFrom"] == own
    assert one(made, "Role")["metadata"]["namespace"] == "trioroute-system"


def test_every_component_is_in_the_manual() -> None:
    manual = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in COMPONENTS:
        assert f"`{name}`" in manual
