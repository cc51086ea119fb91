"""`doctor`'s groups runtime, data and ports: what this machine has to offer."""

import importlib.util
import math
import os
import resource
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from trioroute.app.host.ports import describe_port_owner
from trioroute.app.laptop.group import find_voters
from trioroute.cli.system.patient import Patient
from trioroute.cli.system.verdicts import Check, Verdict, judge
from trioroute.client.local import LOCK_NAME, lock_owner
from trioroute.errors import ConfigError

__all__ = ["check_data", "check_ports", "check_runtime"]

_MIB: Final = 1024 * 1024
_PYTHON_MIN, _PYTHON_BELOW = (3, 11), (3, 14)
_PACKAGES: Final = ("trio", "httptools", "hypercorn", "pysyncobj")
#: What `venv` needs and Debian keeps apart.
_VENV: Final = "ensurepip"
#: The clock of leases and authority (decision 27).
_CLOCK: Final = "CLOCK_BOOTTIME"
#: Where a container sees its own limits, in either version of control groups.
_CGROUP: Final = Path("/sys/fs/cgroup")
#: A front-end's connections, two descriptors for each exchange, and the pools.
_DESCRIPTORS_MIN: Final = 4096
#: What azureml-fe asks for (azure-reference.md, 3.16): 2 vCPU, 1.2 G.
_CPUS_MIN: Final = 2
_MEMORY_MIN: Final = 1200 * _MIB
#: A runtime for a model server takes 300 MiB, the log little.
_DISK_MIN: Final = 1024 * _MIB
_PORTS: Final = {8080: "--port", 9090: "--admin-port", 9091: "--admin-port", 9092: "--admin-port"}


def check_runtime(patient: Patient) -> Iterator[Check]:
    """Python, packages, limits of this machine."""
    release = sys.version.partition(" ")[0]
    is_right = _PYTHON_MIN <= sys.version_info[:2] < _PYTHON_BELOW
    yield judge("runtime.python", is_right, f"Python {release}", "use Python 3.11, 3.12 or 3.13")
    missing = [name for name in _PACKAGES if not _has(name)]
    shown = f"trio {version('trio')}" if _has("trio") else "packages"
    yield judge(
        "runtime.packages",
        not missing,
        f"{shown}, trioroute {version('trioroute')}" if not missing else f"no {missing[0]}",
        "install trioroute again: pip install --force-reinstall trioroute",
    )
    yield judge(
        "runtime.venv",
        importlib.util.find_spec(_VENV) is not None,
        "virtual environments can be made for model servers",
        "on Debian or Ubuntu: apt-get install python3-venv",
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge(
        "runtime.descriptors",
        hard >= _DESCRIPTORS_MIN,
        f"{hard} descriptors a process",
        f"raise the hard limit (ulimit -Hn {16 * _DESCRIPTORS_MIN})",
        bad=Verdict.WARNING,
    )
    yield from _check_machine(patient.data)


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _check_machine(data: Path | None) -> Iterator[Check]:
    cpus = min(float(len(os.sched_getaffinity(0))), _cpu_limit())
    memory = min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), _memory_limit())
    yield judge(
        "runtime.cpus",
        cpus >= _CPUS_MIN,
        f"{cpus:g} processors",
        f"three front-ends and their model servers want {_CPUS_MIN}; {_fewer(data)}",
        bad=Verdict.WARNING,
    )
    yield judge(
        "runtime.memory",
        memory >= _MEMORY_MIN,
        f"{memory // _MIB:.0f} MiB of memory",
        f"a system wants {_MEMORY_MIN // _MIB} MiB besides its models",
        bad=Verdict.WARNING,
    )
    try:
        time.clock_gettime(getattr(time, _CLOCK))
        has_clock = True
    except (AttributeError, OSError):
        has_clock = False
    fix = "leases need Linux' CLOCK_BOOTTIME: run on Linux 2.6.39 or newer"
    yield judge("runtime.clock", has_clock, "the clock counts time in suspend", fix)


def _fewer(data: Path | None) -> str:
    """How to run one front-end, which a folder that was made with three would refuse."""
    try:
        voters = None if data is None else find_voters(data)
    except ConfigError as error:
        return str(error)
    if voters is None or voters == 1:
        return "try --front-ends 1"
    return (
        f"in {data} {voters} vote for good, so one alone needs a folder of its own: "
        "trioroute up --front-ends 1 --data DIR"
    )


def _cpu_limit() -> float:
    """In processors; infinite where no control group says one."""
    quota, period = (
        _words(_CGROUP / "cpu.max", 2)
        or (
            *_words(_CGROUP / "cpu/cpu.cfs_quota_us", 1),
            *_words(_CGROUP / "cpu/cpu.cfs_period_us", 1),
        )
        or ("max", "1")
    )
    return int(quota) / int(period) if quota.isdigit() and int(period) else math.inf


def _memory_limit() -> float:
    """In bytes; infinite where no control group says one."""
    words = _words(_CGROUP / "memory.max", 1) or _words(_CGROUP / "memory/memory.limit_in_bytes", 1)
    return int(words[0]) if words and words[0].isdigit() else math.inf


def _words(path: Path, count: int) -> tuple[str, ...]:
    """Of a file of the kernel's; none where it is another or there is none."""
    try:
        words = tuple(path.read_text().split())
    except OSError:
        return ()
    return words if len(words) == count else ()


def check_data(patient: Patient) -> Iterator[Check]:
    """The data folder: rights, room, its secret."""
    if patient.data is None:
        yield Check("data.folder", Verdict.SKIPPED, "the system is not on this machine")
        return
    folder = patient.data
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    yield judge(
        "data.folder",
        os.access(there, os.W_OK | os.X_OK),
        f"{folder} can be written" if there == folder else f"{folder} can be made",
        f"give yourself the right to write in {there}, or choose another with --data DIR",
    )
    free = shutil.disk_usage(there).free
    yield judge(
        "data.space",
        free >= _DISK_MIN,
        f"{free // _MIB} MiB free",
        "make room: the log and model servers' environments are kept there",
        bad=Verdict.WARNING,
    )
    for name in ("secret.key",):
        path = folder / name
        if path.exists():
            is_private = not stat.S_IMODE(path.stat().st_mode) & 0o077
            fix = f"chmod 600 {path}, then replace the keys: others could read them"
            yield judge("data.secret", is_private, f"{name} is its owner's only", fix)


def check_ports(patient: Patient) -> Iterator[Check]:
    """Ports that `up` takes when nothing is said."""
    if patient.client is not None or patient.data is None:
        yield Check("ports", Verdict.SKIPPED, "a running system has its ports")
        return
    if _owner(patient.data) is not None:
        yield Check("ports", Verdict.SKIPPED, "a system is starting, and takes its ports")
        return
    for port, option in _PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                by = describe_port_owner(port) or error.strerror or "somebody"
                fix = f"end that, or start with {option} N (0 takes any)"
                yield Check(f"ports.{port}", Verdict.BAD, f"port {port} is taken: {by}", fix)
            else:
                yield Check(f"ports.{port}", Verdict.GOOD, f"port {port} is free")


def _owner(data: Path) -> int | None:
    try:
        return lock_owner((data / LOCK_NAME).read_bytes())
    except OSError:
        return None
