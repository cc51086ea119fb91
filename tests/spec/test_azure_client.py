"""Generated files get the verdict and the meaning that the live azure-ai-ml gives them.

The client runs in an interpreter of its own: the one named by TRIOROUTE_AZURE_PYTHON, else this one
if azure-ai-ml is installed in it. Without it the comparison is skipped, loudly.
TRIOROUTE_AZURE_EXAMPLES sets how many files are compared (200).
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.spec.test_cases import CASES, CASES_READ, Case, needs_cases
from trioroute.spec import azure
from trioroute.spec.problems import Problem, Problems
from trioroute.spec.reading import read_text
from trioroute.spec.rest import deployment_body, endpoint_body

EXAMPLES = int(os.environ.get("TRIOROUTE_AZURE_EXAMPLES", "200"))
#: Where the server of D5 is stricter than the client on purpose.
STRICTER = {
    "TR0106": "endpoint and deployment name together (section 6.3 of the platform's limits)",
    "TR0108": "D5: numbers that make no sense",
    "TR0109": "D5: min_instances > max_instances",
    "TR0110": "D5: traffic sums to 0 or 100, names are lower case",
    "TR0111": "D5: mirror traffic",
}
#: D5 too: the client drops any name and version of an unnamed environment, even null.
DROPPED = ("environment.name", "environment.version")
#: Where a warning stands in place of the client's refusal.
LENIENT = {"TR0112": "D3: numeric quantities, scale_setting"}


def find_python() -> str | None:
    named = os.environ.get("TRIOROUTE_AZURE_PYTHON")
    if named:
        return named
    try:
        return sys.executable if importlib.util.find_spec("azure.ai.ml") else None
    except ModuleNotFoundError:
        return None


PYTHON = find_python()
needs_client = pytest.mark.skipif(
    PYTHON is None,
    reason="SKIPPED LOUDLY: no azure-ai-ml (extra `azure` or TRIOROUTE_AZURE_PYTHON): not compared",
)


class Client:
    """A running `azure_client.py` and the folder it reads files from."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process = process
        self.folder = folder

    def ask(self, kind: str, text: str) -> dict[str, Any]:
        """What the client makes of the text of a file."""
        path = self.folder / "file.yml"
        path.write_text(text, encoding="utf-8")
        return self.ask_about(kind, path, {})

    def ask_about(self, kind: str, path: Path, overrides: dict[str, str]) -> dict[str, Any]:
        """What the client makes of a file, with these values in place of the file's."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        question = {"kind": kind, "path": str(path), "overrides": overrides}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    assert PYTHON is not None
    folder = tmp_path_factory.mktemp("azure")
    (folder / "m.pkl").write_text("")
    (folder / "conda.yml").write_text("dependencies: [python]\n")
    command = [PYTHON, str(Path(__file__).with_name("azure_client.py"))]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        yield Client(process, folder)


def words(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(text.split(","))


# Values are written as YAML text, so that every way to write them is compared too.
GOOD_NAMES = st.sampled_from(["blue", "Blue", "b-1", "a--b", "g" * 32])
BAD_NAMES = st.sampled_from(["ab", "a_b", "1abc", "abc-", "a" * 33])
NAMES = st.one_of(*[GOOD_NAMES] * 9, BAD_NAMES)
ODD = words(
    "null,,~,true,no,[],{},[1],{a: 1},2026-01-02,!!binary aGk=,.nan,1.5,'x y',1:30,<<,=,-.inf,"
    "!!str 5,0o17,12e3,1e3"
)
NUMBERS = words(
    "0,1,2,3,5,10,50,70,100,500,-1,3000,'7',3_000,0x1F,010,1.9,1:30,' 4 ','+5','1.0',1.e+1,"
    "86400,90061001,'1_0'"
)
FLAGS = st.sampled_from(["true", "false", "yes", "'on'", "'TRUE'", "'tRUE'", "1", "0", "2", "'n'"])
TEXTS = st.sampled_from(["x", "'5'", "''", "a/b", '"é"', "azureml:x:1", "./m.pkl", "|\n  x\n"[:1]])


def one(*words: str) -> st.SearchStrategy[str]:
    return st.sampled_from(words)


def mapping(
    fields: dict[str, st.SearchStrategy[str]], required: tuple[str, ...] = ()
) -> st.SearchStrategy[str]:
    """A flow mapping with some of the fields, now and then an odd value or an unknown field."""

    @st.composite
    def build(draw: st.DrawFn) -> str:
        parts = []
        for name, values in fields.items():
            is_wanted = name in required or draw(st.integers(0, 11)) == 7
            if is_wanted and draw(st.integers(0, 90)) > 0:
                value = draw(values if draw(st.integers(0, 90)) else ODD)
                parts.append(f"{name}: {value}")
        if not draw(st.integers(0, 150)):
            parts.append(draw(one("extra: 1", "$schema: x", "5: 1", "name: twice", "'': 1")))
        return "{" + ", ".join(parts) + "}"

    return build()


TAGS = mapping({"a": one("1", "x", "null", "[1, 2]"), "b": ODD, "1": one("x")})
PROBE = mapping(
    dict.fromkeys(
        ("initial_delay", "period", "timeout", "success_threshold", "failure_threshold"), NUMBERS
    )
)
QUANTITIES = mapping(
    {
        "cpu": one("'0.1'", "'500m'", "0.1", "1"),
        "memory": one("1Gi", "'512Mi'"),
        "gpu": one("'1'", "1"),
        "nvidia.com/gpu": one("'2'", "2"),
    }
)
TRAFFIC = st.one_of(
    mapping({"blue": one("90", "'90'", "90.5"), "Green": one("10", "0")}, ("blue", "Green")),
    one("{blue: 100}", "{}", "{blue: 150, green: -50}", "{blue: 101}", "{1: 100}", "{a: true}"),
    one("{blue: 50, Blue: 50}", "{blue: null}", "[]", "{blue: 0}"),
)
IDENTITY = mapping(
    {
        "type": one("system_assigned", "UserAssigned", "none", "SystemAssigned", "user"),
        "user_assigned_identities": one(
            "[]", "[{resource_id: /a}]", "[{resource_id: /a, client_id: b}]", "[{a: 1}]", "[{}, {}]"
        ),
    },
    ("type",),
)
ENDPOINT_FIELDS = {
    "name": NAMES,
    "compute": one("azureml:k8s", "k8s", "''", "azureml:", "azureml:<x y>", "null"),
    "auth_mode": one("key", "Key", "KEY", "aml_token", "AMLToken", "aadToken", "amltoken", "none"),
    "description": TEXTS,
    "tags": TAGS,
    "properties": TAGS,
    "identity": IDENTITY,
    "traffic": TRAFFIC,
    "mirror_traffic": one("{blue: 10}", "{x: 60}", "{a: 1, b: 2}", "{}", "{x: 0}", "{x: a}"),
    "public_network_access": one("enabled", "Disabled", "on"),
    "kind": one("x", "null", "5"),
    "scoring_uri": TEXTS,
    "location": TEXTS,
}
ROUTE = mapping({"port": one("8080", "'80'", "x"), "path": TEXTS}, ("port", "path"))
ASSET_FIELDS = {
    "name": one("n", "5"),
    "version": one("1", "'1'", "1.0"),
    "description": TEXTS,
    "tags": TAGS,
    "properties": TAGS,
}
MODEL = st.one_of(
    one("azureml:m:1", "azureml:m", "azureml:m@latest", "m:1", "azureml:", "azureml:a/b", "''"),
    one("azureml:/subscriptions/a", "azureml://registries/r/models/m/versions/1", "azureml:a@b@c"),
    one("azureml:@x", "azureml:m:1:2", "azureml:m:", "azureml:m@", "file:m.yml", "/a/b"),
    one(
        "azureml:/subscriptions/s/resourceGroups/r/providers/Microsoft.MachineLearningServices"
    ).map(lambda text: f"{text}/workspaces/w/models/m/versions/1"),
    mapping(
        {
            **ASSET_FIELDS,
            "path": one("m.pkl", "./m.pkl"),
            "type": one("custom_model", "MlflowModel", "pickle"),
            "flavors": TAGS,
            "stage": TEXTS,
            "id": TEXTS,
        },
        ("path",),
    ),
)
ENVIRONMENT = st.one_of(
    one("azureml:e:1", "azureml:e@latest", "e", "azureml://registries/r/environments/e/versions/1"),
    mapping(
        {
            **ASSET_FIELDS,
            "image": TEXTS,
            "conda_file": one("conda.yml", "{dependencies: [a]}", "{}"),
            "os_type": one("linux", "Windows", "mac"),
            "inference_config": mapping(
                {"liveness_route": ROUTE, "readiness_route": ROUTE, "scoring_route": ROUTE},
                ("liveness_route", "readiness_route", "scoring_route"),
            ),
            "channels": one("[a]"),
            "latest_version": TEXTS,
        },
        ("image",),
    ),
)
COLLECTOR = mapping(
    {
        "collections": st.one_of(
            one("{}", "{a: {enabled: 'True'}}", "{a: {enabled: true}}", "{a: {}}", "{a: null}"),
            one("{a: {enabled: 'false', data: 'azureml:x:1', client_id: c}}", "[]", "{1: {}}"),
            one("{a: {enabled: 'True', data: {name: n, version: '1'}}}"),
            one("{a: {enabled: 'True', data: {name: n, version: 1}}}", "{a: {enabled: x}}"),
        ),
        "rolling_rate": one("hour", "Day", "month"),
        "sampling_rate": one("0.5", "1", "0", "'0.1'", "1.5", "-0.1", ".nan", "true"),
        "request_logging": one("{}", "{capture_headers: [a, b]}", "{capture_headers: a}", "{x: 1}"),
    },
    ("collections",),
)
SCALE = mapping(
    {
        "type": one("default", "target_utilization", "TargetUtilization", "Default", "auto"),
        "min_instances": NUMBERS,
        "max_instances": NUMBERS,
        "target_utilization_percentage": NUMBERS,
        "polling_interval": NUMBERS,
    },
    ("type",),
)
DEPLOYMENT_FIELDS = {
    "name": NAMES,
    "endpoint_name": one("my-ep", "my_ep", "'x'", "e" * 58),
    "type": one(*["kubernetes", "managed"] * 4, "Managed", "Kubernetes", "k8s"),
    "instance_type": one("Standard_DS3_v2", "''"),
    "instance_count": NUMBERS,
    "description": TEXTS,
    "tags": TAGS,
    "properties": TAGS,
    "model": MODEL,
    "code_configuration": mapping({"code": TEXTS, "scoring_script": TEXTS}, ("scoring_script",)),
    "environment": ENVIRONMENT,
    "environment_variables": TAGS,
    "app_insights_enabled": FLAGS,
    "scale_settings": SCALE,
    "request_settings": mapping(
        {
            "request_timeout_ms": NUMBERS,
            "max_concurrent_requests_per_instance": NUMBERS,
            "max_queue_wait_ms": NUMBERS,
        }
    ),
    "liveness_probe": PROBE,
    "readiness_probe": PROBE,
    "resources": mapping({"requests": QUANTITIES, "limits": QUANTITIES}),
    "data_collector": COLLECTOR,
    "model_mount_path": TEXTS,
    "egress_public_network_access": one("enabled", "Disabled", "x"),
    "private_network_connection": FLAGS,
    "provisioning_state": TEXTS,
    "creation_context": one("{}", "x"),
    "startup_probe": PROBE,
}


def block(flow: str) -> str:
    """The outermost mapping in block style: one field per line, as people write it."""
    depth, lines, start = 0, [], 1
    quote = ""
    for index, char in enumerate(flow):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
        if (char == "," and depth == 1 and not quote) or (depth == 0 and index == len(flow) - 1):
            lines.append(flow[start:index].strip())
            start = index + 1
    return "\n".join(lines) + "\n"


FILES = st.one_of(
    st.tuples(st.just("endpoint"), mapping(ENDPOINT_FIELDS, ("name",)).map(block)),
    st.tuples(
        st.just("deployment"),
        mapping(DEPLOYMENT_FIELDS, ("name", "endpoint_name", "type", "instance_type")).map(block),
    ),
)


@needs_client
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(FILES)
@pytest.mark.timeout(3600)
def test_generated_files_get_the_clients_verdict_and_meaning(
    client: Client, file: tuple[str, str]
) -> None:
    kind, text = file
    theirs = client.ask(kind, text)
    problems = Problems()
    read = read_text(text, "file.yml", problems, kind=kind)
    warnings = {problem.code for problem in problems.warnings}
    event(f"client {'accepts' if 'rest' in theirs else 'refuses'}, ours {read is not None}")
    if "rest" in theirs:
        unexplained = [problem for problem in problems.errors if not is_stricter(problem)]
        assert read is not None or not unexplained, (text, unexplained)
    elif read is not None:
        assert warnings & LENIENT.keys() or "$schema" in text, (text, theirs["error"])
    if read is not None and "rest" in theirs:
        if isinstance(read.spec, azure.Endpoint):
            ours = endpoint_body(read.spec, "local")
        else:
            ours = deployment_body(read.spec, "local")
        assert comparable(ours) == comparable(theirs["rest"]), text


def is_stricter(problem: Problem) -> bool:
    """Whether refusing this is a decision of ours."""
    return problem.code in STRICTER or problem.field in DROPPED


def comparable(value: Any) -> Any:
    """As JSON, without two accidents of the client.

    It writes an object's repr where a data asset is registered later, and turns properties into
    text when it adds one for private_network_connection.
    """
    plain = json.loads(json.dumps(value))
    properties = plain["properties"]["properties"]
    if "private-network-connection" in properties:
        plain["properties"]["properties"] = sorted(properties)
    collector = plain["properties"].get("dataCollector", {})
    for collection in collector.get("collections", {}).values():
        if "data_asset.DataAsset object" in collection.get("dataId", ""):
            collection["dataId"] = "azureml:n:1"
    return plain


@needs_client
@needs_cases
@pytest.mark.parametrize(
    "case", [case for case in CASES_READ if case.verdict != "ERR"], ids=lambda case: case.path
)
def test_public_files_mean_the_same_to_the_live_client(
    client: Client, case: Case, tmp_path: Path
) -> None:
    """The recorded answers still are the client's; the files it wants to hash are made up."""
    expected = json.loads((CASES / f"{case.path}.expected.json").read_text("utf-8"))
    # Deep, because paths in the cases lead some folders up.
    path = tmp_path / "a" / "b" / "c" / "d" / "e" / "file.yml"
    path.parent.mkdir(parents=True)
    path.write_bytes((CASES / case.path).read_bytes())
    for asset in expected.get("assets", {}).values():
        if asset["exists"]:
            copy_asset(CASES / Path(case.path).parent / asset["path"], path.parent / asset["path"])
    answer = client.ask_about(case.kind, path, expected["overrides"])
    assert answer == {"rest": expected["rest"]}


def copy_asset(source: Path, target: Path) -> None:
    """Conda files come with the cases; models and code are placeholders."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        target.write_bytes(source.read_bytes())
    elif not target.exists():
        target.write_text("")
