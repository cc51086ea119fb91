"""What cannot work says so in one message, with a status, and leaves nothing running."""

import socket
import subprocess
from pathlib import Path

import pytest

from tests.e2e.system import (
    command_line,
    marked_environment,
    our_processes,
    running_up,
    wait_until_nothing_runs,
    write_files,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def run_up(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """An `up` that must end by itself."""
    ports = ["--port", "0", "--admin-port", "0"]
    done = subprocess.run(
        command_line("up", "--data", folder / "data", *ports, *arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=folder,
        env=marked_environment(folder / "data"),
    )
    wait_until_nothing_runs(folder / "data")
    assert "/trioroute/app/" not in done.stderr, f"a traceback of ours: {done.stderr}"
    assert done.stdout == ""
    return done


def test_a_missing_file(tmp_path: Path) -> None:
    done = run_up(tmp_path, tmp_path / "missing.yml")
    assert done.returncode == 2
    assert f"{tmp_path / 'missing.yml'}: TR0001" in done.stderr


def test_broken_yaml_names_file_line_and_column(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0)
    (tmp_path / "endpoint.yml").write_text("name: witness\ntraffic: {blue: 100\n")
    done = run_up(tmp_path, tmp_path / "endpoint.yml")
    assert done.returncode == 2
    assert "endpoint.yml:" in done.stderr
    assert "TR0002" in done.stderr


def test_an_unknown_field_gets_the_nearest_name(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0)
    path = tmp_path / "deployment.yml"
    path.write_text(path.read_text().replace("instance_count", "instance_cout"))
    done = run_up(tmp_path, tmp_path)
    assert done.returncode == 2
    assert "deployment.yml:4" in done.stderr
    assert "instance_count" in done.stderr


def test_two_endpoints_of_one_name(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0)
    (tmp_path / "again.yml").write_text((tmp_path / "endpoint.yml").read_text())
    done = run_up(tmp_path, tmp_path)
    assert done.returncode == 2
    assert "TR0301" in done.stderr


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_taken_port_names_its_owner(option: str, tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_up(tmp_path, tmp_path, option, port)
    assert done.returncode == 2
    assert f"port {port} is taken by process " in done.stderr
    assert f"choose another port with {option}" in done.stderr


def test_an_unwritable_data_folder(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0)
    (tmp_path / "data").write_text("a file")
    done = run_up(tmp_path, tmp_path)
    assert done.returncode == 2
    assert f"data folder {tmp_path / 'data'} cannot be written" in done.stderr


def test_a_second_up_on_the_same_folder(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0)
    with running_up(tmp_path, "--front-ends", "1") as system:
        done = subprocess.run(
            command_line("up", tmp_path, "--data", system.data, "--port", "0", "--admin-port", "0"),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        assert f"is in use by process {system.process.pid}" in done.stderr
        assert our_processes(system.data), "the first one goes on"


def test_replicas_that_never_start_say_why(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0)
    path = tmp_path / "deployment.yml"
    lines = path.read_text().splitlines()
    (tmp_path / "broken.py").write_text("raise RuntimeError('no such model')\n")
    lines[-1] = f'  trioroute.command: "python3 {tmp_path / "broken.py"} {{port}}"'
    path.write_text("\n".join(lines))
    done = run_up(tmp_path, tmp_path)
    assert done.returncode == 1
    assert "deployment witness/blue does not start" in done.stderr
    assert "    RuntimeError: no such model" in done.stderr, "the last lines that it printed"
