"""The report for programs."""

import json
import re
from pathlib import Path
from typing import Any

import attrs

import chaos
from tests.drills.small_drill import evidence, request, strike
from trioroute.drills.catalogue import drill_named
from trioroute.drills.evidence import Evidence, Mind, Objection
from trioroute.drills.judging import judge
from trioroute.drills.report.record import SCHEMA, record_of, to_json

COORDINATOR = drill_named("coordinator")


def record(seen: Evidence) -> Any:
    made = record_of(COORDINATOR, seen, judge(COORDINATOR, seen), version="1.2")
    return json.loads(to_json(made))


def test_it_says_what_was_found_out() -> None:
    found = record(evidence())
    assert (found["schema"], found["verdict"], found["drill"]) == (SCHEMA, "passed", "coordinator")
    assert found["began_at"] == "2026-09-21T14:13:20+00:00"
    assert found["findings"][0]["id"] == "requests"
    assert found["strikes"][0]["gap_ms"] == 100.0
    assert found["timeline"]["coordinators"][1]["name"] == "fe-1"
    assert found["after"]["epoch"] == 2


def test_requests_are_told_apart_by_the_strike_and_add_up() -> None:
    slow = request(3.5, ended_s=4.0)
    lost = request(3.1, ended_s=3.2, status=0, port=7, reason="reset")
    found = record(evidence(requests=(*evidence().requests, slow, lost)))["requests"]
    assert found["sent"] == 77
    assert found["ok"] + found["broken"] + found["excused"] + found["failed"] == 77
    assert found["before"] == {"p50_ms": 20.0, "p99_ms": 20.0, "max_ms": 20.0}
    assert found["since"]["max_ms"] == 500.0
    assert found["reasons"] == {"broken: reset": 1}


def test_what_was_not_seen_is_null() -> None:
    hit = strike(gap_s=None, back_s=None, ended_s=None, ports=None)
    found = record(evidence(after=None, requests=(), strikes=(hit,)))
    assert found["after"] is None
    assert found["requests"]["since"] == {"p50_ms": None, "p99_ms": None, "max_ms": None}
    unseen = {name for name, value in found["strikes"][0].items() if value is None}
    assert unseen == {"gap_ms", "back_s", "ended_s", "connections_held"}


def test_the_runbooks_document_every_field() -> None:
    manual = Path(chaos.__path__[0], "RUNBOOKS.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \|", manual.partition("## Reports")[2], re.MULTILINE)
    assert rows == list(record(evidence()))


def test_the_longest_silence_and_what_was_said_beforehand_are_in_it() -> None:
    mind = Mind(endpoints=("echo",), text="two slots for three", back_s=5.8, over_s=9.0)
    calm = evidence(minds=(mind,))
    late = request(3.0, ended_s=9.0)
    found = record(attrs.evolve(calm, requests=(*calm.requests[:30], late)))
    assert found["minds"] == ["two slots for three"]
    assert found["requests"]["silence"] == {"from_s": 3.0, "to_s": 9.0, "lasted_ms": 6000.0}
    assert record(evidence(requests=()))["requests"]["silence"] is None


def test_the_slowest_answer_is_in_it_with_its_limit_and_what_explains_it() -> None:
    calm = evidence()
    probe = attrs.evolve(calm.probe, queue_wait_s=10.0)
    slow = request(3.1, ended_s=4.9, unsent_s=0.5)
    found = record(attrs.evolve(calm, probe=probe, requests=(*calm.requests, slow)))
    slowest = found["requests"]["slowest"]
    assert slowest.pop("why").startswith("The slowest answer took 1,800 ms. Due at second 3.1")
    assert slowest == {
        "due_s": 3.1,
        "ended_s": 4.9,
        "took_ms": 1800.0,
        "unsent_ms": 500.0,
        "limit_ms": 10_020.0,
        "phase": "healing",
        "target": "fe-0",
        "cause": "queue",
        "explained": True,
    }
    usual = record(calm)["requests"]["slowest"]
    assert (usual["cause"], usual["why"], usual["limit_ms"]) == ("usual", "", None)
    assert record(evidence(requests=()))["requests"]["slowest"] is None


def test_the_check_before_the_drill_is_in_it_with_what_was_overruled() -> None:
    assert record(evidence())["precheck"] == {"verdict": "passed", "objections": []}
    found = record(evidence(forced=(Objection("fe-2 is not ready", "wait"),)))
    assert found["forced"] == ["fe-2 is not ready"]
    assert found["precheck"] == {
        "verdict": "failed",
        "objections": [{"text": "fe-2 is not ready", "remedy": "wait"}],
    }
