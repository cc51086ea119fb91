"""One drill at a time on one installation: whoever drills has a Lease in its namespace."""

import contextlib
import datetime as dt
import getpass
import os
import socket
from collections.abc import Iterator
from typing import Final

from trioroute.discovery.kube.calls import KubeError
from trioroute.drills.kube.calls import CONFLICT, Api, Json, delete, find, path_of
from trioroute.drills.kube.policies import DRILL_LABEL
from trioroute.drills.world import WorldError

__all__ = ["LEASES", "break_lock", "lock_drills"]

#: Group and version of Leases.
LEASES: Final = "coordination.k8s.io/v1"
_NAME: Final = "trioroute-drill"
#: Longer than any drill takes; after this nobody waits for whoever was killed on the way.
_LASTS_S: Final = 900
_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


@contextlib.contextmanager
def lock_drills(api: Api) -> Iterator[None]:
    """Nobody else may drill this installation meanwhile.

    Raises:
        WorldError: somebody else does, or the Lease cannot be made.
    """
    path = path_of(api.namespace, "leases", group=LEASES)
    own = f"{path}/{_NAME}"
    try:
        made = api.send("POST", path, _lease())
    except KubeError as error:
        if error.status != CONFLICT:
            raise WorldError(
                f"cannot make a Lease, which keeps others from drilling: {error}"
            ) from None
        made = _take_over(api, path, own)
    try:
        yield
    finally:
        # What cannot be taken back runs out by itself.
        with contextlib.suppress(WorldError):
            delete(api, own, uid=made["metadata"]["uid"])


def break_lock(api: Api) -> bool:
    """Take the Lease from whoever has it; whether somebody had it. Raises WorldError."""
    return delete(api, path_of(api.namespace, "leases", _NAME, group=LEASES))


def _take_over(api: Api, path: str, own: str) -> Json:
    found = find(api, own)
    if found is not None:
        spec = found["spec"]
        since = spec.get("acquireTime", "")
        if since > (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=_LASTS_S)).strftime(_TIME):
            holder = spec.get("holderIdentity")
            raise WorldError(
                f"{holder} drills here since {since}: wait, or if that drill was killed, run "
                "`trioroute drill undo`"
            )
        delete(api, own, uid=found["metadata"]["uid"])
    try:
        return api.send("POST", path, _lease())
    except KubeError as error:
        raise WorldError(f"somebody else has begun a drill at this moment: {error}") from None


def _lease() -> Json:
    user = ""
    with contextlib.suppress(OSError, KeyError):
        user = getpass.getuser()
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": _NAME, "labels": {DRILL_LABEL: "lock"}},
        "spec": {
            "holderIdentity": f"{user}@{socket.gethostname()}, process {os.getpid()}",
            "acquireTime": dt.datetime.now(dt.UTC).strftime(_TIME),
            "leaseDurationSeconds": _LASTS_S,
        },
    }
