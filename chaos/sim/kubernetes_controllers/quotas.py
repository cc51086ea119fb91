"""What the controller manager does for ResourceQuotas: they say how much is used."""

from typing import Any, Final

from chaos.sim.kubernetes.objects import Objects
from chaos.sim.kubernetes_controllers.pods import KINDS, STATUS
from chaos.sim.kubernetes_rules.admission import used_by

__all__ = ["Quotas"]

Json = dict[str, Any]

_QUOTA: Final = KINDS["ResourceQuota"]
_POD: Final = KINDS["Pod"]


class Quotas:
    """The quota controller of one fake cluster; it counts pods."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def step(self) -> None:
        """One look at everything."""
        for quota in self._objects.store.list(_QUOTA):
            metadata, hard = quota["metadata"], quota["spec"].get("hard", {})
            used = str(used_by(self._objects.store.list(_POD, metadata["namespace"])))
            status: Json = {"hard": hard, "used": {name: used for name in hard if name == "pods"}}
            if quota["status"] != status:
                self._write(metadata, status)

    def _write(self, metadata: Json, status: Json) -> None:
        self._objects.patch(
            _QUOTA,
            metadata["namespace"],
            metadata["name"],
            change=lambda old: {**old, "status": status},
            write=STATUS,
        )
