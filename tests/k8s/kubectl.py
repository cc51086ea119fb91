"""The real `kubectl` for tests, as somebody's who has nothing but a kubeconfig."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import attrs
import pytest

__all__ = ["Kubectl", "needs_kubectl"]

#: A deadline for what takes a second, on a busy machine.
_PATIENCE_S: Final = 60.0

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="SKIPPED LOUDLY: there is no kubectl on this machine"
)


@attrs.frozen
class Kubectl:
    """Runs it with a home folder of its own, and so without anybody's caches and settings."""

    kubeconfig: Path
    home: Path

    def run(self, *words: str, stdin: str = "", path: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end, however that is.

        Args:
            path: a folder with plugins.
        """
        variables = {
            "HOME": str(self.home),
            "KUBECONFIG": str(self.kubeconfig),
            "PATH": os.pathsep.join(filter(None, (path, os.environ["PATH"]))),
        }
        return subprocess.run(
            ["kubectl", *words],
            input=stdin,
            capture_output=True,
            check=False,
            text=True,
            timeout=_PATIENCE_S,
            env=variables,
        )

    def __call__(self, *words: str, stdin: str = "", path: str = "") -> str:
        """What it says; it must succeed."""
        done = self.run(*words, stdin=stdin, path=path)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout
