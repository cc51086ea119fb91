"""Every overlay is valid, restricted, and in step with the code's constants."""

# house: tests k8s/, which is no Python

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.k8s.rendered import FOLDER, OVERLAYS, documents_of, needs_kustomize, overlay
from trioroute.app.host.certificates import peer_files
from trioroute.app.host.ports import is_loopback
from trioroute.app.settings import FrontEndConfig, cluster_settings, parse_front_end
from trioroute.cli.front_end import front_end
from trioroute.cli.kubecrd import KINDS, custom_resource_definition
from trioroute.discovery.kube.endings import CONTAINER
from trioroute.discovery.kube.source import INSTANCE_TYPES

Json = dict[str, Any]

#: All that are promised to work.
VERSIONS: Final = tuple(f"1.{minor}" for minor in range(28, 37))
#: The peers' port is each front-end's own business in PEERS; this is the one we write there.
PEERS_PORT: Final = 7946
#: Not a default: on one machine it would be another front-end's admin port.
READ_ONLY_PORT: Final = 9091

pytestmark = needs_kustomize


def of_kind(documents: Sequence[Json], kind: str) -> list[Json]:
    return [document for document in documents if document["kind"] == kind]


def one(documents: Sequence[Json], kind: str, name: str = "trioroute") -> Json:
    (found,) = (d for d in of_kind(documents, kind) if d["metadata"]["name"] == name)
    return found


def container_of(name: str) -> Json:
    (container,) = one(overlay(name), "StatefulSet")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def arguments_of(name: str) -> list[str]:
    """The container's arguments with its variables filled in, as the kubelet does it."""
    variables = {
        "POD_NAME": "trioroute-0",
        "POD_NAMESPACE": "trioroute-system",
        "MODELS_NAMESPACE": "trioroute-system",
        **one(overlay(name), "ConfigMap")["data"],
    }
    return [
        re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], word)
        for word in container_of(name)["args"]
    ]


def options_of(name: str) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in arguments_of(name) if "=" in word)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_every_document_is_valid(name: str, version: str) -> None:
    for document in overlay(name):
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_front_end_understands_its_arguments(name: str) -> None:
    verb, *words = arguments_of(name)
    assert verb == "front-end"
    context = front_end.make_context("front-end", list(words), resilient_parsing=False)
    given = context.params
    config = FrontEndConfig(
        name=given["name"],
        data=given["data"],
        peers=(),
        voters=given["voters"],
        generation=given["generation"],
        peer_files=peer_files(
            given["peer_certificate"], given["peer_key"], given["peer_authority"]
        ),
        cluster=cluster_settings(
            given["kubernetes_namespace"],
            given["kubeconfig"],
            front_ends_namespace=given["front_ends_namespace"],
        ),
    )
    parsed = parse_front_end(config, given["peers"])
    assert len(parsed.peers) == one(overlay(name), "StatefulSet")["spec"]["replicas"]
    assert len(parsed.voter_names) % 2 == 1


@pytest.mark.parametrize("name", OVERLAYS)
def test_peers_are_the_pods_of_the_stateful_set(name: str) -> None:
    stateful = one(overlay(name), "StatefulSet")
    service = stateful["spec"]["serviceName"]
    wanted = [
        f"trioroute-{number}=trioroute-{number}.{service}:{PEERS_PORT}"
        for number in range(stateful["spec"]["replicas"])
    ]
    assert options_of(name)["peers"].split(",") == wanted
    peers = one(overlay(name), "Service", service)["spec"]
    assert (peers["clusterIP"], peers["publishNotReadyAddresses"]) == ("None", True)
    assert stateful["spec"]["podManagementPolicy"] == "Parallel"


@pytest.mark.parametrize("name", OVERLAYS)
def test_ports_agree_everywhere(name: str) -> None:
    options = options_of(name)
    ports = {port["name"]: port["containerPort"] for port in container_of(name)["ports"]}
    defaults = attrs.fields_dict(FrontEndConfig)
    assert ports["scoring"] == int(options["port"]) == defaults["scoring_port"].default
    assert ports["admin"] == int(options["admin-port"]) == defaults["admin_port"].default
    assert ports["read-only"] == int(options["read-only-port"]) == READ_ONLY_PORT
    assert ports["peers"] == PEERS_PORT
    if "tls-port" in options:
        assert ports["scoring-tls"] == int(options["tls-port"]) == defaults["tls_port"].default
    for service in of_kind(overlay(name), "Service"):
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports
    internal = one(overlay(name), "Service", "trioroute-internal")["spec"]
    assert (internal["type"], internal["ports"][0]["port"]) == ("ClusterIP", 9001)
    policy = one(overlay(name), "NetworkPolicy")["spec"]
    opened = {port["port"] for rule in policy["ingress"] for port in rule.get("ports", [])}
    assert opened == set(ports)


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_eviction_leaves_a_majority_of_the_voters(name: str) -> None:
    voters = int(options_of(name)["voters"])
    budget = one(overlay(name), "PodDisruptionBudget")["spec"]
    if voters > 1:
        assert voters - budget["maxUnavailable"] > voters / 2
    labels = one(overlay(name), "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    for selector in (
        budget["selector"],
        one(overlay(name), "NetworkPolicy")["spec"]["podSelector"],
    ):
        assert selector["matchLabels"]
        assert selector["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("name", [name for name in OVERLAYS if name not in ("single", "dev")])
def test_front_ends_stand_on_three_nodes_or_wait(name: str) -> None:
    """Without `minDomains` two nodes, or one, would count as evenly used."""
    constraints = one(overlay(name), "StatefulSet")["spec"]["template"]["spec"][
        "topologySpreadConstraints"
    ]
    on_nodes = [each for each in constraints if each["topologyKey"] == "kubernetes.io/hostname"]
    (strict,) = (each for each in on_nodes if each["whenUnsatisfiable"] == "DoNotSchedule")
    assert strict["minDomains"] == 3
    front_ends = one(overlay(name), "StatefulSet")["spec"]["replicas"]
    # On three nodes they all find a place, and not all of them on two.
    assert 3 * strict["maxSkew"] >= front_ends > 2 * strict["maxSkew"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_connections_of_one_address_are_not_capped_behind_a_load_balancer(name: str) -> None:
    """Decision 19: the addresses that are seen there are its own, or the nodes'."""
    assert "--no-address-cap" in arguments_of(name)


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_grace_period_is_longer_than_the_drain(name: str) -> None:
    options = options_of(name)
    spec = one(overlay(name), "StatefulSet")["spec"]["template"]["spec"]
    drain_s = float(options["drain"]) + float(options["unready"])
    assert spec["terminationGracePeriodSeconds"] >= drain_s + 10


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_meet_the_restricted_standard(name: str) -> None:
    assert list(_offences(one(overlay(name), "StatefulSet")["spec"]["template"]["spec"])) == []


def test_a_pod_that_is_not_restricted_would_be_found() -> None:
    spec = json.loads(json.dumps(one(overlay("ha"), "StatefulSet")["spec"]["template"]["spec"]))
    spec["containers"][0]["securityContext"]["capabilities"]["drop"] = []
    spec["securityContext"]["runAsNonRoot"] = False
    spec["hostNetwork"] = True
    assert len(list(_offences(spec))) == 3


def _offences(spec: Json) -> Iterator[str]:
    """What Pod Security `restricted` refuses, and a root file system that can be written."""
    context = spec["securityContext"]
    if not context.get("runAsNonRoot") or not context.get("runAsUser"):
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    yield from (field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field))
    for volume in spec.get("volumes", []):
        if not {"emptyDir", "secret", "configMap", "persistentVolumeClaim"} & volume.keys():
            yield f"volume {volume['name']}"
    for container in spec["containers"]:
        yield from _container_offences(container)


def _container_offences(container: Json) -> Iterator[str]:
    own = container["securityContext"]
    if own.get("allowPrivilegeEscalation") is not False:
        yield "privilege escalation"
    if own.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "capabilities"
    if not own.get("readOnlyRootFilesystem"):
        yield "writable root"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield "host port"
    if not container["resources"].get("limits") or not container["resources"].get("requests"):
        yield "no resources"


@pytest.mark.parametrize("name", OVERLAYS)
def test_probes_are_apart_and_liveness_does_not_ask_for_readiness(name: str) -> None:
    container = container_of(name)
    paths = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {
        "startupProbe": "/livez",
        "readinessProbe": "/readyz",
        "livenessProbe": "/livez",
    }


@pytest.mark.parametrize("name", OVERLAYS)
def test_nobody_in_the_cluster_reaches_the_admin_port(name: str) -> None:
    """Model servers stand beside front-ends, and a Host that names loopback is easily said."""
    container = container_of(name)
    assert is_loopback(options_of(name)["admin-host"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "read-only"
    policy = one(overlay(name), "NetworkPolicy")["spec"]
    (rule,) = (each for each in policy["ingress"] if {"port": "admin"} in each["ports"])
    labels = policy["podSelector"]["matchLabels"]
    assert rule == {
        "ports": [{"port": "admin"}],
        "from": [{"podSelector": {"matchLabels": labels}}],
    }
    # From inside the pod, as a port-forward comes too.
    (address,) = (
        word for word in container["lifecycle"]["preStop"]["exec"]["command"] if ":" in word
    )
    assert address == f"http://{options_of(name)['admin-host']}:{options_of(name)['admin-port']}"


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_end_of_a_container_is_told_and_is_the_end_of_all_its_processes(name: str) -> None:
    """What proof of death by a pod's status stands on (decision 25)."""
    template = one(overlay(name), "StatefulSet")["spec"]["template"]["spec"]
    assert not template.get("shareProcessNamespace")
    assert not template.get("hostPID")
    container = container_of(name)
    assert container["name"] == CONTAINER
    assert options_of(name)["termination-log"] == container["terminationMessagePath"]
    assert container["terminationMessagePolicy"] == "File", "logs might say anything"
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    path = container["terminationMessagePath"]
    assert not any(path.startswith(where) for where in mounted), "of each instance its own"
    (variable,) = (each for each in container["env"] if each["name"] == "POD_NAMESPACE")
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace"
    assert "--front-ends-namespace=$(POD_NAMESPACE)" in container["args"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_where_front_ends_are_they_may_look_at_pods_and_do_nothing(name: str) -> None:
    (rule,) = one(overlay(name), "Role", "trioroute-front-ends")["rules"]
    assert rule == {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    binding = one(overlay(name), "RoleBinding", "trioroute-front-ends")
    account = one(overlay(name), "ServiceAccount")["metadata"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    ]
    assert binding["roleRef"]["name"] == "trioroute-front-ends"
    assert binding["metadata"]["namespace"] == account["namespace"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_role_reaches_no_secret_and_no_other_namespace(name: str) -> None:
    documents = overlay(name)
    assert not of_kind(documents, "ClusterRole") + of_kind(documents, "ClusterRoleBinding")
    rules = one(documents, "Role")["rules"]
    for rule in rules:
        assert "secrets" not in rule["resources"]
        assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
        # Only what users ask us to delete: the rest goes with its owner.
        deletes = {"delete", "deletecollection"} & set(rule["verbs"])
        assert not deletes or rule["apiGroups"] == ["trioroute.dev"]
    (named,) = (rule["resourceNames"] for rule in rules if "resourceNames" in rule)
    assert named == [INSTANCE_TYPES]


def test_growing_gives_the_second_voter_the_journal_of_the_first() -> None:
    claim, job = yaml.safe_load_all((FOLDER / "grow.yaml").read_text(encoding="utf-8"))
    for version in VERSIONS:
        for document in (claim, job):
            kubernetes_validate.validate(document, version, strict=True)
    (template,) = one(overlay("ha"), "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["spec"] == template["spec"]
    assert claim["metadata"]["labels"] == template["metadata"]["labels"]
    names = [f"{template['metadata']['name']}-trioroute-{number}" for number in (0, 1)]
    spec = job["spec"]["template"]["spec"]
    assert [v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"]] == names
    assert claim["metadata"]["name"] == names[1]
    assert list(_offences(spec)) == []
    # A pod with front-ends' labels would be sent requests.
    assert "labels" not in job["spec"]["template"].get("metadata", {})
    (mount,) = (m for m in container_of("ha")["volumeMounts"] if m["name"] == "data")
    journal = Path(options_of("ha")["data"]).relative_to(mount["mountPath"]) / "journal"
    (container,) = spec["containers"]
    assert f"cp -a /from/{journal} " in container["command"][-1]


def test_every_secret_that_is_mounted_is_named_in_the_manual() -> None:
    manual = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in OVERLAYS:
        spec = one(overlay(name), "StatefulSet")["spec"]["template"]["spec"]
        secrets = [v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v]
        assert all(secret in manual for secret in secrets)


def test_every_knob_is_in_the_manual() -> None:
    manual = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in OVERLAYS:
        assert f"`{name}`" in manual
    for knob in one(overlay("ha"), "ConfigMap")["data"]:
        assert f"`{knob}`" in manual


@pytest.mark.parametrize("kind", KINDS)
def test_the_definitions_are_what_the_code_would_write(kind: str) -> None:
    (written,) = (
        document
        for document in documents_of("crds")
        if document["spec"]["names"]["kind"] == KINDS[kind]
    )
    hint = "run `python -m trioroute.cli.kubecrd k8s/crds`"
    assert written == custom_resource_definition(kind), hint
    for version in VERSIONS:
        kubernetes_validate.validate(written, version, strict=True)
