"""Loading files and folders: what is made of good ones, and what is said about bad ones."""

from pathlib import Path
from textwrap import dedent

import attrs
import pytest

from trioroute.core.model import (
    AuthMode,
    CommandSource,
    Isolation,
    OnAbandon,
    ScaleKind,
    ScriptSource,
    StaticSource,
)
from trioroute.spec.cluster.container import ContainerFinder
from trioroute.spec.load import Loaded, load_paths
from trioroute.spec.problems import Problem, SpecError

ENDPOINT = """
    name: fraud
    auth_mode: key
    traffic:
      blue: 90
      green: 10
"""
BLUE = """
    name: blue
    endpoint_name: fraud
    type: kubernetes
    model:
      path: model/blue.pkl
    code_configuration:
      code: code
      scoring_script: score.py
    environment:
      conda_file: conda.yml
    environment_variables:
      THRESHOLD: 0.50
      DEBUG: yes
    request_settings:
      request_timeout_ms: 3000
      max_concurrent_requests_per_instance: 4
      max_queue_wait_ms: 100
    scale_settings:
      type: target_utilization
      min_instances: 2
      max_instances: 6
      target_utilization_percentage: 60
      polling_interval: 10
"""
GREEN = """
    name: green
    endpoint_name: fraud
    properties:
      trioroute.addresses: "127.0.0.1:9401, 127.0.0.1:9402"
"""


class Folder:
    """A folder that tests write files into."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> Path:
        """Write a file; the text may be indented."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    def write_assets(self) -> None:
        """The files that BLUE refers to."""
        self.write("model/blue.pkl", "")
        self.write("code/score.py", "def run(data): return data\n")
        self.write("conda.yml", "dependencies: [{pip: [numpy]}]\n")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def rejected(*paths: Path, dev: bool = False) -> list[Problem]:
    with pytest.raises(SpecError) as caught:
        load_paths(paths, dev=dev)
    return list(caught.value.problems)


def load_one_deployment(folder: Folder, text: str) -> Loaded:
    folder.write("endpoint.yml", "name: fraud\nauth_mode: key\n")
    folder.write("deployment.yml", text)
    return load_paths([folder.path])


def test_a_folder_becomes_endpoints_and_deployments(folder: Folder) -> None:
    folder.write("endpoint.yml", ENDPOINT)
    folder.write("blue.yml", BLUE)
    folder.write("green.yaml", GREEN + "    type: kubernetes\n")
    folder.write_assets()
    loaded = load_paths([folder.path])
    (endpoint,) = loaded.endpoints
    assert (endpoint.name, endpoint.auth_mode) == ("fraud", AuthMode.KEY)
    assert endpoint.traffic == {"blue": 90, "green": 10}
    blue, green = loaded.deployments
    assert blue.key == "fraud/blue"
    assert isinstance(blue.source, ScriptSource)
    assert blue.source.revision
    assert attrs.evolve(blue.source, revision="") == ScriptSource(
        code=str(folder.path / "code"),
        script="score.py",
        model=str(folder.path / "model"),
        conda_file=str(folder.path / "conda.yml"),
        environment={"THRESHOLD": "0.50", "DEBUG": "yes"},
    )
    assert (blue.slots_per_replica, blue.request_timeout_s, blue.queue_wait_max_s) == (4, 3.0, 0.1)
    assert blue.scale.kind is ScaleKind.TARGET_UTILIZATION
    assert (blue.scale.min_instances, blue.scale.max_instances) == (2, 6)
    assert (blue.scale.target_utilization_percentage, blue.scale.polling_interval_s) == (60, 10.0)
    assert blue.scale.instance_count == 2
    assert green.source == StaticSource(addresses=(("127.0.0.1", 9401), ("127.0.0.1", 9402)))
    assert green.scale.instance_count == 2
    assert loaded.warnings == ()


def test_other_yaml_in_a_folder_is_left_alone(folder: Folder) -> None:
    folder.write("endpoint.yml", ENDPOINT.replace("blue: 90", "green: 90").replace("green: 10", ""))
    folder.write("conda.yml", "name: env\nchannels: [conda-forge]\ndependencies: [python=3.11]\n")
    folder.write("k8s.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n")
    folder.write(
        "environment.yml", "$schema: https://x/environment.schema.json\nname: e\nimage: i\n"
    )
    folder.write("template.yml", "a: {{b}}\n")
    folder.write(".hidden.yml", "endpoint_name: [\n")
    folder.write("node_modules/x.yml", "endpoint_name: [\n")
    folder.write("notes.txt", "name: [\n")
    problems = rejected(folder.path)
    assert [problem.code for problem in problems] == ["TR0110"]


