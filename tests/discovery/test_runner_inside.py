"""The runner inside the test's own process: what it does to wishes, watchers and places."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from tests.discovery.runner_process import all_running, deployment, is_alive, serving, wait_picture
from trioroute.core.model import CommandSource, Deployment, ScriptSource
from trioroute.discovery.local import LocalReplicaSource
from trioroute.discovery.processes.snapshots import CODE_FOLDER, Snapshots
from trioroute.discovery.runner import Runner, main, runtimes_folder
from trioroute.discovery.runnerlink import AskLines, Lines, SetDesired, socket_address
from trioroute.discovery.runtime import RuntimeStore
from trioroute.errors import LinkLostError, StaleEpochError
from trioroute.spec.written.revision import with_revision

#: Needs no process: its folder does not exist, so it backs off at once.
NOWHERE = deployment(CommandSource(command=("x",), cwd="/none"))


@attrs.frozen
class Inside:
    """A runner that runs here, and a coordinator's end."""

    runner: Runner
    source: LocalReplicaSource


@asynccontextmanager
async def run_inside(data: Path) -> AsyncIterator[Inside]:
    runner = Runner(data, RuntimeStore(data / "runtimes"))
    listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_address(data) as address:
        await listening.bind(address)
    listening.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.run, trio.SocketListener(listening))
        yield Inside(runner, LocalReplicaSource(data))
        runner.stop()


@pytest.mark.slow
async def test_stopping_it_ends_every_replica_and_returns(tmp_path: Path) -> None:
    async with run_inside(tmp_path) as inside:
        await inside.source.set_desired(1, [(deployment(serving()), 2)])
        found = await wait_picture(inside.source, all_running(2))
    assert inside.runner.picture().replicas == ()
    assert not any(is_alive(int(each.pid or 0)) for each in found)


async def test_the_highest_epoch_holds_whichever_connection_it_came_from(tmp_path: Path) -> None:
    async with run_inside(tmp_path) as inside:
        other = LocalReplicaSource(tmp_path)
        await inside.source.set_desired(3, [(NOWHERE, 1)])
        await other.set_desired(5, [(NOWHERE, 2)])
        with pytest.raises(StaleEpochError):
            await inside.source.set_desired(4, [])
        found = await wait_picture(other, lambda found: len(found) == 2)
        assert {each.deployment for each in found} == {NOWHERE.key}
        assert inside.runner.picture().epoch == 5


async def test_a_place_that_cannot_be_filled_says_why(tmp_path: Path) -> None:
    async with run_inside(tmp_path) as inside:
        await inside.source.set_desired(1, [(NOWHERE, 1)])
        (found,) = await wait_picture(
            inside.source, lambda found: bool(found) and found[0].state == "backing-off"
        )
        assert found.reason == "folder /none does not exist or cannot be read"
        await inside.source.set_desired(1, [])
        assert await wait_picture(inside.source, lambda found: not found) == ()


async def test_answers_carry_the_number_of_their_question(tmp_path: Path) -> None:
    async with run_inside(tmp_path) as inside:
        connection = await inside.source.connect()
        async with connection.stream:
            assert await connection.ask(AskLines(41, "unknown")) == Lines(41, ())


async def test_a_wish_that_cannot_be_read_ends_that_connection_only(tmp_path: Path) -> None:
    async with run_inside(tmp_path) as inside:
        await inside.source.set_desired(2, [(NOWHERE, 1)])
        connection = await inside.source.connect()
        async with connection.stream:
            with pytest.raises(LinkLostError):
                await connection.ask(SetDesired(1, 9, [({"endpoint": "e"}, 1)], []))
        assert inside.runner.picture().epoch == 2


def test_runtimes_stand_with_the_data_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIOROUTE_RUNTIMES", raising=False)
    assert runtimes_folder(tmp_path) == tmp_path / "runtimes"
    monkeypatch.setenv("TRIOROUTE_RUNTIMES", "/shared")
    assert runtimes_folder(tmp_path) == Path("/shared")


def test_a_data_folder_that_cannot_be_used_is_one_line_and_status_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["--data", str(tmp_path / "file")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("the replica-runner cannot use ")
    assert said.err.count("\n") == 1


async def test_code_that_no_deployment_needs_is_removed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    code = tmp_path / "src"
    code.mkdir()
    (code / "score.py").write_text("one")
    source = ScriptSource(code=str(code), script="score.py", python="/none")
    wished = with_revision(deployment(source))
    snapshots = Snapshots(tmp_path / CODE_FOLDER)
    async with run_inside(tmp_path) as inside:
        await inside.source.keep_code(wished)
        old = tmp_path / CODE_FOLDER / "0123"
        old.mkdir()
        for folder in snapshots.folder.iterdir():
            os.utime(folder, (0, 0))
        await trio.sleep(100)
        assert old.exists(), "nobody has said yet what is needed"
        await inside.source.set_desired(1, [(wished, 0)])
        while len(list(snapshots.folder.iterdir())) > 1:  # noqa: ASYNC110 - a thread's doing
            await trio.sleep(10)
        assert [path.name for path in snapshots.folder.iterdir()] == [source_of(wished).snapshot]


def source_of(wished: Deployment) -> ScriptSource:
    assert isinstance(wished.source, ScriptSource)
    return wished.source
