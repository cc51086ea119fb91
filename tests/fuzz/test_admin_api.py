"""A slice of `make api`: a few requests to each operation of the admin API."""

import importlib.util

import pytest

from tests.fuzz.admin_api import run


@pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None,
    reason="SKIPPED LOUDLY: no schemathesis; it is in the extra api (make api)",
)
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_admin_api_keeps_to_its_description() -> None:
    done = run(3, seed=1, phases="fuzzing")
    assert done.returncode == 0, done.stdout
    assert "Tested: 2" in done.stdout
