"""Metric names keep Prometheus' rules."""

import re
from pathlib import Path

from trioroute import telemetry
from trioroute.telemetry.names import ALL


def test_every_name_follows_prometheus_rules() -> None:
    for metric in ALL:
        assert re.fullmatch(r"trioroute_[a-z_]+[a-z]", metric.name)
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert metric.help.endswith(".")
        if metric.kind == "histogram":
            assert metric.name.endswith("_seconds")


def test_names_are_unique_and_no_replica_is_a_label_of_a_histogram() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL) > 20
    assert not [m for m in ALL if m.kind == "histogram" and "replica" in m.labels]


def test_the_manual_lists_exactly_what_is_published() -> None:
    manual = Path(telemetry.__path__[0], "README.md").read_text()
    rows = re.findall(r"^\| `(trioroute_\w+)` \| (\w+) \| (.+?) \|", manual, re.MULTILINE)
    assert rows == [
        (
            metric.name + "_total" * (metric.kind == "counter"),
            metric.kind,
            ", ".join(metric.labels) or "-",
        )
        for metric in ALL
    ]
