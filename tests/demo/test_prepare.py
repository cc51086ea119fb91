"""The packaged example: valid for everyone who reads it, and trained once."""

import json
import shutil
from pathlib import Path

import pytest
import trio

from tests.discovery.runner_process import all_running, start_runner, wait_picture
from trioroute.core.model import CommandSource, ScriptSource
from trioroute.demo import prepare as prepare_module
from trioroute.demo.prepare import PreparedDemo, prepare_demo
from trioroute.demo.scoring import ScoringConnection, ScoringTarget
from trioroute.spec.load import load_paths

PACKAGED = Path(prepare_module.__file__).parent


async def prepare(
    data: Path, runtimes: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[PreparedDemo, list[str]]:
    monkeypatch.setenv("TRIOROUTE_RUNTIMES", str(runtimes))
    told: list[str] = []
    return await prepare_demo(data, told.append), told


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_makes_a_deployable_example_once(
    tmp_path: Path, runtimes: Path, runtime_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runtime_python.name == "python"  # built before, so nothing is told of it
    server = "lib/*/site-packages/azureml_inference_server_http/server/__pycache__"
    for compiled in runtime_python.parents[1].glob(server):
        shutil.rmtree(compiled)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    demo, told = await prepare(tmp_path, runtimes, monkeypatch)
    assert told == ["training two models on the handwritten digits of scikit-learn"]
    assert list(runtime_python.parents[1].glob(f"{server}/create_app*.pyc")), (
        "each replica would compile the model server anew"
    )
    loaded = load_paths(demo.paths)
    assert not loaded.warnings
    (endpoint,) = loaded.endpoints
    assert endpoint.traffic == {"blue": 90, "green": 10}
    assert [(d.name, d.slots_per_replica, d.scale.instance_count) for d in loaded.deployments] == [
        ("blue", 1, 3),
        ("green", 1, 1),
    ]
    for deployment in loaded.deployments:
        assert isinstance(deployment.source, ScriptSource)
        assert deployment.source.model is not None
        model = Path(deployment.source.model) / deployment.source.environment["MODEL_FILE"]
        assert model.is_file()
    cases = [json.loads(line) for line in demo.requests.read_text().splitlines()]
    assert len(cases) == 200
    one = await trio.Path(tmp_path, "demo", "digits", "request.json").read_text()
    assert json.loads(one) == cases[0]["request"]
    assert {len(case["request"]["data"][0]) for case in cases} == {64}
    assert len({each.model for each in demo.models}) == 2
    assert all(each.accuracy > 0.9 for each in demo.models)
    again, told_again = await prepare(tmp_path, runtimes, monkeypatch)
    assert (again, told_again) == (demo, [])


def test_waits_longer_for_a_slot_than_a_lost_one_can_be_in_doubt(tmp_path: Path) -> None:
    """A request must outwait lease and longest request of a killed front-end, or it fails."""
    loaded = load_paths([PACKAGED / "digits"], starting=False)
    lease_s = 2.0
    for deployment in loaded.deployments:
        assert deployment.queue_wait_max_s > 2 * (lease_s + deployment.request_max_s)


@pytest.mark.slow
async def test_the_second_example_runs_a_command_of_its_own(tmp_path: Path) -> None:
    loaded = load_paths([PACKAGED / "echo"])
    (deployment,) = loaded.deployments
    assert isinstance(deployment.source, CommandSource)
    assert deployment.source.command == ("python3", "server.py", "{port}")
    assert not loaded.warnings
    with start_runner(tmp_path) as runner:
        source = runner.source()
        await source.set_desired(1, [(deployment, 1)])
        (replica,) = await wait_picture(source, all_running(1))
        connection = await ScoringConnection.open(ScoringTarget(f"http://127.0.0.1:{replica.port}"))
        for _ in range(2):
            answer = await connection.score(ScoringTarget("http://x/score").request(b"hello"))
            assert json.loads(answer.body)["echo"] == "hello"
            assert json.loads(answer.body)["in_flight"] == 1
        connection.close()
