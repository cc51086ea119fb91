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


def models_namespace(documents: tuple[Json, ...]) -> Json:
    """The variable that says where models are."""
    (container,) = one(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert "--kubernetes-namespace=$(MODELS_NAMESPACE)" in container["args"]
    (found,) = (each for each in container["env"] if each["name"] == "MODELS_NAMESPACE")
    return dict(found)


@pytest.mark.parametrize("name", COMPONENTS)
def test_it_is_valid_and_changes_something(name: str, tmp_path: Path) -> None:
    made = with_component(name, tmp_path)
    assert made != overlay("tls" if name == "allow-insecure" else "ha")
    for document in made:
        kubernetes_validate.validate(document, "1.36", strict=True)


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
    # The account stays with the front-ends, and has no rights there.
    assert [one["namespace"] for one in binding["subjects"]] == ["trioroute-system"]
    assert one(made, "Namespace", wanted)["metadata"]["labels"]


def test_models_are_where_the_front_ends_are_unless_said_otherwise() -> None:
    made = overlay("ha")
    own = {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert models_namespace(made)["valueFrom"] == own
    assert one(made, "Role")["metadata"]["namespace"] == "trioroute-system"


def test_every_component_is_in_the_manual() -> None:
    manual = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in COMPONENTS:
        assert f"`{name}`" in manual
