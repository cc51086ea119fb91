"""The verb `status` against the real admin API: screens and exit codes."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import listening_port, running_admin
from trioroute.cli import status as status_verb
from trioroute.cli.main import main
from trioroute.cli.status import deployment_rows, front_end_rows
from trioroute.client.local import SUMMARY_NAME
from trioroute.core.status import (
    ClusterStatus,
    CoordinatorStatus,
    DeploymentStatus,
    EndpointStatus,
    FrontEndStatus,
)

(_ECHO,) = STATUS.endpoints
WELL = attrs.evolve(STATUS, front_ends=STATUS.front_ends[:1])


def run(*arguments: str) -> int:
    """The verb as the installed command runs it; the exit code."""
    with pytest.raises(SystemExit) as caught:
        main(["status", *arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def summarize(data: Path, *urls: str) -> None:
    admin_urls = {f"fe-{i}": url for i, url in enumerate(urls)}
    text = json.dumps({"scoring_url": "http://127.0.0.1:8080", "admin_urls": admin_urls})
    (data / SUMMARY_NAME).write_text(text)


@pytest.fixture
def refusing_url() -> Iterator[str]:
    """An address that nobody listens on, kept from others while the test runs."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


def test_a_well_system_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    with running_admin(SmallView(current=WELL)) as url:
        assert run("--admin", url) == 0
    out = capsys.readouterr().out
    assert "COORDINATOR  fe-0 (epoch 3, 2/3 members connected, seen by fe-0)" in out
    assert "‼" not in out


def test_a_system_with_a_front_end_down_exits_with_1_and_names_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with running_admin(SmallView()) as url:
        assert run("--admin", url) == 1
    out = capsys.readouterr().out
    assert "‼ front-end fe-2 is down: connection refused" in out


def with_blue(**changes: Any) -> ClusterStatus:
    """A system that is well but for what is changed of its one deployment."""
    (blue,) = _ECHO.deployments
    endpoint = attrs.evolve(_ECHO, deployments=(attrs.evolve(blue, **changes),))
    return attrs.evolve(WELL, endpoints=(endpoint,))


def test_a_deployment_that_failed_beside_what_serves_exits_with_1_and_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    why = "ImportError: x; 1 of the version before go on serving"
    failed = with_blue(provisioning_state="Failed", provisioning_reason=why)
    with running_admin(SmallView(current=failed)) as url:
        assert run("--admin", url) == 1
        out = capsys.readouterr().out
        assert run("--admin", url, "-o", "json") == 1
    assert f"‼ deployment echo/blue failed: {why} (see trioroute logs echo/blue)" in out
    assert "steady" not in out


def test_slots_in_doubt_are_a_note_and_the_exit_code_stays_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with running_admin(SmallView(current=with_blue(in_doubt=1))) as url:
        assert run("--admin", url) == 0
    out = capsys.readouterr().out
    assert "steady; 1 slot held back" in out
    assert "note: deployment echo/blue: 1 slot held back" in out
    assert "‼" not in out


