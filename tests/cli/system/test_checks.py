"""Each check finds what it is for."""

import socket
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import running_admin
from trioroute.cli.system import checks
from trioroute.cli.system.checks import GROUPS, Patient
from trioroute.cli.system.verdicts import Check, Verdict
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System
from trioroute.core.status import CoordinatorStatus

DEAD = "http://127.0.0.1:9"


def look(group: str, patient: Patient) -> dict[str, Check]:
    return {check.id: check for check in GROUPS[group](patient)}


def patient_at(*urls: str, endpoint: str = "") -> Patient:
    names = tuple(f"fe-{number}" for number in range(len(urls)))
    system = System(admin_urls=urls, names=names)
    return Patient(data=None, client=ResourceClient(system), endpoint=endpoint)


def test_this_machine_can_run_it() -> None:
    found = look("runtime", Patient(data=None))
    assert not [check for check in found.values() if check.verdict is Verdict.BAD]
    assert found["runtime.python"].verdict is Verdict.GOOD


def test_what_this_machine_lacks_is_said_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_DESCRIPTORS_MIN", 10**9)
    monkeypatch.setattr(checks, "_CPUS_MIN", 10**6)
    found = look("runtime", Patient(data=None))
    for name in ("runtime.descriptors", "runtime.cpus"):
        assert found[name].verdict is Verdict.WARNING
        assert found[name].fix


def test_a_secret_that_others_can_read_is_found(tmp_path: Path) -> None:
    secret = tmp_path / "secret.key"
    secret.write_bytes(b"s" * 32)
    secret.chmod(0o644)
    found = look("data", Patient(data=tmp_path))
    assert found["data.secret"].verdict is Verdict.BAD
    assert "chmod 600" in found["data.secret"].fix
    secret.chmod(0o600)
    assert look("data", Patient(data=tmp_path))["data.secret"].verdict is Verdict.GOOD
    assert look("data", Patient(data=tmp_path / "new"))["data.folder"].text.endswith("can be made")


def test_a_taken_port_names_who_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(checks, "_PORTS", {port: "--port"})
        found = look("ports", Patient(data=tmp_path))[f"ports.{port}"]
    assert found.verdict is Verdict.BAD
    assert f"port {port} is taken: " in found.text
    assert "--port N" in found.fix
    assert look("ports", Patient(data=tmp_path))[f"ports.{port}"].verdict is Verdict.GOOD


def test_front_ends_that_disagree_or_are_silent_are_found() -> None:
    other = attrs.evolve(STATUS, coordinator=CoordinatorStatus(name="fe-9", epoch=2))
    with (
        running_admin(SmallView()) as one,
        running_admin(SmallView(current=other)) as two,
    ):
        found = look("system", patient_at(one, two, DEAD))
    assert found["system.coordinator"].verdict is Verdict.BAD
    assert "fe-9, epoch 2" in found["system.coordinator"].text
    assert found["system.fe-2"].verdict is Verdict.BAD
    assert found["system.fe-0"].verdict is Verdict.GOOD
    # Two of three voters are a majority: it works, and has nothing to spare.
    assert found["system.fe-0-peers"].verdict is Verdict.WARNING


def test_replicas_that_do_not_listen_are_found() -> None:
    with running_admin(SmallView()) as url:
        found = look("replicas", patient_at(url))
        problems = look("config", patient_at(url))
    assert found
    assert {check.verdict for check in found.values()} <= {Verdict.BAD, Verdict.WARNING}
    assert all("trioroute logs" in check.fix for check in found.values())
    assert any(check.verdict is Verdict.BAD for check in problems.values())


def test_a_deployment_that_failed_is_bad_and_slots_in_doubt_are_a_warning() -> None:
    (echo,) = STATUS.endpoints
    (blue,) = echo.deployments

    def config(**changes: Any) -> dict[str, Check]:
        endpoint = attrs.evolve(echo, deployments=(attrs.evolve(blue, **changes),))
        current = attrs.evolve(STATUS, front_ends=STATUS.front_ends[:1], endpoints=(endpoint,))
        with running_admin(SmallView(current=current)) as url:
            return look("config", patient_at(url))

    failed = config(provisioning_state="Failed", provisioning_reason="ImportError: x")["config.1"]
    assert failed.verdict is Verdict.BAD
    assert failed.text.startswith("deployment echo/blue failed: ImportError: x")
    doubted = config(in_doubt=1)
    assert doubted["config.note-1"].verdict is Verdict.WARNING
    assert "1 slot held back" in doubted["config.note-1"].text
    assert not any(check.verdict is Verdict.BAD for check in doubted.values())


def test_without_a_system_nothing_is_claimed() -> None:
    nothing = Patient(data=None, why_not="none runs")
    for group in ("system", "replicas", "config", "edge", "kubernetes"):
        assert {check.verdict for check in look(group, nothing).values()} == {Verdict.SKIPPED}


def test_a_request_is_sent_only_when_asked_for() -> None:
    with running_admin(SmallView()) as url, socket.create_server(("127.0.0.1", 0)) as scoring:
        system = System(
            admin_urls=(url,), scoring_url=f"http://127.0.0.1:{scoring.getsockname()[1]}"
        )
        quiet = Patient(data=None, client=ResourceClient(system))
        assert look("edge", quiet)["edge.invoke"].verdict is Verdict.SKIPPED
        asked = attrs.evolve(quiet, endpoint="missing")
        assert "no endpoint named missing" in look("edge", asked)["edge.invoke"].text
