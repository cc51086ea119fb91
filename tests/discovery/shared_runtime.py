"""One runtime for all tests that need a real model server: building it takes 10 to 100 seconds."""

from pathlib import Path

import pytest
import trio

from trioroute.demo import prepare
from trioroute.discovery.runtime import RuntimeStore, read_requirements

__all__ = ["CONDA_FILE", "runtime_python", "runtimes"]

#: The demo's own, so that its tests and these share the build.
CONDA_FILE = Path(prepare.__file__).parent / "digits" / "environment" / "conda.yml"


@pytest.fixture(scope="session")
def runtimes(request: pytest.FixtureRequest) -> Path:
    """The folder of runtimes that is kept between test runs."""
    assert request.config.cache is not None
    return Path(request.config.cache.mkdir("runtimes"))


@pytest.fixture(scope="session")
def runtime_python(runtimes: Path) -> Path:
    """The interpreter of the runtime for CONDA_FILE."""

    async def build() -> Path:
        return await RuntimeStore(runtimes).ensure(read_requirements(CONDA_FILE), lambda _: None)

    return trio.run(build)
