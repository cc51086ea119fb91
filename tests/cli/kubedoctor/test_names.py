"""What is deployed names its hosts: registries, issuers, downloads."""

import json
from pathlib import Path

import pytest

from tests.k8s.running import RunningCluster
from trioroute.cli.kube.access import open_access
from trioroute.cli.kubedoctor.looking import Look
from trioroute.cli.kubedoctor.names import names_of_cluster, outside_hosts, registry_of
from trioroute.cli.main import main
from trioroute.client.saved.settings import find_settings

#: By RFC 6761 no resolver knows it.
NOWHERE = "nowhere.invalid"


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("registry.example/team/model:1", ("registry.example", 443)),
        ("localhost:5000/model", ("localhost", 5000)),
        ("localhost/model", ("localhost", 443)),
        ("team/model:1", ("registry-1.docker.io", 443)),
        ("model:1", ("registry-1.docker.io", 443)),
        ("docker.io/team/model", ("registry-1.docker.io", 443)),
        ("registry.example:5000/model@sha256:0", ("registry.example", 5000)),
    ],
)
def test_an_image_says_where_it_is_pulled_from(image: str, registry: tuple[str, int]) -> None:
    assert registry_of(image) == registry


def deploy(cluster: RunningCluster) -> None:
    issuer = {"trioroute.oidc.issuer": f"https://{NOWHERE}/t", "trioroute.oidc.audience": "a"}
    spec = {"name": "iris", "auth_mode": "aad_token", "properties": issuer}
    cluster.make("OnlineEndpoint", {"metadata": {"name": "iris"}, "spec": spec})
    variables = {"MODEL_URL": "https://models.invalid:8443/iris", "ODD": "http://[", "WORD": "x"}
    spec = {
        "name": "green",
        "endpoint_name": "iris",
        "environment": {"image": "localhost/iris:1"},
        "environment_variables": variables,
    }
    cluster.make("OnlineDeployment", {"metadata": {"name": "iris-green"}, "spec": spec})


def test_everything_deployed_is_asked_where_it_goes(
    cluster: RunningCluster, environment: dict[str, str]
) -> None:
    deploy(cluster)
    access = open_access(find_settings(None, None, environment))
    assert {(one.host, one.port, one.why) for one in outside_hosts(Look(access))} == {
        (NOWHERE, 443, "issuer of tokens for iris"),
        ("localhost", 443, "registry of the image of iris-green"),
        ("models.invalid", 8443, "MODEL_URL of iris-green"),
        ("registry.example", 443, "registry of the image of iris-blue"),
    }
    assert next(names_of_cluster(access)).host == "127.0.0.1"


def test_what_is_not_found_from_here_is_a_warning_that_says_so(
    cluster: RunningCluster, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    del environment
    deploy(cluster)
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--only", "dns", "-o", "json"])
    assert ended.value.code == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[f"dns.{NOWHERE}"]["verdict"] == "warning"
    assert "from this machine (issuer of tokens for iris)" in rows[f"dns.{NOWHERE}"]["text"]
    assert "--deep looks from inside" in rows[f"dns.{NOWHERE}"]["fix"]
    assert rows["dns.localhost"]["verdict"] == "good"


def test_an_api_server_whose_name_is_not_found_is_bad(
    cluster: RunningCluster, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(environment["TRIOROUTE_KUBECONFIG"])
    path.write_text(path.read_text().replace("127.0.0.1", NOWHERE))
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--only", "dns", "--pre", "-o", "json"])
    assert ended.value.code == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["id"], row["verdict"]) == (f"dns.{NOWHERE}", "bad")
    assert "the API server" in row["text"]
