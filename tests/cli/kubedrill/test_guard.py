"""The guard of pods joins again whom it has parted, however it or the drill ends."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from tests.cli.kubedrill.installed import order_for
from tests.drills.kube.installation import install
from tests.drills.kube.test_parting import labels, policies
from tests.k8s.running import RunningCluster


@contextlib.contextmanager
def guarding(
    cluster: RunningCluster, environment: dict[str, str], lasts_s: float
) -> "Iterator[subprocess.Popen[bytes]]":
    """A guard that has parted trioroute-1."""
    install(cluster)
    module = [sys.executable, "-P", "-m", "trioroute.cli.kubedrill.guard", str(lasts_s)]
    with subprocess.Popen(module, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        try:
            assert popen.stdin is not None
            assert popen.stdout is not None
            order = order_for(cluster, environment)
            popen.stdin.write(msgspec.json.encode(order) + b"\n")
            popen.stdin.flush()
            assert popen.stdout.readline() == b"done\n"
            assert (labels(cluster), len(policies(cluster))) == (["trioroute-1"], 2)
            yield popen
        finally:
            popen.kill()


@pytest.mark.parametrize("how", ["the drill ends", "it hangs", "SIGTERM", "SIGKILL"])
def test_it_mends(how: str, cluster: RunningCluster, environment: dict[str, str]) -> None:
    with guarding(cluster, environment, 0.2 if how == "it hangs" else 60) as guard:
        assert guard.stdin is not None
        if how == "the drill ends":
            guard.stdin.close()
        elif how.startswith("SIG"):
            guard.send_signal(signal.Signals[how])
        guard.wait()
        is_left = how == "SIGKILL"
        assert (labels(cluster) != []) is is_left
        assert (len(policies(cluster)) == 2) is is_left
