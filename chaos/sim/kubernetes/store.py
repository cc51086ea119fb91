"""What the API server remembers: objects, one counter of versions, and every change since a while.

Pure: time comes in with each write, uids are made by the caller. Objects in here are never changed
in place; whoever writes brings a new one.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from chaos.sim.kubernetes.kinds import Kind

__all__ = ["Change", "Key", "Store", "key_of_definition"]

Json = dict[str, Any]


@attrs.frozen
class Key:
    """Where an object is kept; kinds of one resource name in two groups differ by the group."""

    resource: str
    namespace: str
    name: str


def key_of_definition(kind: Kind) -> Key:
    """Where the definition of a custom kind is kept."""
    return Key("customresourcedefinitions.apiextensions.k8s.io", "", kind.full_name)


@attrs.frozen
class Change:
    """One write.

    Attributes:
        version: of the store after it.
        before, after: None for an object that did not exist, or exists no longer; the last state
            of a deleted object, with the version of its deletion, is `last`.
    """

    version: int
    key: Key
    before: Json | None
    after: Json | None
    last: Json


class Store:
    """All objects of one cluster."""

    def __init__(self, version: int = 200) -> None:
        """Args:
        version: where the counter starts.
        """
        self.version = version
        self._objects: dict[Key, Json] = {}
        self._changes: list[Change] = []
        #: Called after each write.
        self.listeners: list[Callable[[], None]] = []
        #: No list of a version below this one: the store was compacted.
        self.compacted = 0
        #: No watch from a version below this one: the server has started since.
        self.forgotten = 0

    def items(self) -> list[tuple[Key, Json]]:
        """Everything that exists, of every kind."""
        return list(self._objects.items())

    def get(self, key: Key) -> Json | None:
        """The newest state."""
        return self._objects.get(key)

    def put(self, key: Key, obj: Json) -> Json:
        """Create or replace; returns the object with its version."""
        before = self._objects.get(key)
        after = self._stamped(obj)
        self._objects[key] = after
        self._record(Change(self.version, key, before, after, after))
        return after

    def remove(self, key: Key) -> Json:
        """Delete; returns the last state with the version of the deletion."""
        before = self._objects.pop(key)
        last = self._stamped(before)
        self._record(Change(self.version, key, before, None, last))
        return last

    def tick(self) -> None:
        """Something else was written: the counter is shared by all kinds."""
        self.version += 1

    def list(
        self, kind: Kind, namespace: str | None = None, *, at: int | None = None
    ) -> list[Json]:
        """The objects of a kind in the order of their names, now or as they were.

        Args:
            namespace: None for all.
            at: a version that is still remembered.
        """
        resource = kind.full_name
        state = {key: obj for key, obj in self._objects.items() if key.resource == resource}
        if at is not None:
            for change in reversed(self._changes):
                if change.version <= at:
                    break
                if change.key.resource != resource:
                    continue
                if change.before is None:
                    state.pop(change.key, None)
                else:
                    state[change.key] = change.before
        chosen = [key for key in state if namespace in (None, key.namespace)]
        return [state[key] for key in sorted(chosen, key=lambda key: (key.namespace, key.name))]

    def uids(self) -> set[str]:
        """Of everything that exists."""
        return {obj["metadata"]["uid"] for obj in self._objects.values()}

    def changes_after(self, version: int) -> Iterator[Change]:
        """Every remembered change after a version, oldest first."""
        start = bisect_right(self._changes, version, key=lambda change: change.version)
        yield from self._changes[start:]

    def compact(self) -> None:
        """Refuse lists of every state but the newest."""
        self.compacted = self.version

    def forget(self) -> None:
        """Refuse watches from every version but the newest, as a server does that has started."""
        self._changes.clear()
        self.compacted = self.forgotten = self.version

    def _record(self, change: Change) -> None:
        self._changes.append(change)
        for listener in self.listeners:
            listener()

    def _stamped(self, obj: Json) -> Json:
        self.version += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
        return {**obj, "metadata": metadata}
