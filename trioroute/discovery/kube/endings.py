"""How a front-end's container ended, by what Kubernetes says of its pod: proof of death.

Each instance of a container has a file of its own for its termination message. The kubelet reads
it when that very instance has ended, in whatever way, and shows it with the instance's state. A
front-end writes its boot number there before any worker of it can have a slot. So a status with
that message proves that the boot's processes have ended, and those of every boot before it, which
had the data folder's lock; it stays true for ever, however old the status is (decision 25).

Nothing else in a status proves anything: a pod that is missing, waiting, Failed or Unknown may be
one whose machine nobody can ask, and its processes may run on.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

__all__ = ["CONTAINER", "Ending", "ending_of", "selector_of", "termination_message"]

Json = dict[str, Any]

#: The front-end's container in its pod.
CONTAINER: Final = "front-end"

#: The StatefulSet controller puts a pod's name on it; overlays that rename other labels leave it.
_POD_NAME: Final = "statefulset.kubernetes.io/pod-name"

#: A runtime that has something to say itself says it first, with a colon. A boot of more digits is
#: none: its incarnations would not fit into the 64 bits that the log has for them.
_SENTENCE: Final = re.compile(
    r"(?:.*: )?Front-end ([-a-z0-9]{1,63}) \(boot ([0-9]{1,12})\) has ended with all its workers\."
)

#: Reasons of a kubelet or runtime that does not know how a container ended: it lost sight of it.
_LOST_SIGHT: Final = frozenset({"ContainerStatusUnknown", "Unknown"})


@attrs.frozen(kw_only=True)
class Ending:
    """A container that has ended, and with it all processes of a front-end up to this boot.

    Attributes:
        boot: the boot number of its data folder (`app.data_folder`).
        how: in Kubernetes' words, as `OOMKilled, exit code 137`.
    """

    front_end: str
    boot: int
    how: str


def termination_message(front_end: str, boot: int) -> str:
    """What a front-end writes when it starts, to be read when its container has ended.

    One line, and the first: of long messages the kubelet keeps 4096 bytes at most.
    """
    return f"Front-end {front_end} (boot {boot}) has ended with all its workers.\n"


def ending_of(pod: Json) -> Ending | None:
    """The newest boot of a front-end that its pod's status proves to have ended, if it proves any.

    Where processes of a container could outlive it (a process namespace that it shares with others)
    nothing is proven.
    """
    spec = pod["spec"]
    if spec.get("shareProcessNamespace") or spec.get("hostPID"):
        return None
    return max(_endings(pod), key=lambda ending: ending.boot, default=None)


def selector_of(front_ends: Sequence[str]) -> str:
    """The label selector of these front-ends' pods."""
    return f"{_POD_NAME} in ({','.join(front_ends)})"


def _endings(pod: Json) -> Iterator[Ending]:
    name = pod["metadata"]["name"]
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status.get("name") != CONTAINER:
            continue
        for state in (status.get("state"), status.get("lastState")):
            ended = (state or {}).get("terminated") or {}
            ending = _read(ended)
            if ending is not None and ending.front_end == name:
                yield ending


def _read(ended: Json) -> Ending | None:
    reason = ended.get("reason") or ""
    first = str(ended.get("message") or "").partition("\n")[0]
    said = _SENTENCE.fullmatch(first)
    if said is None or reason in _LOST_SIGHT:
        return None
    how = f"{reason or 'ended'}, exit code {ended.get('exitCode')}"
    return Ending(front_end=said[1], boot=int(said[2]), how=how)
