"""Scoring scripts under the real inference server, started by a real runner."""

import json
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psutil  # type: ignore[import-untyped]
import pytest
import trio

from tests.discovery.runner_process import (
    RunnerProcess,
    all_running,
    deployment,
    is_alive,
    start_runner,
    wait_picture,
)
from tests.discovery.shared_runtime import CONDA_FILE
from trioroute.core.found import FoundReplica
from trioroute.core.model import ScriptSource

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TELLS_ITS_WORLD = """
    import json, os, sys
    import neighbour

    def init():
        print("init was called", flush=True)

    def run(raw_data):
        names = ("AZUREML_MODEL_DIR", "AZUREML_ENTRY_SCRIPT", "AML_APP_ROOT", "GREETING")
        found = {name: os.environ.get(name) for name in names}
        return {"sent": json.loads(raw_data), "neighbour": neighbour.NAME, **found}
"""

FAILS_AT_IMPORT = """
    raise RuntimeError("the licence has run out")
"""


@pytest.fixture
def runner(tmp_path: Path, runtimes: Path, runtime_python: Path) -> Iterator[RunnerProcess]:
    assert runtime_python.exists()
    data = tmp_path / "data"
    data.mkdir()
    with start_runner(data, {"TRIOROUTE_RUNTIMES": str(runtimes)}) as process:
        yield process


def script(folder: Path, text: str) -> ScriptSource:
    code, models = folder / "code", folder / "models"
    code.mkdir()
    models.mkdir()
    (code / "score.py").write_text(textwrap.dedent(text))
    # The same name as a module beside azure_server.py: the user's must win.
    (code / "logs.py").write_text("raise AssertionError")
    (code / "neighbour.py").write_text("NAME = 'next door'\n")
    return ScriptSource(
        code=str(code),
        script="score.py",
        model=str(models),
        conda_file=str(CONDA_FILE),
        environment={"GREETING": "hello"},
    )


def score(replica: FoundReplica, content: object) -> Any:
    address = f"http://{replica.host}:{replica.port}/score"
    # Without this the server takes the body for a form and gives the script nothing.
    fields = {"content-type": "application/json"}
    request = urllib.request.Request(address, json.dumps(content).encode(), fields)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


async def test_a_script_answers_on_loopback_with_the_variables_it_expects(
    runner: RunnerProcess, tmp_path: Path
) -> None:
    source = runner.source()
    await source.set_desired(1, [(deployment(script(tmp_path, TELLS_ITS_WORLD)), 1)])
    (replica,) = await wait_picture(source, all_running(1))
    answer = await trio.to_thread.run_sync(score, replica, {"data": [1, 2]})
    assert answer == {
        "sent": {"data": [1, 2]},
        "neighbour": "next door",
        "AZUREML_MODEL_DIR": f"{tmp_path}/models",
        "AZUREML_ENTRY_SCRIPT": f"{tmp_path}/code/score.py",
        "AML_APP_ROOT": f"{tmp_path}/code",
        "GREETING": "hello",
    }
    family = psutil.Process(replica.pid).children(recursive=True)
    listening = {c.laddr for each in family for c in each.net_connections() if c.status == "LISTEN"}
    assert listening == {("127.0.0.1", replica.port)}
    assert any("init was called" in line for line in await source.last_lines(replica.id))


async def test_a_killed_runner_takes_the_servers_workers_along(
    runner: RunnerProcess, tmp_path: Path
) -> None:
    source = runner.source()
    await source.set_desired(1, [(deployment(script(tmp_path, TELLS_ITS_WORLD)), 1)])
    (replica,) = await wait_picture(source, all_running(1))
    await trio.to_thread.run_sync(score, replica, {})
    family = [each.pid for each in psutil.Process(replica.pid).children(recursive=True)]
    assert len(family) == 2
    runner.popen.kill()
    while any(is_alive(pid) for pid in family):  # noqa: ASYNC110 - another process's doing
        await trio.sleep(0.01)


async def test_a_script_that_fails_at_import_is_told_with_its_reason(
    runner: RunnerProcess, tmp_path: Path
) -> None:
    source = runner.source()
    await source.set_desired(1, [(deployment(script(tmp_path, FAILS_AT_IMPORT)), 1)])
    (replica,) = await wait_picture(
        source, lambda found: bool(found) and found[0].state == "backing-off"
    )
    assert replica.reason.startswith("exited with status 3 after")
    assert replica.reason.endswith(": RuntimeError: the licence has run out")


async def test_a_missing_module_is_told_with_the_packages_that_were_left_out(
    runner: RunnerProcess, tmp_path: Path
) -> None:
    """The same pip packages as the other tests' runtime, so nothing is built for this."""
    conda_file = tmp_path / "conda.yml"
    pip = CONDA_FILE.read_text().partition("  - pip:")
    conda_file.write_text("".join((pip[0], "  - xgboost=2.0\n", *pip[1:])))
    found = attrs.evolve(script(tmp_path, "import xgboost"), conda_file=str(conda_file))
    source = runner.source()
    await source.set_desired(1, [(deployment(found), 1)])
    (replica,) = await wait_picture(
        source, lambda found: bool(found) and found[0].state == "backing-off"
    )
    assert "ModuleNotFoundError: No module named 'xgboost'. The conda package " in replica.reason
    assert (
        f"xgboost=2.0 is not installed: list it under pip in conda file {conda_file}"
        in replica.reason
    )


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("code/score.py", "scoring script {} does not exist or cannot be read"),
        ("models", "model {} does not exist or cannot be read"),
    ],
)
async def test_what_is_missing_is_named(
    runner: RunnerProcess, tmp_path: Path, missing: str, message: str
) -> None:
    found = script(tmp_path, TELLS_ITS_WORLD)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    source = runner.source()
    await source.set_desired(1, [(deployment(found), 1)])
    (replica,) = await wait_picture(
        source, lambda found: bool(found) and found[0].state == "backing-off"
    )
    assert replica.reason == message.format(tmp_path / missing)
