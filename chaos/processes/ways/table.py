"""Every kind of fault that this world can do, by name."""

from typing import Final

from chaos.processes.ways import limits, lines, networks, people, resources, signals, versions
from chaos.processes.ways.aim import Way

__all__ = ["WAYS"]

WAYS: Final[dict[str, Way]] = {
    **signals.WAYS,
    **lines.WAYS,
    **networks.WAYS,
    **resources.WAYS,
    **limits.WAYS,
    **people.WAYS,
    **versions.WAYS,
}
