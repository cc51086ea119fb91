"""One replica as whoever runs it sees it: what a source reports and the coordinator decides on."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

import attrs

from trioroute.core.model import Source

__all__ = ["FoundReplica", "FoundState", "mark_of", "outdated"]

#: `starting`: its process does not accept connections yet. `running`: it does, or somebody else
#: answers for it. `backing-off`: it has ended, certainly, and a new one follows. `stopped`: it was
#: told to end and must not be used; it leaves the picture once its last process has gone.
FoundState = Literal["starting", "running", "backing-off", "stopped"]


@attrs.frozen(kw_only=True)
class FoundReplica:
    """One replica as its source sees it.

    Attributes:
        id: unique for ever; a restarted model server is a new replica.
        deployment: the deployment's key.
        port: 0 while none is chosen (its runtime is still being built).
        restarts: how often its place had to be filled again since it was asked for.
        failures: replicas of its place that ended, one after the other, since one of them was
            healthy; `last_failure` is why the last of them did.
        reason: one line why it does not run, or what it is waiting for; else empty.
        last_lines: the end of what it printed, when it did not live.
        started_at: seconds since 1970, 0.0 before the first start.
        made_from: the mark of the source that it runs; empty where sources cannot change.
    """

    id: str
    deployment: str
    host: str
    port: int
    pid: int | None = None
    state: FoundState = "running"
    restarts: int = 0
    reason: str = ""
    last_lines: tuple[str, ...] = ()
    started_at: float = 0.0
    made_from: str = ""
    failures: int = 0
    last_failure: str = ""

    def is_outdated(self, source: Source) -> bool:
        """Whether it runs something else than this source."""
        return bool(outdated([self], source))


def outdated(found: Iterable[FoundReplica], source: Source) -> set[str]:
    """The ids of those that run something else than this source; never what has no mark.

    The coordinator asks some times in each look at the queue, and marks are not cheap: a source
    of a thousand fixed addresses is long, and nothing at a fixed address has a mark.
    """
    marked = [each for each in found if each.made_from]
    mark = mark_of(source) if marked else ""
    return {each.id for each in marked if each.made_from != mark}


def mark_of(source: Source) -> str:
    """The same for equal sources, on every machine, and different for others."""
    plain = [
        (name, sorted(value.items()) if isinstance(value, Mapping) else value)
        for name, value in sorted(attrs.asdict(source, recurse=False).items())
    ]
    return hashlib.sha256(repr((type(source).__name__, plain)).encode()).hexdigest()[:16]