def test_broken_yaml_that_is_recognisably_ours_is_an_error(folder: Folder) -> None:
    folder.write("blue.yml", "name: blue\nendpoint_name: {{EP}}\n")
    (problem,) = rejected(folder.path)
    assert (problem.code, problem.line, problem.column) == ("TR0002", 2, 17)
    assert "template" in problem.message


def test_a_folder_without_our_files_is_an_error(folder: Folder) -> None:
    folder.write("conda.yml", "dependencies: []\n")
    (problem,) = rejected(folder.path)
    assert problem.code == "TR0006"


def test_a_missing_file_names_the_nearest_one(folder: Folder) -> None:
    folder.write("endpoint.yml", ENDPOINT)
    (problem,) = rejected(folder.path / "endpoint.yaml")
    assert problem.code == "TR0001"
    assert str(folder.path / "endpoint.yml") in problem.hint


def test_a_named_file_that_is_something_else_is_an_error(folder: Folder) -> None:
    path = folder.write("conda.yml", "channels: [conda-forge]\n")
    (problem,) = rejected(path)
    assert problem.code == "TR0005"


def test_a_file_that_is_not_text_is_an_error(folder: Folder) -> None:
    path = folder.path / "model.yml"
    path.write_bytes(b"\x80\x04\x95")
    (problem,) = rejected(path)
    assert (problem.code, "byte 0" in problem.message) == ("TR0001", True)


def test_all_errors_of_all_files_come_together(folder: Folder) -> None:
    folder.write(
        "endpoint.yml", "name: fraud\nauth_mod: key\nauth_mode: none\ntraffic: {blue: 50}\n"
    )
    folder.write(
        "blue.yml",
        """\
        name: blue
        endpoint_name: fraud
        type: kubernetes
        instance_count: many
        request_settings:
          max_queue_wait: 5
        scale_settings:
          type: target_utilization
          min_instances: 3
          max_instances: 2
        """,
    )
    problems = rejected(folder.path)
    found = {(problem.line, problem.column, problem.field, problem.code) for problem in problems}
    assert found == {
        (4, 17, "instance_count", "TR0104"),
        (6, 3, "request_settings.max_queue_wait", "TR0101"),
        (9, 18, "scale_settings.min_instances", "TR0109"),
        (2, 1, "auth_mod", "TR0101"),
        (3, 12, "auth_mode", "TR0105"),
    }
    hints = {problem.field: problem.hint for problem in problems}
    assert hints["auth_mod"] == "did you mean auth_mode?"
    assert hints["request_settings.max_queue_wait"] == "did you mean max_queue_wait_ms?"


def test_two_endpoints_of_one_name(folder: Folder) -> None:
    folder.write("a.yml", "name: fraud\nauth_mode: key\n")
    folder.write("b.yml", "description: again\nname: Fraud\nauth_mode: key\n")
    (problem,) = rejected(folder.path)
    assert (problem.code, problem.line) == ("TR0301", 2)
    assert f"{folder.path / 'a.yml'}:1" in problem.message


def test_two_deployments_of_one_name(folder: Folder) -> None:
    folder.write("endpoint.yml", "name: fraud\nauth_mode: key\n")
    for name in ("a.yml", "b.yml"):
        folder.write(name, GREEN + "    type: kubernetes\n")
    assert [problem.code for problem in rejected(folder.path)] == ["TR0302"]


def test_a_deployment_without_its_endpoint(folder: Folder) -> None:
    folder.write("endpoint.yml", "name: frauds\nauth_mode: key\n")
    folder.write("green.yml", GREEN + "    type: kubernetes\n")
    (problem,) = rejected(folder.path)
    assert (problem.code, problem.hint) == ("TR0303", "did you mean frauds?")


def test_an_unreadable_endpoint_does_not_make_its_deployments_orphans(folder: Folder) -> None:
    folder.write("endpoint.yml", "name: fraud\nauth_mode: no\n")
    folder.write("green.yml", GREEN + "    type: kubernetes\n")
    (problem,) = rejected(folder.path)
    assert (problem.code, problem.field) == ("TR0105", "auth_mode")


@pytest.mark.parametrize("field", ["traffic: {gren: 100}", "mirror_traffic: {gren: 10}"])
def test_traffic_to_a_deployment_that_is_not_there_is_an_error(folder: Folder, field: str) -> None:
    folder.write("endpoint.yml", f"name: fraud\nauth_mode: key\n{field}\n")
    folder.write("green.yml", GREEN + "    type: kubernetes\n")
    (problem,) = rejected(folder.path)
    assert (problem.code, problem.line, problem.hint) == ("TR0304", 3, "did you mean green?")
    assert problem.field == f"{field.partition(':')[0]}.gren"
    # Files that are only looked at may be some of several.
    warnings = load_paths([folder.path], starting=False).warnings
    assert "TR0304" in [warning.code for warning in warnings]


