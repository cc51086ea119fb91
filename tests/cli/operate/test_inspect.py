"""get, describe and logs."""

import json
import subprocess
import sys

import attrs
import yaml

from tests.cli.console import Console, ready
from trioroute.cli.operate.inspect import _new_lines
from trioroute.core.status import ReplicaCondition, ReplicaStatus


def test_lists_are_tables_and_single_ones_have_every_field(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    header, row = console("get endpoints").splitlines()
    assert header.split()[:2] == ["NAME", "TRAFFIC"]
    assert row.split()[:2] == ["fraud", "blue=100"]
    (found,) = json.loads(console("get deployments fraud/blue -o json"))
    assert (found["provisioning_state"], found["instance_count"]) == ("Succeeded", 1)
    described = yaml.safe_load(console("describe endpoint fraud"))
    assert described["traffic"] == {"blue": 100}


def test_parts_can_be_queried(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    assert console("get deployments fraud --query [].name -o tsv") == "blue\n"
    console("get deployments --query [", status=2)


def test_front_ends_and_replicas_are_listed(console: Console) -> None:
    header, row, *_ = console("get front-ends").splitlines()
    assert header.split()[:3] == ["NAME", "ROLE", "IS"]
    assert row.split()[0] == "fe-0"
    assert json.loads(console("get replicas -o json")) == []


def test_replicas_have_their_id_and_are_chosen_by_what_they_belong_to(console: Console) -> None:
    _run_two_replicas(console)
    header, *rows = console("get replicas").splitlines()
    assert header.split()[:4] == ["ID", "ENDPOINT", "NAME", "DEPLOYMENT"]
    assert [row.split()[:4] for row in rows] == [
        [r, "fraud", "blue", "ready"] for r in ("r1", "r2")
    ]
    for name, count in {"fraud": 2, "fraud/blue": 2, "r2": 1, "fraud/green": 0}.items():
        assert len(json.loads(console(f"get replicas {name} -o json"))) == count


def test_one_of_a_kind_may_be_named_in_the_singular(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    for kinds in ("endpoint fraud", "endpoints fraud"):
        assert console(f"get {kinds} -o name") == "fraud\n"
    assert console("get deployment fraud/blue -o name") == "fraud/blue\n"
    for kind in ("front-end", "front-ends", "frontends"):
        assert console(f"get {kind} fe-0 -o name") == "fe-0\n"
    assert yaml.safe_load(console("describe front-end fe-0"))["name"] == "fe-0"
    console("describe replica r9", status=2)
    assert "no replica named r9" in console.err
    console("get events", status=2)
    assert "trioroute events" in console.err


def test_logs_name_the_replica_when_there_are_several(console: Console) -> None:
    _run_two_replicas(console)
    console.desk.lines = {"r1": ("one", "two", "three"), "r2": ("four",)}
    assert console("logs fraud/blue --lines 2") == "r1 two\nr1 three\nr2 four\n"
    rows = json.loads(console("logs fraud/blue --lines 1 -o json"))
    assert rows == [{"replica": "r1", "line": "three"}, {"replica": "r2", "line": "four"}]
    assert console("logs fraud/blue --query [-1].line -o tsv") == "four\n"
    console("logs fraud", status=2)
    console("logs fraud/bleu", status=5)


def _run_two_replicas(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    replicas = tuple(
        ReplicaStatus(id=name, state=ReplicaCondition.READY, slots=1) for name in ("r1", "r2")
    )
    (endpoint,) = console.view.current.endpoints
    rows = (ready("blue", replicas=replicas),)
    console.view.current = attrs.evolve(
        console.view.current, endpoints=(attrs.evolve(endpoint, deployments=rows),)
    )


def test_following_shows_only_what_is_new() -> None:
    assert _new_lines((), ("a", "b")) == ("a", "b")
    assert _new_lines(("a", "b"), ("a", "b")) == ()
    assert _new_lines(("a", "b"), ("b", "c")) == ("c",)
    assert _new_lines(("a", "b"), ("x",)) == ("x",)


def test_reading_costs_no_more_than_reading() -> None:
    """Import sets and not times: a shared machine's seconds say little."""
    script = (
        "import sys\nfrom trioroute.cli.main import main\n"
        "sys.argv = ['trioroute', 'get', 'endpoints', '--admin', 'http://127.0.0.1:9']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert ended.code == 3, ended.code\n"
        "heavy = {'trio', 'starlette', 'cattrs', 'rich', 'cryptography', 'consensus'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr
