"""What a front-end leaves for whoever asks after it has ended: a pod's termination message.

Written when it starts, since who is killed writes nothing any more. What its first line proves
stands in `discovery.kube.endings`; a reason that is known at the end follows for
`kubectl describe pod`.
"""

import logging
from pathlib import Path
from typing import Final

import attrs

from trioroute.discovery.kube.endings import termination_message

__all__ = ["LastWords"]

#: The kubelet cuts what is longer than 4096 bytes.
_REASON_MAX: Final = 1000

_LOG: Final = logging.getLogger(__name__)


@attrs.frozen
class LastWords:
    """The file that Kubernetes reads when the container has ended; None where there is none."""

    path: Path | None

    def begin(self, front_end: str, boot: int) -> None:
        """Say whose end it will be. Before any worker can have a slot."""
        self._write("w", termination_message(front_end, boot))

    def add(self, reason: str) -> None:
        """Say why it ends, below that."""
        self._write("a", f"{reason[:_REASON_MAX]}\n")

    def _write(self, mode: str, text: str) -> None:
        if self.path is None:
            return
        try:
            with self.path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            _LOG.warning(
                "--termination-log %s: %s; if this front-end is killed and cannot start again, "
                "its slots wait longer",
                self.path,
                error.strerror,
            )
