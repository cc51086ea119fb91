"""Three members as processes in network namespaces, on a bridge whose ports are taken down.

For the tests of partitions and for their bench. Needs root and `ip`.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from consensus.certificates import write_throwaway_certificates

NAMES: Final = ("fe-0", "fe-1", "fe-2")
ROOT: Final = Path(__file__).parents[2]
_PREFIX: Final = f"trc{os.getpid() % 10_000}"


def missing() -> str:
    """What this machine lacks for it, or an empty string."""
    return "" if os.geteuid() == 0 and shutil.which("ip") else "needs root and ip(8)"


def ip(*arguments: str) -> bool:
    """Run one ip(8) command; whether it worked."""
    command = ["ip", *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Cluster:
    """A bridge, three namespaces and three members; what they print arrives in one list."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[dict[str, Any]] = []
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def build(self) -> bool:
        """Make the network; False when this machine does not allow it."""
        bridge = f"{_PREFIX}br"
        if not (ip("link", "add", bridge, "type", "bridge") and ip("link", "set", bridge, "up")):
            return False
        return all(self._build_member(number, bridge) for number in range(len(NAMES)))

    def _build_member(self, number: int, bridge: str) -> bool:
        space, outer, inner = f"{_PREFIX}n{number}", f"{_PREFIX}o{number}", f"{_PREFIX}i{number}"
        return (
            ip("netns", "add", space)
            and ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            and ip("link", "set", inner, "netns", space)
            and ip("link", "set", outer, "master", bridge, "up")
            and ip("-n", space, "addr", "add", f"10.231.77.{number + 1}/24", "dev", inner)
            and ip("-n", space, "link", "set", inner, "up")
            and ip("-n", space, "link", "set", "lo", "up")
        )

    def start(self) -> None:
        """Start the members."""
        certificates = self._folder / "certificates"
        write_throwaway_certificates(certificates, NAMES)
        for number, name in enumerate(NAMES):
            hosts = ",".join(f"10.231.77.{each + 1}" for each in range(len(NAMES)))
            process = subprocess.Popen(
                [
                    *("ip", "netns", "exec", f"{_PREFIX}n{number}"),
                    *(sys.executable, "-m", "tests.bench.consensus_member"),
                    *("--name", name, "--hosts", hosts, "--ports", "7946,7946,7946"),
                    *("--folder", str(self._folder), "--incarnation", "1"),
                    *("--certificates", str(certificates)),
                ],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._processes[name] = process
            threading.Thread(target=self._read, args=(name, process), daemon=True).start()

    def _read(self, name: str, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append({"name": name, **json.loads(line)})

    def set_reachable(self, name: str, *, is_reachable: bool) -> None:
        """Plug a member's cable in or out, at the bridge."""
        state = "up" if is_reachable else "down"
        assert ip("link", "set", f"{_PREFIX}o{NAMES.index(name)}", state)

    def cut(self, source: str, target: str) -> None:
        """What source sends to target goes to a hardware address that nobody has."""
        assert ip(*self._neighbour("replace", source, target), *("lladdr", "02:00:00:00:00:99"))

    def join(self, source: str, target: str) -> None:
        """Let source ask again for target's hardware address."""
        assert ip(*self._neighbour("del", source, target))

    def _neighbour(self, verb: str, source: str, target: str) -> tuple[str, ...]:
        number = NAMES.index(source)
        address = f"10.231.77.{NAMES.index(target) + 1}"
        where = ("-n", f"{_PREFIX}n{number}", "neigh", verb, address)
        return (*where, "dev", f"{_PREFIX}i{number}")

    def wait_office(self, count: int) -> dict[str, Any]:
        """The n-th office that began, ever."""
        ends_at = time.monotonic() + 40
        while time.monotonic() < ends_at:
            offices = self.offices()
            if len(offices) >= count:
                return offices[count - 1]
            time.sleep(0.02)
        raise TimeoutError(f"office {count} never began: {self.lines}")

    def offices(self) -> list[dict[str, Any]]:
        """Every office that began."""
        return [line for line in self.lines if line["kind"] == "office"]

    def terms(self) -> set[int]:
        """The members' terms now."""
        before = len(self.lines)
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.write("status\n")
            process.stdin.flush()
        for _ in itertools.takewhile(lambda _: len(self.lines) < before + 3, range(500)):
            time.sleep(0.02)
        return {line["term"] for line in self.lines[before:] if line["kind"] == "status"}

    def destroy(self) -> None:
        """End everything."""
        for process in self._processes.values():
            process.kill()
            process.communicate()
        for number in range(len(NAMES)):
            ip("link", "del", f"{_PREFIX}o{number}")
            ip("netns", "del", f"{_PREFIX}n{number}")
        ip("link", "del", f"{_PREFIX}br")
