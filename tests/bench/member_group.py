"""Real members as processes on loopback, and what they say, for the benches of consensus."""

import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["MemberGroup", "percentile"]


def percentile(values: list[float], share: float) -> float:
    """The value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


class MemberGroup:
    """Processes running one module, by name; every line they print arrives in one queue."""

    def __init__(self, folder: Path, module: str, *arguments: str, count: int = 3) -> None:
        self.names = [f"fe-{number}" for number in range(count)]
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._folder = folder
        self._command = [sys.executable, "-m", module, *arguments]
        self._ports = free_ports(count)
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._incarnation = 0

    def start(self, name: str) -> None:
        """Start a member that is down."""
        self._incarnation += 1
        process = subprocess.Popen(
            [
                *self._command,
                *("--name", name),
                *("--ports", ",".join(map(str, self._ports))),
                *("--folder", str(self._folder)),
                *("--incarnation", str(self._incarnation)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes[name] = process
        threading.Thread(target=self._read, args=(name, process), daemon=True).start()

    def _read(self, name: str, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.put({"name": name, **json.loads(line)})

    def tell(self, name: str, command: str) -> None:
        """Send a command line."""
        stdin = self._processes[name].stdin
        assert stdin is not None
        stdin.write(command + "\n")
        stdin.flush()

    def signal(self, name: str, number: signal.Signals) -> float:
        """Send a signal; when it was sent."""
        at = time.monotonic()
        self._processes[name].send_signal(number)
        return at

    def reap(self, name: str) -> None:
        """Wait for a process that was told to end."""
        process = self._processes.pop(name)
        process.wait(timeout=10)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def wait_for(self, kind: str, *, within_s: float = 20, **expected: object) -> dict[str, Any]:
        """The next line of a kind, others dropped."""
        ends_at = time.monotonic() + within_s
        while True:
            try:
                line = self.lines.get(timeout=max(0.001, ends_at - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no line {kind} {expected} within {within_s:g} s") from None
            if line["kind"] == kind and all(line.get(k) == v for k, v in expected.items()):
                return line

    def stop(self) -> None:
        """End everything."""
        for process in self._processes.values():
            process.kill()
            process.wait()