def test_what_is_registered_counts_for_traffic_like_what_is_in_the_files(folder: Folder) -> None:
    folder.write("endpoint.yml", "name: fraud\ntraffic: {blue: 90, green: 10}\n")
    assert load_paths([folder.path], registered={"fraud": ["blue", "green"]}).warnings == ()
    with pytest.raises(SpecError, match="there is no deployment green") as caught:
        load_paths([folder.path], registered={"fraud": ["blue"]})
    assert caught.value.problems[0].hint == "give its file as well; there is blue"


def test_traffic_may_be_set_before_there_is_any_deployment(folder: Folder) -> None:
    folder.write("endpoint.yml", "name: fraud\ntraffic: {green: 100}\n")
    (warning,) = load_paths([folder.path]).warnings
    assert (warning.code, warning.hint) == ("TR0304", "")


def test_an_endpoint_without_traffic_is_a_warning(folder: Folder) -> None:
    loaded = load_one_deployment(folder, GREEN + "    type: kubernetes\n")
    (warning,) = loaded.warnings
    assert (warning.code, warning.hint) == ("TR0305", "traffic: {green: 100}")


def test_mount_needs_dev(folder: Folder) -> None:
    path = folder.write("e.yml", 'name: fraud\nproperties:\n  trioroute.mount: "/"\n')
    (problem,) = rejected(path)
    assert (problem.code, problem.line, problem.column) == ("TR0203", 3, 20)
    assert load_paths([path], dev=True).endpoints[0].mount == "/"


def test_anonymous_needs_dev_or_loopback(folder: Folder) -> None:
    path = folder.write("e.yml", 'name: fraud\nproperties:\n  trioroute.anonymous: "true"\n')
    assert [problem.code for problem in rejected(path)] == ["TR0203"]
    assert load_paths([path], dev=True).endpoints[0].anonymous
    assert load_paths([path], loopback=True).endpoints[0].anonymous


def test_a_command_is_run_in_the_code_folder(folder: Folder) -> None:
    folder.write("server/run.py", "")
    text = """\
        name: blue
        endpoint_name: fraud
        type: kubernetes
        code_configuration: {code: server, scoring_script: run.py}
        environment_variables: {A: 1}
        properties:
          trioroute.command: "python run.py --port {port}"
          trioroute.unlimited: "true"
          trioroute.stream_max_s: "600"
          trioroute.scale_down_after_s: "7.5"
          trioroute.burst_wait_max_s: 0
          trioroute.on_abandon: close
          trioroute.isolation: stop
    """
    (deployment,) = load_one_deployment(folder, text).deployments
    assert deployment.source == CommandSource(
        command=("python", "run.py", "--port", "{port}"),
        cwd=str(folder.path / "server"),
        environment={"A": "1"},
    )
    assert deployment.unlimited
    assert (deployment.stream_max_s, deployment.request_max_s) == (600.0, 600.0)
    assert deployment.scale.down_after_s == 7.5
    assert deployment.burst_wait_max_s == 0.0, "off, which is no default"
    assert deployment.on_abandon is OnAbandon.CLOSE
    assert deployment.isolation is Isolation.STOP


def test_a_file_given_twice_is_read_once(folder: Folder) -> None:
    path = folder.write("e.yml", "name: fraud\nauth_mode: key\n")
    assert len(load_paths([path, folder.path, path]).endpoints) == 1


def test_a_byte_order_mark_and_crlf_are_fine(folder: Folder) -> None:
    path = folder.path / "e.yml"
    path.write_bytes(b"\xef\xbb\xbfname: fraud\r\nauth_mode: key\r\n")
    assert load_paths([path]).endpoints[0].name == "fraud"


def test_two_endpoints_at_the_root_path(folder: Folder) -> None:
    for name in ("one", "two"):
        folder.write(f"{name}.yml", f'name: {name}\nproperties: {{trioroute.mount: "/"}}\n')
    paths = [folder.path / "one.yml", folder.path / "two.yml"]
    (problem,) = rejected(*paths, dev=True)
    assert (problem.code, problem.file) == ("TR0109", str(folder.path / "two.yml"))


def test_one_address_in_two_deployments_is_a_warning(folder: Folder) -> None:
    folder.write("endpoint.yml", "name: fraud\ntraffic: {green: 100}\n")
    folder.write("green.yml", GREEN + "    type: kubernetes\n")
    other = GREEN.replace("green", "blue").replace("127.0.0.1:9401, ", "")
    folder.write("other.yml", other + "    type: kubernetes\n")
    (warning,) = load_paths([folder.path]).warnings
    assert (warning.code, "127.0.0.1:9402" in warning.message) == ("TR0114", True)


