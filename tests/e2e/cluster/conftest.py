"""A cluster that cannot be used ends `make test-cluster` at once, in one sentence."""

import pytest

from chaos.pods.remote import check_remote
from tests.e2e.cluster.sites import is_remote
from trioroute.errors import ConfigError, ControlError


def pytest_configure() -> None:
    """Before anything is collected: pytest shows no traceback for an error of use."""
    if is_remote():
        try:
            check_remote()
        except (ConfigError, ControlError) as error:
            raise pytest.UsageError(str(error)) from None
