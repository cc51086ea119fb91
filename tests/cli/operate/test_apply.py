"""apply, diff and delete."""

import io

import pytest

from tests.cli.console import Console


def test_applying_twice_changes_nothing_the_second_time(console: Console) -> None:
    folder = console.write("blue")
    assert console(f"apply {folder}") == "endpoint fraud created\ndeployment fraud/blue created\n"
    index = console.desk.state.index
    out = console(f"apply -f {folder}")
    assert out == "deployment fraud/blue unchanged\nendpoint fraud unchanged\n"
    assert console.desk.state.index == index


def test_a_difference_is_shown_and_exits_with_1(console: Console) -> None:
    folder = console.write("blue")
    console(f"apply {folder}")
    assert console(f"diff {folder}") == (
        "deployment fraud/blue unchanged\nendpoint fraud unchanged\n"
    )
    console.write("blue", "green", traffic="{blue: 90, green: 10}")
    out = console(f"diff {folder}", status=1)
    assert "deployment fraud/green create" in out
    assert "  traffic.blue: 100 → 90" in out
    assert console(f"apply {folder} --dry-run") == out
    assert "fraud/green" not in console.desk.state.deployments


def test_a_rollout_that_does_not_end_in_time_exits_with_4(console: Console) -> None:
    folder = console.write("red", traffic="{red: 100}")
    console(f"apply {folder} --timeout 0.1", status=4)
    assert "fraud/red: unknown" in console.err
    assert "fraud/red" in console.desk.state.deployments
    console(f"apply {folder} --no-wait")


def test_mistakes_in_files_exit_with_2_and_change_nothing(console: Console) -> None:
    folder = console.write("blue", traffic="{blue: 50}")
    console(f"apply {folder}", status=2)
    assert "endpoint.yml:3" in console.err
    assert console.desk.state.index == 0
    console("apply", status=2)


def test_pruning_keeps_what_serves_unless_told_otherwise(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    (console.folder / "other").mkdir()
    other = console.folder / "other" / "endpoint.yml"
    other.write_text("name: iris\nauth_mode: key\n")
    console(f"apply {other} --prune", status=5)
    assert "fraud has live traffic (blue 100 %)" in console.err
    assert set(console.desk.state.endpoints) == {"fraud", "iris"}
    console(f"apply {other} --prune --yes")
    assert set(console.desk.state.endpoints) == {"iris"}


def test_an_endpoint_that_serves_nobody_is_deleted_at_once(console: Console) -> None:
    console(f"apply {console.write('blue', traffic='{}')}")
    assert console("delete fraud") == "deleted endpoint fraud\n"


def test_on_a_terminal_it_is_asked_for(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    console(f"apply {console.write('blue')}")
    for answer, status in (("n\n", 130), ("y\n", 0)):
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stdin", terminal)
        console("delete fraud", status=status)
        assert "fraud has live traffic (blue 100 %). Delete it? [y/N]" in console.err
        assert bool(console.desk.state.endpoints) is (answer == "n\n")


def test_deleting_is_refused_while_traffic_flows(console: Console) -> None:
    folder = console.write("blue", "green")
    console(f"apply {folder}")
    console("delete fraud/blue", status=5)
    assert "100 % of the traffic" in console.err
    assert console("delete fraud/green") == "deleted deployment fraud/green\n"
    console("delete fruad", status=5)
    assert "did you mean fraud?" in console.err
    console(f"delete -f {folder}", status=5)
    assert console.err.endswith(
        "trioroute: TR0809 refused, nothing has changed: fraud has live traffic (blue 100 %): set "
        "that to 0 first, or delete it all the same: --yes\n"
    )
    assert set(console.desk.state.deployments) == {"fraud/blue"}
    assert console(f"delete -f {folder} --yes") == "deleted endpoint fraud\n"
    assert not console.desk.state.deployments