def test_folders_are_searched_three_levels_deep(folder: Folder) -> None:
    folder.write("a/b/c/endpoint.yml", "name: fraud\nauth_mode: key\n")
    folder.write("a/b/c/d/endpoint.yml", "name: deeper\nauth_mode: key\n")
    assert [endpoint.name for endpoint in load_paths([folder.path]).endpoints] == ["fraud"]


def test_a_folder_that_cannot_be_read_is_an_error(folder: Folder) -> None:
    (problem,) = rejected(folder.path / "nowhere" / "endpoint.yml")
    assert (problem.code, "no folder" in problem.hint) == ("TR0001", True)


def test_wrong_properties_of_all_files_come_together(folder: Folder) -> None:
    folder.write("endpoint.yml", "name: fraud\nproperties: {trioroute.mont: x}\n")
    folder.write("green.yml", GREEN.replace("9402", "x") + "    type: kubernetes\n")
    paths = [folder.path / "endpoint.yml", folder.path / "green.yml"]
    assert [problem.code for problem in rejected(*paths)] == ["TR0201", "TR0202"]


def test_what_azure_would_collect_is_said_to_be_without_effect(folder: Folder) -> None:
    plain = GREEN + "    type: kubernetes\n"
    collector = "data_collector: {collections: {model_inputs: {enabled: 'ON'}}}\n"
    loaded = load_one_deployment(
        folder, plain + "    app_insights_enabled: true\n    " + collector.replace("ON", "true")
    )
    assert [warning.field for warning in loaded.warnings if warning.code == "TR0113"] == [
        "data_collector",
        "app_insights_enabled",
    ]
    loaded = load_one_deployment(folder, plain + "    " + collector.replace("ON", "false"))
    assert "TR0113" not in [warning.code for warning in loaded.warnings]


IMAGE_PROBED = """
    name: blue
    endpoint_name: fraud
    type: kubernetes
    environment: {image: registry.example/fraud:1}
    liveness_probe: {period: 5}
"""


def test_a_liveness_probe_of_local_replicas_is_said_to_be_without_effect(folder: Folder) -> None:
    probed = GREEN + "    type: kubernetes\n    liveness_probe: {period: 5}\n"
    (said,) = [
        each for each in load_one_deployment(folder, probed).warnings if each.code == "TR0113"
    ]
    assert said.field == "liveness_probe"
    assert said.file.endswith(".yml")
    assert said.line == len(probed.splitlines())
    assert "on Kubernetes they are" in said.message
    path = folder.write("d.yml", IMAGE_PROBED)
    pods = load_paths([path], cluster=ContainerFinder(), starting=False)
    assert "liveness_probe" not in [warning.field for warning in pods.warnings]


ISSUER = 'trioroute.oidc.issuer: "https://login.example"'
OF_ISSUER = 'trioroute.oidc.audience: "api://x"'


@pytest.mark.parametrize(
    ("mode", "lines", "code", "hint"),
    [
        ("aad_token", [ISSUER, OF_ISSUER], None, None),
        ("aad_token", [ISSUER, OF_ISSUER, 'trioroute.oidc.jwks: "/etc/keys"'], None, None),
        ("aad_token", [ISSUER], "TR0202", 'trioroute.oidc.audience: "api://scoring"'),
        (
            "aad_token",
            [OF_ISSUER],
            "TR0202",
            'trioroute.oidc.issuer: "https://login.example/tenant"',
        ),
        ("key", [ISSUER, OF_ISSUER], "TR0202", "auth_mode: aad_token"),
        ("aad_token", [ISSUER, OF_ISSUER, 'trioroute.oidc.jwks: "keys"'], "TR0202", None),
        ("aad_token", [ISSUER, OF_ISSUER, 'trioroute.oidc.jwks: "http://far/k"'], "TR0202", None),
    ],
)
def test_an_issuer_is_said_whole_and_where_it_counts(
    mode: str, lines: list[str], code: str | None, hint: str | None, folder: Folder
) -> None:
    properties = "".join(f"  {line}\n" for line in lines)
    folder.write("endpoint.yml", f"name: fraud\nauth_mode: {mode}\nproperties:\n{properties}")
    if code is None:
        (endpoint,) = load_paths([folder.path]).endpoints
        assert endpoint.token_issuer is not None
        assert (endpoint.token_issuer.issuer, endpoint.token_issuer.audience) == (
            "https://login.example",
            "api://x",
        )
        return
    (problem,) = rejected(folder.path)
    assert problem.code == code
    assert hint is None or problem.hint == hint


def test_without_an_issuer_nobody_gets_in_and_that_is_said(folder: Folder) -> None:
    folder.write("endpoint.yml", "name: fraud\nauth_mode: aad_token\n")
    loaded = load_paths([folder.path])
    assert any("no request gets in" in str(warning) for warning in loaded.warnings)
