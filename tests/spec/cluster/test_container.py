"""What a deployment says about its container, and what is said when it says too little."""

from textwrap import dedent

import pytest

from trioroute.core.model import ContainerSource, Source, StaticSource
from trioroute.spec import azure
from trioroute.spec.cluster.container import ContainerFinder
from trioroute.spec.problems import Problems
from trioroute.spec.properties import DeploymentProperties, read_properties
from trioroute.spec.reading import read_text

HEAD = "name: blue\nendpoint_name: fraud\n"
KUBERNETES = "type: kubernetes\n"
IMAGE = "environment: {image: registry.example/fraud:1}\n"


def find(text: str, more: str = "") -> tuple[Source | None, Problems]:
    problems = Problems()
    file = read_text(HEAD + text + dedent(more), "f.yml", problems)
    assert file is not None, problems.errors
    assert isinstance(file.spec, azure.Deployment)
    extras = read_properties(DeploymentProperties, file)
    assert extras is not None
    return ContainerFinder().find(file, file.spec, extras), problems


def test_an_image_is_enough() -> None:
    source, problems = find(KUBERNETES + IMAGE)
    assert source == ContainerSource(image="registry.example/fraud:1")
    assert (problems.errors, problems.warnings) == ([], [])


def test_an_existing_deployment_needs_no_image() -> None:
    source, problems = find(KUBERNETES, "properties: {trioroute.workload: theirs}\n")
    assert source == ContainerSource(image="", workload="theirs")
    assert (problems.errors, problems.warnings) == ([], [])


def test_everything_is_read() -> None:
    source, problems = find(
        KUBERNETES + IMAGE,
        """\
        environment_variables: {N: 1.10}
        instance_type: big
        resources: {requests: {cpu: "0.5"}, limits: {nvidia.com/gpu: 1, cpu: "4"}}
        code_configuration: {code: configmap://fraud-code, scoring_script: score.py}
        model: {path: pvc://models/fraud/1}
        properties: {trioroute.command: "serve --port {port}"}
        """,
    )
    assert problems.errors == []
    assert source == ContainerSource(
        image="registry.example/fraud:1",
        command=("serve", "--port", "{port}"),
        code="fraud-code",
        script="score.py",
        model_claim="models",
        model_path="fraud/1",
        instance_type="big",
        requests={"cpu": "0.5"},
        limits={"cpu": "4", "nvidia.com/gpu": "1"},
        environment={"N": "1.10"},
    )


def test_addresses_need_no_image() -> None:
    source, problems = find(KUBERNETES + 'properties: {trioroute.addresses: "10.1.1.1:80"}\n')
    assert (source, problems.errors) == (StaticSource(addresses=(("10.1.1.1", 80),)), [])


@pytest.mark.parametrize(
    ("text", "field", "code", "words"),
    [
        ("", "environment", "TR0404", "no image"),
        ("environment: azureml:env:1\n", "environment", "TR0404", "no image"),
        (
            IMAGE + "code_configuration: {code: ./src, scoring_script: score.py}\n",
            "code_configuration.code",
            "TR0403",
            "./src is not in the cluster",
        ),
        (IMAGE + "model: {path: ./model}\n", "model.path", "TR0403", "./model is not in"),
        (IMAGE + "model: azureml:fraud:1\n", "model", "TR0403", "is not in the cluster"),
        (
            IMAGE + "model: {path: pvc://data-trioroute-0/front-end}\n",
            "model.path",
            "TR0403",
            "a front-end's own volume",
        ),
        (
            IMAGE + 'environment_variables: {TOKEN: "secret://hub"}\n',
            "environment_variables.TOKEN",
            "TR0403",
            "names no key of a Secret",
        ),
        (
            IMAGE + 'environment_variables: {A: "secret://trioroute-secret/secret.key"}\n',
            "environment_variables.A",
            "TR0403",
            "the front-ends' own Secret",
        ),
    ],
)
def test_what_cannot_run_on_a_cluster_says_why_and_what_to_write(
    text: str, field: str, code: str, words: str
) -> None:
    source, problems = find(KUBERNETES + text)
    assert source is None
    (problem,) = problems.errors
    assert (problem.field, problem.code) == (field, code)
    assert words in problem.message
    assert problem.hint


def test_machines_and_interpreters_that_a_cluster_has_not_are_warned_of() -> None:
    source, problems = find(
        IMAGE + "instance_type: Standard_DS3_v2\nproperties: {trioroute.python: python3}\n"
        "liveness_probe: {period: 5}\n"
    )
    assert isinstance(source, ContainerSource)
    assert source.instance_type == ""
    said = [problem.field for problem in problems.warnings if problem.code == "TR0113"]
    assert said == ["properties.trioroute.python", "instance_type"]
