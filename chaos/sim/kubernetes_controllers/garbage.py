"""What becomes of what was owned: it goes with its owner, before it, or stays as an orphan."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.objects import FOREGROUND, ORPHAN, Objects, key_of
from chaos.sim.kubernetes_controllers.pods import WRITE, end

__all__ = ["Garbage"]

Json = dict[str, Any]
_WAITING: Final = frozenset({FOREGROUND, ORPHAN})


class Garbage:
    """The garbage collector, and what ends namespaces and definitions, of one fake cluster."""

    def __init__(self, objects: Objects, kinds: Callable[[], list[Kind]]) -> None:
        """Args:
        kinds: all that are served now.
        """
        self._objects = objects
        self._kinds = kinds

    def step(self) -> None:
        """One look at everything."""
        kinds = self._kinds()
        self._empty_namespaces(kinds)
        self._end_definitions(kinds)
        by_resource = {kind.full_name: kind for kind in kinds}
        for kind, obj in self._everything(by_resource):
            if _WAITING & set(obj["metadata"].get("finalizers", ())):
                self._prepare(kind, obj, self._owned(by_resource))
        uids = self._objects.store.uids()
        for kind, obj in self._owned(by_resource):
            if all(one["uid"] not in uids for one in obj["metadata"]["ownerReferences"]):
                end(self._objects, kind, obj)

    def _everything(self, by_resource: Mapping[str, Kind]) -> list[tuple[Kind, Json]]:
        return [
            (by_resource[key.resource], obj)
            for key, obj in self._objects.store.items()
            if key.resource in by_resource
        ]

    def _owned(self, by_resource: Mapping[str, Kind]) -> list[tuple[Kind, Json]]:
        everything = self._everything(by_resource)
        return [each for each in everything if each[1]["metadata"].get("ownerReferences")]

    def _prepare(self, kind: Kind, owner: Json, owned: Sequence[tuple[Kind, Json]]) -> None:
        """What has to happen to what it owns before it may go; then it may."""
        uid, finalizers = owner["metadata"]["uid"], owner["metadata"]["finalizers"]
        if "deletionTimestamp" not in owner["metadata"]:
            return
        theirs = [(each, one) for each, one in owned if _refers(one, uid)]
        if ORPHAN in finalizers and theirs:
            for each, one in theirs:
                refs = one["metadata"]["ownerReferences"]
                left = [ref for ref in refs if ref["uid"] != uid]
                self._change(each, one, ownerReferences=left)
            return  # whoever manages it has a look before it goes
        if FOREGROUND in finalizers and (
            blocking := [each for each in theirs if _blocks(each[1], uid)]
        ):
            for each, one in blocking:
                has_more = any(_refers(other, one["metadata"]["uid"]) for _, other in owned)
                end(self._objects, each, one, policy="Foreground" if has_more else "Background")
            return
        kept = [one for one in finalizers if one not in _WAITING]
        self._change(kind, owner, finalizers=kept)

    def _change(self, kind: Kind, obj: Json, **parts: Any) -> None:
        metadata = obj["metadata"]
        self._objects.patch(
            kind,
            metadata.get("namespace", ""),
            metadata["name"],
            change=lambda old: {**old, "metadata": {**old["metadata"], **parts}},
            write=WRITE,
        )

    def _empty_namespaces(self, kinds: Sequence[Kind]) -> None:
        """One look at all that are being deleted; those that are empty go."""
        namespaces = next(kind for kind in kinds if kind.kind == "Namespace")
        for namespace in self._objects.store.list(namespaces):
            if "deletionTimestamp" not in namespace["metadata"]:
                continue
            name = namespace["metadata"]["name"]
            if not self._empty([kind for kind in kinds if kind.is_namespaced], name):
                self._objects.store.remove(key_of(namespaces, "", name))

    def _end_definitions(self, kinds: Sequence[Kind]) -> None:
        """One look at all that are being deleted: what they defined goes, and then they."""
        definitions = next(kind for kind in kinds if kind.kind == "CustomResourceDefinition")
        store = self._objects.store
        for definition in store.list(definitions):
            if "deletionTimestamp" not in definition["metadata"]:
                continue
            key = key_of(definitions, "", definition["metadata"]["name"])
            defined = [kind for kind in kinds if kind.full_name == key.name]
            for namespace in sorted({at.namespace for at, _ in store.items()}):
                self._empty(defined, namespace)
            if all(at.resource != key.name for at, _ in store.items()):
                store.remove(key)

    def _empty(self, kinds: Sequence[Kind], namespace: str) -> bool:
        """Delete what is in it; returns whether something still is, which has to end first."""
        store = self._objects.store
        for kind in kinds:
            for obj in store.list(kind, namespace):
                if "deletionTimestamp" not in obj["metadata"]:
                    name = obj["metadata"]["name"]
                    self._objects.delete(kind, namespace, name, options={}, is_dry=False)
        return any(store.list(kind, namespace) for kind in kinds)


def _refers(obj: Json, uid: str) -> bool:
    return any(ref["uid"] == uid for ref in obj["metadata"]["ownerReferences"])


def _blocks(obj: Json, uid: str) -> bool:
    refs = obj["metadata"]["ownerReferences"]
    return any(ref["uid"] == uid and ref.get("blockOwnerDeletion") for ref in refs)
