"""The replica-runner with real processes: who may wish, what runs, and that nothing is left."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.discovery.runner_process import (
    RunnerProcess,
    all_running,
    deployment,
    is_alive,
    running,
    serving,
    start_runner,
    wait_picture,
    wait_printed,
)
from trioroute.core.found import FoundReplica
from trioroute.errors import StaleEpochError

pytestmark = pytest.mark.slow


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[RunnerProcess]:
    with start_runner(tmp_path) as process:
        yield process


def answer_of(replica: FoundReplica) -> str:
    address = f"http://{replica.host}:{replica.port}/"
    with urllib.request.urlopen(address, timeout=5) as answer:
        return str(answer.read().decode())


async def wait_dead(*pids: int) -> None:
    while any(is_alive(pid) for pid in pids):  # noqa: ASYNC110 - another process's doing
        await trio.sleep(0.01)


async def test_runs_as_many_as_wished_each_on_its_own_port(runner: RunnerProcess) -> None:
    source = runner.source()
    await source.set_desired(1, [(deployment(serving()), 2)])
    found = await wait_picture(source, all_running(2))
    assert {each.deployment for each in found} == {"digits/blue"}
    assert {each.host for each in found} == {"127.0.0.1"}
    servers = {answer_of(each) for each in found}
    assert len(servers) == 2


async def test_a_killed_replica_is_followed_by_one_with_a_new_id(runner: RunnerProcess) -> None:
    source = runner.source()
    await source.set_desired(1, [(deployment(serving()), 1)])
    (before,) = await wait_picture(source, all_running(1))
    os.kill(int(answer_of(before)), signal.SIGKILL)
    (gone,) = await wait_picture(source, lambda found: found[0].state == "backing-off")
    assert gone.id == before.id
    assert gone.reason.startswith("killed by signal 9 after")
    (after,) = await wait_picture(source, lambda found: found[0].state == "running")
    assert after.id != before.id
    assert after.restarts == 1


async def test_replicas_survive_the_coordinator_that_wished_them(runner: RunnerProcess) -> None:
    first = runner.source()
    await first.set_desired(1, [(deployment(serving()), 1)])
    before = await wait_picture(first, all_running(1))
    second = runner.source()
    assert await wait_picture(second, all_running(1)) == before
    await second.set_desired(2, [(deployment(serving()), 1)])
    assert await wait_picture(second, all_running(1)) == before


async def test_a_lower_epoch_is_refused_and_changes_nothing(runner: RunnerProcess) -> None:
    new, old = runner.source(), runner.source()
    await new.set_desired(5, [(deployment(serving()), 1)])
    before = await wait_picture(new, all_running(1))
    with pytest.raises(StaleEpochError) as caught:
        await old.set_desired(4, [])
    assert caught.value.epoch == 5
    assert await wait_picture(new, all_running(1)) == before


async def test_tells_the_last_lines_of_a_replica_that_dies_at_its_start(
    runner: RunnerProcess,
) -> None:
    source = runner.source()
    broken = running("""
        print("loading the model")
        raise ValueError("no such file: model.pkl")
    """)
    await source.set_desired(1, [(deployment(broken), 1)])
    (found,) = await wait_picture(
        source, lambda found: bool(found) and found[0].state == "backing-off"
    )
    assert found.reason.startswith("exited with status 1 after")
    assert found.reason.endswith(": ValueError: no such file: model.pkl")
    assert found.last_lines[-1] == "ValueError: no such file: model.pkl"
    assert "loading the model" in found.last_lines


async def test_tells_the_last_lines_of_a_replica_that_never_listens(runner: RunnerProcess) -> None:
    source = runner.source()
    waiting = running("""
        import time
        print("waiting for a licence", flush=True)
        time.sleep(600)
    """)
    await source.set_desired(1, [(deployment(waiting), 1)])
    (found,) = await wait_picture(source, lambda found: bool(found) and found[0].pid is not None)
    assert found.state == "starting"
    assert await wait_printed(source, found.id) == ("waiting for a licence",)
    assert await source.last_lines("../../runner") == ()


async def test_stops_the_named_replica_when_the_number_falls(runner: RunnerProcess) -> None:
    source = runner.source()
    blue = deployment(serving())
    await source.set_desired(1, [(blue, 3)])
    before = await wait_picture(source, all_running(3))
    retired = before[0]
    await source.set_desired(1, [(blue, 2)], retire=[retired.id])
    after = await wait_picture(source, all_running(2))
    assert {each.id for each in after} == {each.id for each in before} - {retired.id}
    assert retired.pid is not None
    assert not is_alive(retired.pid)


async def test_a_changed_source_starts_its_replicas_before_the_old_ones_stop(
    runner: RunnerProcess,
) -> None:
    source = runner.source()
    await source.set_desired(1, [(deployment(serving()), 1)])
    (before,) = await wait_picture(source, all_running(1))
    pictures_with_none_running = []
    changed = [(deployment(serving(marker="two")), 1)]
    await source.set_desired(1, changed)
    async with source.watch() as pictures:
        async for found in pictures:
            if not any(each.state == "running" for each in found):
                pictures_with_none_running.append(found)
            if all_running(2)(found):
                # Not before it is named: it may be busy.
                await source.set_desired(1, changed, retire=[before.id])
            if all_running(1)(found) and found[0].id != before.id:
                break
    assert pictures_with_none_running == []


async def test_a_killed_runner_takes_its_replicas_along_and_the_next_one_is_told_the_wish(
    tmp_path: Path,
) -> None:
    with start_runner(tmp_path) as runner:
        source = runner.source()
        await source.set_desired(7, [(deployment(serving()), 2)])
        before = await wait_picture(source, all_running(2))
        async with source.watch() as pictures:
            runner.popen.kill()
            await wait_dead(*[int(each.pid or 0) for each in before])
            with start_runner(tmp_path):
                async for found in pictures:
                    if all_running(2)(found) and found != before:
                        break
    assert not {each.id for each in found} & {each.id for each in before}


@pytest.mark.parametrize("how", ["SIGTERM", "lifeline"])
async def test_ends_its_replicas_and_itself(runner: RunnerProcess, how: str) -> None:
    source = runner.source()
    await source.set_desired(1, [(deployment(serving()), 2)])
    found = await wait_picture(source, all_running(2))
    if how == "SIGTERM":
        runner.popen.send_signal(signal.SIGTERM)
    else:
        os.close(runner.lifeline)
    assert await trio.to_thread.run_sync(runner.popen.wait) == 0
    assert not any(is_alive(int(each.pid or 0)) for each in found)
    assert not (runner.data / "runner.sock").exists()


async def test_replicas_deaf_to_the_request_to_end_are_killed(runner: RunnerProcess) -> None:
    source = runner.source()
    deaf = running("""
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf", flush=True)
        time.sleep(600)
    """)
    await source.set_desired(1, [(deployment(deaf), 1)])
    (found,) = await wait_picture(source, lambda found: bool(found) and found[0].pid is not None)
    await wait_printed(source, found.id)
    await source.set_desired(1, [])
    await wait_picture(source, lambda found: not found)
    assert not is_alive(int(found.pid or 0))


async def test_one_runner_per_data_folder(runner: RunnerProcess) -> None:
    await (await runner.source().connect()).stream.aclose()
    command = [sys.executable, "-m", "trioroute.discovery.runner", "--data", str(runner.data)]
    done = await trio.to_thread.run_sync(
        lambda: subprocess.run(command, capture_output=True, text=True, check=False)
    )
    assert done.returncode == 2
    assert "another replica-runner answers there" in done.stderr
    assert done.stdout == ""


async def test_a_data_folder_with_a_long_path_works(tmp_path: Path) -> None:
    """The address of a unix socket has room for 107 bytes only."""
    data = tmp_path / ("deep" * 30)
    data.mkdir()
    with start_runner(data) as runner:
        source = runner.source()
        await source.set_desired(1, [(deployment(serving()), 1)])
        await wait_picture(source, all_running(1))


async def test_a_message_that_is_none_ends_only_that_connection(runner: RunnerProcess) -> None:
    source = runner.source()
    connection = await source.connect()
    await connection.stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
    while await connection.stream.receive_some():
        pass
    await connection.stream.aclose()
    await source.set_desired(1, [(deployment(serving()), 1)])
    await wait_picture(source, all_running(1))
