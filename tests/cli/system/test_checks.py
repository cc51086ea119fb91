"""Each check finds what it is for."""

import socket
import time
from email.utils import formatdate
from typing import Any

import attrs

from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import listening_port, running_admin
from trioroute.cli.system.checks import GROUPS
from trioroute.cli.system.patient import Patient
from trioroute.cli.system.verdicts import Check, Verdict
from trioroute.client.http import AdminClient
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System
from trioroute.core.status import CoordinatorStatus, ReplicaCondition, ReplicaStatus

DEAD = "http://127.0.0.1:9"


def look(group: str, patient: Patient) -> dict[str, Check]:
    return {check.id: check for check in GROUPS[group](patient)}


def patient_at(*urls: str, endpoint: str = "") -> Patient:
    names = tuple(f"fe-{number}" for number in range(len(urls)))
    system = System(admin_urls=urls, names=names)
    return Patient(data=None, client=ResourceClient(system), endpoint=endpoint)


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


def test_front_ends_whose_clocks_differ_are_told_and_why_it_matters() -> None:
    with running_admin(SmallView()) as one:
        status = AdminClient(one).ask("GET", "/v1/status")
        for late_s, verdict in ((60, Verdict.WARNING), (0, Verdict.GOOD)):
            date = formatdate(time.time() - late_s, usegmt=True)
            answer = (
                f"HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: {len(status)}\r\n\r\n"
            ).encode() + status
            with listening_port(answer) as other:
                found = look("system", patient_at(one, f"http://127.0.0.1:{other}"))
            assert found["system.clocks"].verdict is verdict
            if late_s:
                assert "the clock of fe-0 is 60 s ahead of that of fe-1" in (
                    found["system.clocks"].text.replace("59 s", "60 s").replace("61 s", "60 s")
                )
                assert "leases and elections count no wall clock" in found["system.clocks"].fix


def test_front_ends_of_different_versions_and_terms_are_told() -> None:
    assert STATUS.raft is not None
    other = attrs.evolve(STATUS, version="9.9.9", raft=attrs.evolve(STATUS.raft, term=9))
    with running_admin(SmallView()) as one, running_admin(SmallView(current=other)) as two:
        found = look("system", patient_at(one, two))
    assert found["system.versions"].verdict is Verdict.WARNING
    assert "9.9.9" in found["system.versions"].text
    assert found["system.term"].verdict is Verdict.WARNING
    assert "fe-0 4, fe-1 9" in found["system.term"].text


def test_a_front_end_without_a_majority_is_bad() -> None:
    assert STATUS.raft is not None
    alone = attrs.evolve(STATUS, raft=attrs.evolve(STATUS.raft, connected=1))
    with running_admin(SmallView(current=alone)) as url:
        found = look("system", patient_at(url))
    assert found["system.fe-0-peers"].verdict is Verdict.BAD
    assert "1 of 3 voters" in found["system.fe-0-peers"].text


def test_an_even_number_of_front_ends_is_told() -> None:
    with running_admin(SmallView()) as url:
        found = look("config", patient_at(url))
    assert found["config.front-ends"].verdict is Verdict.WARNING
    assert found["config.front-ends"].text == "2 front-ends"


def test_an_address_where_nobody_listens_is_a_dead_replica() -> None:
    (echo,) = STATUS.endpoints
    (blue,) = echo.deployments

    def replicas(port: int) -> Check:
        replica = ReplicaStatus(
            id="r1", state=ReplicaCondition.READY, slots=1, address=f"127.0.0.1:{port}"
        )
        endpoint = attrs.evolve(echo, deployments=(attrs.evolve(blue, replicas=(replica,)),))
        with running_admin(SmallView(current=attrs.evolve(STATUS, endpoints=(endpoint,)))) as url:
            return look("replicas", patient_at(url))["replicas.r1"]

    assert replicas(9).verdict is Verdict.BAD
    assert "Connection refused" in replicas(9).text
    with socket.create_server(("127.0.0.1", 0)) as there:
        assert replicas(there.getsockname()[1]).verdict is Verdict.GOOD


def test_a_scoring_address_that_takes_no_connections_is_bad() -> None:
    with running_admin(SmallView()) as url:
        closed = System(admin_urls=(url,), scoring_url="http://127.0.0.1:9")
        found = look("edge", Patient(data=None, client=ResourceClient(closed)))
        assert found["edge.scoring"].verdict is Verdict.BAD
        unknown = System(admin_urls=(url,))
        found = look("edge", Patient(data=None, client=ResourceClient(unknown)))
        assert found["edge.scoring"].verdict is Verdict.WARNING
        assert "TRIOROUTE_URL" in found["edge.scoring"].fix
