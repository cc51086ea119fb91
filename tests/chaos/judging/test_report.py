"""Reports say what was skipped, what was violated, how to replay, and the verdict last."""

import json

import attrs

from chaos.history import Sample
from chaos.judging.report import judge, shown, to_json
from tests.chaos.judging.test_checkers import LEVELS, good


def test_a_green_run_names_its_kinds_last() -> None:
    history = good()
    history.skipped = {"wall-clock": "libfaketime"}
    judgement = judge(history, LEVELS)
    text = shown(judgement, replay="python -m chaos x --seed 1")
    assert judgement.is_green
    assert "SKIPPED fault=28 kind=wall-clock needs=libfaketime" in text
    assert "replay" not in text
    assert text.splitlines()[-1] == (
        "OK, 0 violations: 1 faults of 1 kinds, 1 kinds skipped, 0 faults unfelt (kill-coordinator)"
    )


def test_violations_come_with_the_replay_and_the_rest_of_many_is_counted() -> None:
    history = good()
    history.strays = [f"process {number}" for number in range(9)]
    text = shown(judge(history, LEVELS), replay="python -m chaos x --seed 1")
    assert text.count("outlived the run") == 5
    assert "nothing_leaks: 4 more" in text
    assert "replay: python -m chaos x --seed 1" in text
    assert text.splitlines()[-1].startswith("FAILED, 9 violations")


def test_a_run_with_too_little_load_is_not_green() -> None:
    judgement = judge(good(), attrs.evolve(LEVELS, rate_min=200.0))
    assert not judgement.is_green
    assert shown(judgement).splitlines()[-1].startswith("INVALID")


def test_a_machine_too_busy_is_told_from_a_run_that_proves_nothing_for_another_reason() -> None:
    history = good()
    few = attrs.evolve(LEVELS, rate_min=200.0)
    assert not judge(history, few).is_too_busy
    history.starved = [(3.0, 12.0)]
    assert judge(history, few).is_too_busy


def test_what_showed_that_a_fault_was_felt_is_said_and_what_nobody_felt_is_not_counted() -> None:
    history = good()
    history.spans.append(attrs.evolve(history.spans[0], kind="little-cpu", felt=""))
    text = shown(judge(history, LEVELS))
    assert "(goal 5); felt: it ended" in text
    assert "UNFELT fault=27 kind=little-cpu target=fe-0 at=20.0: counts as not done" in text
    assert text.splitlines()[-1] == (
        "INVALID: 1 faults of 1 kinds, 0 kinds skipped, 1 faults unfelt (kill-coordinator)"
    )


def test_what_nobody_looked_at_is_said() -> None:
    history = good()
    history.has_executions, history.before = False, None
    text = shown(judge(history, LEVELS))
    assert "SKIPPED I3, I4" in text
    assert "SKIPPED I7" in text
    assert "SKIPPED nobody_dies" not in text
    history.world = "cluster"
    assert "SKIPPED nobody_dies" in shown(judge(history, LEVELS))
    assert "SKIPPED I" not in shown(judge(good(), LEVELS))


def test_machines_get_the_same_as_json() -> None:
    history = good()
    history.starved = [(0.5, 1.0)]
    at = history.began_at + 2.0
    history.samples = [Sample(at=at, process="worker 1", memory_bytes=5, descriptors=3)]
    document = json.loads(json.dumps(to_json(judge(history, LEVELS))))
    assert document["starved"] == [[0.5, 1.0]]
    assert document["samples"] == [[2.0, "worker 1", 5, 3]]
    assert document["green"] is True
    assert [fault["kind"] for fault in document["faults"]] == ["kill-coordinator"]
    assert [row["outcome"] for row in document["not_ok"]] == ["broken"]


def test_growth_is_told_of_those_that_lived_long_enough_for_it() -> None:
    history = good()
    for name, until in (("worker 1", 1600), ("worker 2", 700)):
        history.samples += [
            Sample(at=float(at), process=name, memory_bytes=at, descriptors=3)
            for at in range(0, until, 10)
        ]
    lines = shown(judge(history, LEVELS)).splitlines()
    assert [line.split()[:2] for line in lines if "MiB/h" in line] == [["worker", "1"]]
    assert "  growth not judged of 1 processes that lived too short for it" in lines
