"""The limits are checked when they are set, and the defaults are the contract's."""

import attrs
import pytest

from trioroute.wire.http import FORWARDED_METHODS, REFUSED_METHODS, Limits


def test_defaults_are_those_of_the_contract() -> None:
    limits = Limits()
    assert limits.method_bytes_max == 32
    assert limits.target_bytes_max == 16384
    assert limits.field_bytes_max == 16384
    assert limits.head_bytes_max == 65536
    assert limits.field_count_max == 128
    assert limits.chunk_line_bytes_max == 4096
    assert limits.chunk_extension_bytes_max == 16384
    assert (limits.trailer_count_max, limits.trailer_bytes_max) == (32, 8192)
    assert limits.body_bytes_max == 100 * 1024 * 1024
    assert (limits.head_read_s, limits.body_idle_s, limits.client_idle_s) == (10, 30, 75)
    assert limits.response_idle_s == 300
    assert (limits.connect_s, limits.upstream_idle_s, limits.write_stall_s) == (1, 1.5, 60)
    assert (limits.interim_count_max, limits.relay_bytes_max) == (16, 65536)
    assert (limits.connection_count_max, limits.connection_per_address_max) == (10_000, 256)


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Limits)])
def test_every_limit_is_settable_and_must_be_above_zero(name: str) -> None:
    value = getattr(Limits(), name)
    assert getattr(Limits(**{name: value}), name) == value
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})


def test_limits_of_limits() -> None:
    with pytest.raises(ValueError, match="target_bytes_max"):
        Limits(target_bytes_max=7999)
    with pytest.raises(ValueError, match="linger_s"):
        Limits(linger_s=86_400.5)
    with pytest.raises(ValueError, match="linger_s"):
        Limits(linger_s=float("nan"))
    with pytest.raises(TypeError):
        Limits(field_count_max=1.5)  # type: ignore[arg-type]


def test_no_method_is_both_forwarded_and_refused() -> None:
    assert not FORWARDED_METHODS & REFUSED_METHODS
