"""No request that the admin API's description allows, or nearly allows, gets an undescribed answer.

Run: make api ARGS="--examples 100". Schemathesis makes the requests from `/openapi.json` and judges
the answers by it: no 5xx but those described, right media types and schemas, refusal of what is
malformed, acceptance of what is not (a refusal by a rule, 409, counts as that), and chains of
operations (made, changed, read, deleted). The API is the real one, over a real registry. Acceptance
is not asked of two operations whose body repeats the names in the path (that they agree cannot be
said in a schema, and the answer to names that differ is 400) and of a token's, whose whole numbers
may not be written as 60.0, which JSON Schema calls an integer.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import running_admin
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System
from trioroute.core.model import Deployment, Endpoint, StaticSource

__all__ = ["run"]

#: Events without end: tests/admin/test_stream.py reads those.
_ENDLESS = "/v1/stream"
#: Schemathesis' settings, read from the folder that it runs in.
_SETTINGS = """
[[operations]]
include-operation-id = ["put_endpoint", "put_deployment", "post_token"]
checks.positive_data_acceptance.enabled = false
"""


def run(
    examples: int, *, seed: int | None = None, phases: str = "coverage,fuzzing,stateful"
) -> "subprocess.CompletedProcess[str]":
    """Send about so many requests to each operation.

    Args:
        seed: makes the same requests again.
        phases: schemathesis' own words.
    """
    view = SmallView(current=attrs.evolve(STATUS))
    with running_admin(view, desk=SmallDesk()) as url:
        client = ResourceClient(System(admin_urls=(url,)))
        # What most operations need to get further than "no such endpoint".
        client.put_endpoint(Endpoint(name="echo"))
        source = StaticSource(addresses=(("127.0.0.1", 9401),))
        client.put_deployment(Deployment(endpoint="echo", name="blue", source=source))
        words = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
        words += ["--exclude-path", _ENDLESS]
        words += ["--mode", "all", "--phases", phases, "--max-examples", str(examples)]
        words += ["--no-color", "--suppress-health-check", "all"]
        words += [] if seed is None else ["--seed", str(seed)]
        # It keeps what it found in the present folder.
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "schemathesis.toml").write_text(_SETTINGS)
            return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)


def main() -> int:
    """Print what schemathesis says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="requests for each operation")
    parser.add_argument("--seed", type=int, help="of an earlier run, to see it again")
    given = parser.parse_args()
    done = run(given.examples, seed=given.seed)
    print(done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
