"""Metric names keep Prometheus' rules."""

import re

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
