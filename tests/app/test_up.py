"""`up` refuses what cannot work before it starts a process (what runs is tested end to end)."""

import contextlib
from pathlib import Path

import attrs
import pytest
import trio

from trioroute.app.data_folder import DataFolder, FolderInUseError
from trioroute.app.host.ports import open_listening_socket
from trioroute.app.plane import LAST_CALL_S
from trioroute.app.up import DRAIN_S, Running, UpConfig, run_up
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import ConfigError
from trioroute.spec.problems import SpecError

ENDPOINT = """\
name: wine
auth_mode: key
traffic: {blue: 100}
"""

DEPLOYMENT = """\
name: blue
endpoint_name: wine
instance_type: local
instance_count: 1
properties:
  trioroute.addresses: "127.0.0.1:9"
"""

#: Azure's default.
_REQUEST_TIMEOUT_S = 5.0


class Screen:
    """Nothing may be shown in these tests."""

    def progress(self, text: str) -> None:
        pass

    def show(self, running: Running) -> None:
        raise AssertionError("nothing serves")


async def use(running: Running) -> int:
    raise AssertionError("nothing serves")


async def fail(config: UpConfig, kind: type[ConfigError]) -> str:
    """The message with which `up` ends."""
    with pytest.raises(ExceptionGroup) as raised:
        await run_up(config, Screen(), use)
    errors = raised.value.subgroup(kind)
    assert errors is not None
    (error,) = errors.exceptions
    return str(error)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "endpoint.yml").write_text(ENDPOINT)
    (tmp_path / "deployment.yml").write_text(DEPLOYMENT)
    return tmp_path


async def test_files_are_judged_before_the_data_folder_is_touched(tmp_path: Path) -> None:
    config = UpConfig(paths=[tmp_path / "none.yml"], data=tmp_path / "data")
    assert "TR0001" in await fail(config, SpecError)
    assert not (tmp_path / "data").exists()


async def test_a_locked_folder_is_left_alone(files: Path) -> None:
    folder = await DataFolder.open(files / "data", patience_s=0)
    before = {path: path.stat().st_mtime_ns for path in (files / "data").iterdir()}
    config = UpConfig(paths=[files], data=files / "data", port=0, admin_port=0)
    assert "in use by process" in await fail(config, FolderInUseError)
    assert before == {path: path.stat().st_mtime_ns for path in (files / "data").iterdir()}
    folder.close()


@pytest.mark.parametrize("standing", [3, 1])
async def test_another_number_of_voters_is_refused_before_anything_starts(
    standing: int, files: Path
) -> None:
    """Else those who are back without what one alone agreed on may elect one of themselves."""
    data = files / "data"
    for number in range(standing):
        (data / f"fe-{number}" / "journal").mkdir(parents=True)
    wanted = 4 - standing
    config = UpConfig(paths=[files], data=data, port=0, admin_port=0, front_ends=wanted)
    assert f"was made with {standing}," in await fail(config, ConfigError)
    assert not (data / "log").exists()
    folder = await DataFolder.open(data, patience_s=0)
    folder.close()


#: The scoring port itself, or the admin port of the second front-end: each has the next. So the
#: port below has to be free, which no port that the system gives promises.
@pytest.mark.parametrize("is_scoring", [True, False])
async def test_a_taken_port_frees_the_folder_again(is_scoring: bool, files: Path) -> None:
    port = _free_row() + 1
    with open_listening_socket("127.0.0.1", port, option="--port"):
        config = UpConfig(
            paths=[files],
            data=files / "data",
            port=port if is_scoring else 0,
            admin_port=0 if is_scoring else port - 1,
        )
        assert f"port {port} is taken by process" in await fail(config, ConfigError)
    folder = await DataFolder.open(files / "data", patience_s=0)
    folder.close()


async def test_an_admin_port_cannot_also_be_one_that_only_reads(files: Path) -> None:
    """9091 is the read-only port of a cluster, and the second front-end's admin port here."""
    config = UpConfig(paths=[files], data=files / "data", port=0, read_only_port=9091)
    config = attrs.evolve(config, admin_port=_free_row())
    config = attrs.evolve(config, read_only_port=config.admin_port + 1)
    assert f"{config.admin_port + 1} is an admin port" in await fail(config, ConfigError)


def _free_row() -> int:
    """The first of five ports in a row that nobody has just now."""
    for first in range(20_000, 30_000, 5):
        with contextlib.suppress(ConfigError), contextlib.ExitStack() as row:
            for port in range(first, first + 5):
                row.enter_context(open_listening_socket("127.0.0.1", port, option=""))
            return first
    raise AssertionError("no five free ports")


@pytest.mark.slow
async def test_cancelling_it_while_it_starts_ends_what_it_started(files: Path) -> None:
    config = UpConfig(
        paths=[files], data=files / "data", port=0, admin_port=0, front_ends=1, workers=0
    )
    with trio.move_on_after(0.5):
        await run_up(config, Screen(), use)
    # The lock is inherited by everything that was started, so it proves that nothing is left.
    folder = await DataFolder.open(files / "data", patience_s=0)
    assert not (files / "data" / "up.json").exists()
    folder.close()


def test_a_drain_outlasts_slots_in_doubt_and_the_request_that_waited_for_them() -> None:
    # Who drains hands the office over first: what waits then may wait for the doubt to end.
    served_by = SlotTimings().failover_grace_s + _REQUEST_TIMEOUT_S
    assert served_by <= DRAIN_S - LAST_CALL_S