@pytest.mark.parametrize(("current", "code"), [(WELL, 0), (STATUS, 1)])
def test_json_is_what_the_api_says_and_the_exit_code_is_the_same(
    current: ClusterStatus, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_admin(SmallView(current=current)) as url:
        assert run("--admin", url, "-o", "json") == code
    assert json.loads(capsys.readouterr().out)["reporter"] == "fe-0"


def test_the_running_system_is_found_through_its_data_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_admin(SmallView(current=WELL)) as url:
        summarize(tmp_path, url)
        assert run("--data", str(tmp_path)) == 0
    assert "COORDINATOR" in capsys.readouterr().out


def test_front_ends_that_are_dead_or_silent_are_shown_beside_those_that_live(
    tmp_path: Path,
    refusing_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(status_verb, "_TIMEOUT_S", 0.2)
    with listening_port(answer=None) as silent, running_admin(SmallView(current=WELL)) as url:
        summarize(tmp_path, url, f"http://127.0.0.1:{silent}", refusing_url)
        assert run("--data", str(tmp_path)) == 1
    out = capsys.readouterr().out
    assert re.search(r"fe-1 .* DOWN .* did not answer within 0\.2 s", out)
    assert re.search(r"fe-2 .* DOWN .* Connection refused", out)


def test_nobody_answering_exits_with_3(
    tmp_path: Path, refusing_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    summarize(tmp_path, refusing_url)
    assert run("--data", str(tmp_path)) == 3
    assert "Connection refused" in capsys.readouterr().err
    summarize(tmp_path)
    assert run("--data", str(tmp_path)) == 3
    assert "there is no front-end to ask" in capsys.readouterr().err


def test_no_running_system_exits_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--data", str(tmp_path)) == 3
    captured = capsys.readouterr()
    assert captured.err.startswith("trioroute: no running system found in ")
    assert captured.out == ""


def test_a_watch_goes_on_through_an_outage_until_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refusing_url: str
) -> None:
    """The pause is where a user presses Ctrl-C: here at the third."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("trioroute.cli.status.time.sleep", pause)
    assert run("--admin", refusing_url, "--watch", "--interval", "0.5") == 0
    assert pauses == [0.5] * 3
    assert capsys.readouterr().err.count("Connection refused") == 3
    pauses.clear()
    with running_admin(SmallView()) as url:
        assert run("--admin", url, "--watch", "-o", "json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["reporter"] for line in lines] == ["fe-0"] * 3


def test_every_configured_front_end_has_a_row() -> None:
    assert list(front_end_rows(STATUS)) == [
        ("fe-0", "coordinator", "up", "812", "-", "-", "-", "-", ""),
        ("fe-2", "unknown", "DOWN", "-", "-", "-", "-", "-", "connection refused"),
    ]
    draining = FrontEndStatus(name="fe-1", unready_reason="draining")
    (row,) = front_end_rows(ClusterStatus(reporter="x", front_ends=(draining,)))
    assert (row[2], row[8]) == ("unready", "draining")
    isolated = FrontEndStatus(name="fe-1", isolated="no link to the coordinator")
    (row,) = front_end_rows(ClusterStatus(reporter="x", front_ends=(isolated,)))
    assert (row[2], row[8]) == ("isolated", "no link to the coordinator")
    full = FrontEndStatus(
        name="fe-1",
        overhead_p50_s=0.0009,
        overhead_p99_s=0.0041,
        slots_held=14,
        applied_index=10422,
        version="0.3.0",
    )
    (row,) = front_end_rows(ClusterStatus(reporter="x", front_ends=(full,)))
    assert row[4:8] == ("0.9/4.1 ms", "14", "10422", "0.3.0")


def test_a_deployment_s_row_shows_load_against_capacity() -> None:
    green = DeploymentStatus(endpoint="echo", name="green", p50_s=0.039, p99_s=0.61)
    status = ClusterStatus(
        reporter="x",
        endpoints=(EndpointStatus(name="echo", deployments=(*_ECHO.deployments, green)),),
    )
    assert list(deployment_rows(status)) == [
        *[("echo", "blue", "90 %", "1/2", "1/2", "3", "200 %/70 %", "-", "0", "steady")],
        *[("", "green", "0 %", "0/0", "-/-", "-", "-/-", "39/610 ms", "0", "")],
    ]
    # A bound loses no digit: rounded down it would be none.
    slow = attrs.evolve(green, p50_s=0.0012, p99_s=1.75)
    status = ClusterStatus(
        reporter="x", endpoints=(EndpointStatus(name="echo", deployments=(slow,)),)
    )
    assert next(deployment_rows(status))[7] == "1.2/1750 ms"


@pytest.mark.parametrize(
    ("since_s", "age"), [(9.7, "9s"), (61, "1m01s"), (15_121, "4h12m"), (None, "epoch 3, seen")]
)
def test_the_headline_says_for_how_long(
    since_s: float | None, age: str, capsys: pytest.CaptureFixture[str]
) -> None:
    coordinator = CoordinatorStatus(name="fe-0", epoch=3, since_s=since_s)
    bare = attrs.evolve(WELL, coordinator=coordinator, raft=None)
    with running_admin(SmallView(current=bare)) as url:
        run("--admin", url)
    assert age in capsys.readouterr().out


def test_no_coordinator_is_the_first_thing_said(capsys: pytest.CaptureFixture[str]) -> None:
    with running_admin(SmallView(current=attrs.evolve(WELL, coordinator=None))) as url:
        assert run("--admin", url) == 1
    assert capsys.readouterr().out.startswith("COORDINATOR  none (2/3 members connected, seen by")


def test_names_with_brackets_are_not_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    down = FrontEndStatus(name="fe-1", is_up=False, error="[bold]odd[/bold]")
    with running_admin(SmallView(current=attrs.evolve(WELL, front_ends=(down,)))) as url:
        run("--admin", url)
    assert capsys.readouterr().out.count("[bold]odd[/bold]") == 2


def test_waiting_ends_when_all_is_well_or_the_time_is_up(
    capsys: pytest.CaptureFixture[str], refusing_url: str
) -> None:
    with running_admin(SmallView(current=WELL)) as url:
        assert run("--wait", "--admin", url) == 0
    with running_admin(SmallView()) as url:
        assert run("--wait", "--timeout", "0", "--admin", url) == 4
    assert "‼ front-end fe-2 is down" in capsys.readouterr().out
    assert run("--wait", "--timeout", "0", "--admin", refusing_url) == 3


def test_a_part_is_picked_out(capsys: pytest.CaptureFixture[str]) -> None:
    with running_admin(SmallView(current=WELL)) as url:
        assert run("--admin", url, "--query", "coordinator.name", "-o", "tsv") == 0
    assert capsys.readouterr().out == "fe-0\n"
