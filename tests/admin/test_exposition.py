"""Both text formats, read back by prometheus_client's parsers."""

from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic

from trioroute.admin.exposition import (
    Family,
    HistogramFamily,
    content_type,
    encode,
    is_openmetrics_wanted,
)
from trioroute.telemetry.histograms import Distribution
from trioroute.telemetry.names import Metric

GAUGE = Metric("some_ratio", "gauge", 'A "quoted" \\ help.', ("endpoint", "deployment"))
COUNTER = Metric("some_things", "counter", "Things.", ("endpoint", "deployment"))
BARE = Metric("some_bare", "counter", "Bare.")
TIMES = Metric("some_seconds", "histogram", "Times.", ("endpoint",))
BARE_TIMES = Metric("bare_seconds", "histogram", "Times.")

Parse = Callable[[str], Iterable[Any]]
PARSERS = [(classic, False), (cast("Parse", openmetrics), True)]


def samples_of(parse: Parse, body: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(("parse", "is_openmetrics"), PARSERS)
@given(
    endpoint=st.text(),
    deployment=st.text(),
    value=st.floats(allow_nan=False) | st.integers(0, 2**53),
    count=st.integers(0, 2**53),
)
def test_labels_and_values_are_read_back_as_they_were(
    parse: Parse,
    is_openmetrics: bool,
    endpoint: str,
    deployment: str,
    value: float,
    count: int,
) -> None:
    families = [
        Family(GAUGE, [((endpoint, deployment), value)]),
        Family(COUNTER, [((endpoint, deployment), count)]),
        Family(BARE, [((), count)]),
    ]
    found = samples_of(parse, encode(families, is_openmetrics=is_openmetrics))
    labels = frozenset({("endpoint", endpoint), ("deployment", deployment)})
    assert found == {
        ("some_ratio", labels): value,
        ("some_things_total", labels): count,
        ("some_bare_total", frozenset()): count,
    }


@pytest.mark.parametrize(("parse", "is_openmetrics"), PARSERS)
def test_a_histogram_is_cumulative_and_complete(parse: Parse, is_openmetrics: bool) -> None:
    distribution = Distribution((1, 0, 2, 3), 12.5)
    families = [
        HistogramFamily(TIMES, (0.5, 1, 2.0), [(("echo",), distribution)]),
        HistogramFamily(BARE_TIMES, (0.5, 1, 2.0), [((), distribution)]),
    ]
    found = samples_of(parse, encode(families, is_openmetrics=is_openmetrics))
    for name, labels in (("some_seconds", {("endpoint", "echo")}), ("bare_seconds", set())):
        for edge, count in (("0.5", 1), ("1.0", 1), ("2.0", 3), ("+Inf", 6)):
            assert found[f"{name}_bucket", frozenset({*labels, ("le", edge)})] == count
        assert found[f"{name}_count", frozenset(labels)] == 6
        assert found[f"{name}_sum", frozenset(labels)] == 12.5


@pytest.mark.parametrize(("parse", "is_openmetrics"), PARSERS)
def test_kind_and_help_are_told(parse: Parse, is_openmetrics: bool) -> None:
    families = [Family(GAUGE, []), Family(COUNTER, [])]
    found = {f.name: f for f in parse(encode(families, is_openmetrics=is_openmetrics).decode())}
    assert (found["some_ratio"].type, found["some_things"].type) == ("gauge", "counter")
    assert found["some_ratio"].documentation == GAUGE.help


@pytest.mark.parametrize(
    ("accept", "is_wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2", True),
    ],
)
def test_the_scraper_chooses_the_format(accept: str, is_wanted: bool) -> None:
    assert is_openmetrics_wanted(accept) is is_wanted
    assert ("openmetrics" in content_type(is_openmetrics=is_wanted)) is is_wanted
