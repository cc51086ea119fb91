"""raft status and transfer, drain."""

import json

from tests.cli.console import Console


def test_every_front_end_asked_has_a_row(console: Console) -> None:
    (row,) = json.loads(console("raft status -o json"))
    assert (row["front_end"], row["coordinator"], row["term"]) == ("fe-0", "fe-0", 4)
    console.url += ",http://127.0.0.1:9"
    alive, dead = json.loads(console("raft status -o json", status=1))
    assert alive["error"] == ""
    assert "cannot reach" in dead["error"]


def test_the_office_is_handed_over_by_the_coordinator(console: Console) -> None:
    assert console("raft transfer") == "fe-0 hands the coordinator's office over\n"
    assert console.view.written == ["transfer"]
    console("drain")
    assert console.view.written == ["transfer", "drain"]
    console.url = "http://127.0.0.1:9"
    console("raft transfer", status=3)


def test_a_front_end_is_drained_by_name(console: Console) -> None:
    console.url += ",http://127.0.0.1:9"
    console("drain", status=2)
    assert "name the front-end to drain" in console.err
    assert console("drain fe-0").startswith("fe-0: serving → draining")
    assert console.view.written == ["drain"]
    console("drain fe-7", status=2)
    assert "no front-end fe-7 answers" in console.err
