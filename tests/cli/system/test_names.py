"""Names are looked up here, and whoever needs them is told."""

import json
import socket
import threading
from pathlib import Path

import pytest

from tests.admin.small_view import SmallView
from tests.client.running_admin import running_admin
from trioroute.cli.system.names import check_names, issuer_hosts, resolve_all
from trioroute.cli.system.patient import Patient
from trioroute.cli.system.verdicts import Check, Verdict
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System
from trioroute.core.model import Endpoint

#: By RFC 6761 no resolver knows it.
NOWHERE = "nowhere.invalid"


def look(system: System) -> dict[str, Check]:
    found = check_names(Patient(data=None, client=ResourceClient(system)))
    return {one.id: one for one in found}


def test_a_name_that_is_not_found_says_who_needs_it() -> None:
    with running_admin(SmallView()) as url:
        here = url.replace("127.0.0.1", "localhost")
        system = System(
            admin_urls=(here, f"http://{NOWHERE}:9090"),
            names=("fe-0", "fe-1"),
            scoring_url="http://127.0.0.1:8080",
        )
        found = look(system)
    assert set(found) == {"dns.localhost", f"dns.{NOWHERE}"}
    assert found["dns.localhost"].verdict is Verdict.GOOD
    assert "from this machine (fe-0's admin port)" in found["dns.localhost"].text
    assert found[f"dns.{NOWHERE}"].verdict is Verdict.BAD
    assert "fe-1's admin port" in found[f"dns.{NOWHERE}"].text


def test_an_issuer_that_is_not_found_is_said_with_its_endpoint() -> None:
    document = {"properties": {"trioroute.oidc.issuer": f"https://{NOWHERE}/tenant"}}
    with running_admin(SmallView()) as url:
        system = System(admin_urls=(url,))
        client = ResourceClient(system)
        client.put_endpoint(Endpoint(name="iris"), json.dumps(document))
        (elsewhere,) = look(system).values()
        (here,) = check_names(Patient(data=Path(), client=client))
    assert f"{NOWHERE} is not found from this machine (issuer of tokens for iris)" in here.text
    assert (here.verdict, elsewhere.verdict) == (Verdict.BAD, Verdict.WARNING)


def test_numbers_need_no_names() -> None:
    system = System(admin_urls=("http://127.0.0.1:9",), scoring_url="http://[::1]:8080")
    (only,) = look(system).values()
    assert only.verdict is Verdict.SKIPPED


def test_nothing_running_needs_no_names() -> None:
    assert [one.verdict for one in check_names(Patient(data=None))] == [Verdict.SKIPPED]


def test_issuers_are_named_by_their_endpoints() -> None:
    properties = {
        "trioroute.oidc.issuer": "https://login.example/tenant",
        "trioroute.oidc.jwks": "/etc/keys.json",
    }
    assert list(issuer_hosts(properties)) == ["login.example"]
    assert list(issuer_hosts({"trioroute.oidc.issuer": "login"})) == []


def test_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def silent(host: str, *_: object, **__: object) -> list[object]:
        if host == "silent.example":
            over.wait()
        return [(0, 0, 0, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    found = resolve_all(["silent.example", "other.example"], 0.2)
    over.set()
    assert found == {"other.example": ["192.0.2.1"]}
