"""The older model: parameters, defaults, versions and the remainder."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.model import AuthMode, Probe, ScaleKind, ScaleSettings, StaticSource
from trioroute.core.split import Splitter
from trioroute.errors import ConfigError
from trioroute.spec.load import load_documents
from trioroute.spec.v1 import (
    Version,
    Versions,
    add_version,
    change_version,
    decode_versions,
    deploy_configuration,
    encode_versions,
    remove_version,
    to_content,
    to_deployment,
    to_endpoint,
    to_traffic,
)
from trioroute.spec.written.documents import Document

SOURCE = StaticSource(addresses=(("a", 1),))


def versions(**percentiles: float) -> Versions:
    """Versions deployed in this order; the first is the default."""
    made: Versions = ()
    for name, percentile in percentiles.items():
        made = add_version("fraud", made, Version(name=name, traffic_percentile=percentile))
    return made


def test_defaults_are_those_of_the_older_model() -> None:
    made = to_deployment("fraud", Version(name="one"), SOURCE)
    assert (made.request_timeout_s, made.queue_wait_max_s, made.slots_per_replica) == (60, 0.5, 1)
    assert made.scale == ScaleSettings(kind=ScaleKind.TARGET_UTILIZATION, max_instances=10)
    assert made.liveness == Probe(initial_delay_s=310, failure_threshold=3)


def test_num_replicas_turns_autoscaling_off() -> None:
    configuration = deploy_configuration(num_replicas=3, scoring_timeout_ms=1000)
    made = to_deployment("fraud", Version(name="one", configuration=configuration), SOURCE)
    assert made.scale == ScaleSettings(instance_count=3)
    assert made.request_timeout_s == 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cpu_cores": 0}, "cpu_cores must be greater than zero."),
        ({"max_request_wait_time": -1}, "max_request_wait_time must be greater than zero."),
        ({"gpu_cores": -1}, "gpu_cores must be greater than or equal to zero."),
        ({"autoscale_enabled": True, "num_replicas": 1}, "num_replicas cannot be given"),
        ({"autoscale_enabled": False}, "num_replicas is required"),
        ({"num_replicas": 1, "autoscale_max_replicas": 2}, "autoscale_max_replicas cannot"),
        ({"autoscale_min_replicas": 11}, "autoscale_min_replicas cannot be greater"),
        ({"autoscale_target_utilization": 101}, "autoscale_target_utilization cannot"),
        ({"cpu_cores_limit": 0.05}, "cpu_cores_limit must be greater than or equal to cpu_cores."),
        ({"memory_gb": 2, "memory_gb_limit": 1}, "memory_gb_limit must be"),
        ({"auth_enabled": True, "token_auth_enabled": True}, "cannot both be set"),
        ({"traffic_percentile": 101}, "traffic_percentile cannot be negative or greater than 100."),
        ({"traffic_percentile": 0.001}, "two digits"),
        ({"replicas": 3}, "unknown parameter: replicas"),
    ],
)
def test_what_cannot_be_configured(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=r"^Invalid configuration, ") as caught:
        deploy_configuration(**parameters)
    assert message in str(caught.value)


def test_all_mistakes_come_together() -> None:
    with pytest.raises(ConfigError) as caught:
        deploy_configuration(cpu_cores=0, memory_gb=0)
    assert len(str(caught.value).splitlines()) == 2


def test_the_first_version_is_the_default_and_takes_the_remainder() -> None:
    made = versions(one=0, two=20, three=30)
    assert [version.is_default for version in made] == [True, False, False]
    assert to_traffic(made) == {"one": 50, "two": 20, "three": 30}


def test_parts_of_a_percent_can_be_split() -> None:
    traffic = to_traffic(versions(one=0, two=33.25))
    assert traffic == {"one": 6675, "two": 3325}
    splitter = Splitter(traffic)
    picks = [splitter.pick() for _ in range(400)]
    assert picks.count("two") == 133


def test_a_new_default_takes_the_mark() -> None:
    made = change_version(versions(one=10, two=20), "two", is_default=True)
    assert [version.is_default for version in made] == [False, True]
    assert to_traffic(made) == {"one": 10, "two": 90}


def test_there_is_one_control_version() -> None:
    made = change_version(versions(one=0, two=0), "one", is_control=True)
    made = change_version(made, "two", is_control=True)
    assert [version.version_type for version in made] == ["Treatment", "Control"]


def test_one_version_always_is_the_default() -> None:
    made = versions(one=0, two=0)
    with pytest.raises(ConfigError, match="another version the default"):
        change_version(made, "one", is_default=False)
    with pytest.raises(ConfigError, match="is the default"):
        remove_version(made, "one")
    assert remove_version(remove_version(made, "two"), "one") == ()


@pytest.mark.parametrize("name", ["one", "fraud", "ab", "Two", "a_b", "-ab", "x" * 33])
def test_names_that_cannot_be_used(name: str) -> None:
    with pytest.raises(ConfigError):
        add_version("fraud", versions(one=0), Version(name=name))


def test_more_traffic_than_there_is() -> None:
    made = versions(one=0, two=60)
    with pytest.raises(ConfigError, match="110 %"):
        add_version("fraud", made, Version(name="three", traffic_percentile=50))
    with pytest.raises(ConfigError, match="no version"):
        change_version(made, "four", traffic_percentile=1)


@pytest.mark.parametrize(
    ("parameters", "mode", "anonymous"),
    [
        ({}, AuthMode.KEY, False),
        ({"auth_enabled": False}, AuthMode.KEY, True),
        ({"auth_enabled": False, "token_auth_enabled": True}, AuthMode.AML_TOKEN, False),
    ],
)
def test_authentication(parameters: dict[str, Any], mode: AuthMode, anonymous: bool) -> None:
    made = to_endpoint("fraud", versions(one=0), deploy_configuration(**parameters))
    assert (made.auth_mode, made.anonymous) == (mode, anonymous)
    assert made.traffic == {"one": 100}


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=5))
def test_all_requests_go_somewhere(hundredths: list[int]) -> None:
    """Whatever the percentiles, accepted versions share exactly everything."""
    made: Versions = ()
    for number, share in enumerate(hundredths):
        new = Version(name=f"ver{number}", traffic_percentile=share / 100)
        try:
            made = add_version("fraud", made, new)
        except ConfigError:
            continue
    assert sum(to_traffic(made).values()) in (100, 10_000)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"num_replicas": 3, "gpu_cores": 1, "memory_gb_limit": 0.6},
        {"autoscale_min_replicas": 2, "autoscale_max_replicas": 9, "scoring_timeout_ms": 7000},
        {"period_seconds": 5, "timeout_seconds": 1, "replica_max_concurrent_requests": 8},
    ],
)
def test_as_a_file_of_the_newer_model_a_version_means_the_same(parameters: dict[str, int]) -> None:
    version = Version(name="versiona", configuration=deploy_configuration(**parameters))
    files = {"properties": {"trioroute.command": "serve {port}"}}
    content = to_content("fraud", version, files)
    document = Document(kind="deployment", folder="/", content=content)
    (loaded,) = load_documents([document], loopback=True).deployments
    assert loaded == to_deployment("fraud", version, loaded.source)


def test_versions_are_the_same_after_the_log_and_without_keys() -> None:
    configuration = deploy_configuration(cpu_cores=0.5, primary_key="planted", secondary_key="b")
    versions = (Version(name="versiona", is_control=True, configuration=configuration),)
    text = encode_versions(versions)
    assert "planted" not in text
    (found,) = decode_versions(text)
    assert (found.is_control, found.configuration.cpu_cores) == (True, 0.5)
    for broken in ("", "[]x", '[{"name": "a"}]', '[{"configuration": {"x": 1}}]'):
        with pytest.raises(ConfigError, match="cannot be read"):
            decode_versions(broken)
