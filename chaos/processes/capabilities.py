"""What this machine offers to faults: probed, never assumed; the answer names what is missing."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from chaos.faults import KINDS, Need
from chaos.lines.kinds import NETWORK_KINDS
from chaos.lines.packets import PacketWire
from chaos.processes.clocks import fake_clock_library

__all__ = ["freezer_root", "group_root", "impossible_kinds", "is_possible"]

_CGROUPS: Final = Path("/sys/fs/cgroup")
_PROBE_S: Final = 10


def group_root(controller: str) -> Path | None:
    """Where groups of a controller are made; None where they cannot be."""
    for root in (_CGROUPS / controller, _CGROUPS):
        is_v2 = (root / "cgroup.controllers").exists()
        has_it = root.name == controller or (
            is_v2 and controller in (root / "cgroup.subtree_control").read_text().split()
        )
        if has_it and os.access(root, os.W_OK):
            probe = root / f"chaos-probe-{os.getpid()}"
            with contextlib.suppress(OSError):
                probe.mkdir()
                probe.rmdir()
                return root
    return None


def freezer_root() -> Path | None:
    """As `group_root`; version 2 freezes without a controller."""
    root = group_root("freezer")
    if root is None and (_CGROUPS / "cgroup.controllers").exists():
        return _CGROUPS if os.access(_CGROUPS, os.W_OK) else None
    return root


def _runs(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, timeout=_PROBE_S, check=False)
        return done.returncode == 0
    return False


def _mounts() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() != 0 or not _runs("mount", "-t", "tmpfs", "-o", "size=64k", "t", folder):
            return False
        return _runs("umount", folder)


def _traces() -> bool:
    """Whether a process of ours, not started under it, can be traced and its calls delayed."""
    if shutil.which("strace") is None:
        return False
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"]) as child:
        try:
            inject = "inject=fsync:delay_enter=1000"
            command = ["strace", "-f", "-p", str(child.pid), "-e", "trace=fsync", "-e", inject]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
                assert tracer.stderr is not None
                says = tracer.stderr.readline()
                tracer.terminate()
            return "attached" in says
        finally:
            child.kill()


def _loses_packets() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        PacketWire().close()
        return True
    return False


_PROBES: Final[dict[Need, Callable[[], bool]]] = {
    Need.NOTHING: lambda: True,
    Need.FREEZER: lambda: freezer_root() is not None,
    Need.CPU_GROUP: lambda: group_root("cpu") is not None,
    Need.MEMORY_GROUP: lambda: group_root("memory") is not None,
    Need.MOUNT: _mounts,
    Need.TRACER: _traces,
    Need.LIMITS: lambda: shutil.which("prlimit") is not None,
    Need.CLOCK_NAMESPACE: lambda: _runs("unshare", "-T", "--monotonic", "60", "true"),
    Need.FAKE_CLOCK: lambda: fake_clock_library() is not None,
    Need.HOSTS_FILE: lambda: os.geteuid() == 0 and _runs("unshare", "-m", "true"),
    Need.PATCH: lambda: shutil.which("patch") is not None,
    Need.PACKETS: _loses_packets,
    Need.NETWORKS: lambda: _loses_packets() and shutil.which("nsenter") is not None,
}


def is_possible(need: Need) -> bool:
    """Probe one capability."""
    return _PROBES[need]()


def impossible_kinds(done_here: Iterator[str]) -> dict[str, str]:
    """Kinds of fault that cannot be had on this machine, and what each needs.

    Args:
        done_here: names of the kinds that the world has a way to do at all.
    """
    ways, every = set(done_here), (*KINDS, *NETWORK_KINDS)
    needs = {need: is_possible(need) for need in {kind.need for kind in every}}
    missing = {kind.name: kind.need.value for kind in every if not needs[kind.need]}
    missing |= {kind.name: "a way in this world" for kind in every if kind.name not in ways}
    return missing
