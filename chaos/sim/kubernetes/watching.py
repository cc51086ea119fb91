"""Watches: the changes of a kind from a version on, as the lines of one answer."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import attrs
import trio

from chaos.sim.kubernetes.errors import ApiError, gone
from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.listing import FUTURE_WAIT_S, ListOptions, check_future
from chaos.sim.kubernetes.store import Change, Store, key_of_definition

__all__ = ["Watch"]

Json = dict[str, Any]

#: The real server sends a bookmark about each minute, and one shortly before the end, seconds.
_BOOKMARK_EVERY_S: Final = 60.0
_BOOKMARK_BEFORE_END_S: Final = 2.0
#: How long a watch lasts that says nothing; the real server draws from 30 to 60 minutes, seconds.
_LAST_S: Final = 1_800.0
#: How long the watches of a custom kind go on when its definition has changed or gone, seconds.
_REDEFINED_LAST_S: Final = 1.0


@attrs.define(eq=False)
class Watch:
    """One watch that has been accepted.

    Attributes:
        timeout_s: when it ends by itself, 0 for the server's own limit.
        has_bookmarks: whether the client wants them.
        show: the form in which objects are wanted.
    """

    kind: Kind
    namespace: str | None
    options: ListOptions
    store: Store
    timeout_s: float = 0.0
    has_bookmarks: bool = False
    show: Callable[[Json], Json] = lambda obj: obj
    _written: trio.Event = attrs.field(factory=trio.Event, init=False)

    def check(self) -> None:
        """Raises ApiError 500 for a version that is no number, as the real server answers."""
        version = self.options.version
        if version and not version.isdigit():
            message = f'resourceVersion: Invalid value: "{version}": invalid syntax'
            raise ApiError(500, "", message)

    async def events(self) -> AsyncGenerator[Json, None]:
        """Every event, until the watch ends by itself."""
        self.store.listeners.append(self._poke)
        try:
            async with contextlib.aclosing(self._all_events()) as events:
                async for event in events:
                    yield event
        finally:
            self.store.listeners.remove(self._poke)

    async def _all_events(self) -> AsyncGenerator[Json, None]:
        start = self.options.version
        if start not in ("", "0") and int(start) < self.store.forgotten:
            message = f"too old resource version: {start} ({self.store.forgotten})"
            yield {"type": "ERROR", "object": gone(message).status()}
            return
        seen = int(start or 0)
        for change in self.store.changes_after(seen) if seen else ():
            if self._is_redefined(change):
                # What a changed definition serves is read anew: nothing before it is known.
                message = f"too old resource version: {start} ({change.version})"
                yield {"type": "ERROR", "object": gone(message).status()}
                return
        if self.options.initial_events and seen > self.store.version:
            await trio.sleep(FUTURE_WAIT_S)
            try:
                check_future(start, self.store)
            except ApiError as error:
                yield {"type": "ERROR", "object": error.status()}
                return
        if start in ("", "0") or self.options.initial_events:
            seen = self.store.version
            for obj in self.store.list(self.kind, self.namespace):
                if self.options.selects(obj):
                    yield {"type": "ADDED", "object": self.show(obj)}
            if self.options.initial_events and self.has_bookmarks:
                yield self._bookmark(seen, {"k8s.io/initial-events-end": "true"})
        async with contextlib.aclosing(self._changes(seen)) as changes:
            async for event in changes:
                yield event

    async def _changes(self, seen: int) -> AsyncGenerator[Json, None]:
        began_at = trio.current_time()
        ends_at = began_at + (self.timeout_s or _LAST_S)
        marks = [began_at + _BOOKMARK_EVERY_S, ends_at - _BOOKMARK_BEFORE_END_S]
        while trio.current_time() < ends_at:
            self._written = trio.Event()
            for change in self.store.changes_after(seen):
                seen = change.version
                if self._is_redefined(change):
                    ends_at = min(ends_at, trio.current_time() + _REDEFINED_LAST_S)
                event = self._event(change)
                if event is not None:
                    yield event
            with trio.move_on_at(min(ends_at, *marks) if self.has_bookmarks else ends_at):
                await self._written.wait()
            if self.has_bookmarks and trio.current_time() >= min(marks):
                marks.sort()
                marks[0] = marks[0] + _BOOKMARK_EVERY_S
                yield self._bookmark(max(seen, self.store.version), {})

    def _is_redefined(self, change: Change) -> bool:
        """Whether the change is one of what defines this kind; that it ends is not, that it did."""
        if not self.kind.is_custom or change.key != key_of_definition(self.kind):
            return False
        before, after = change.before, change.after
        return before is not None and (after is None or before["spec"] != after["spec"])

    def _event(self, change: Change) -> Json | None:
        """What the change is to this watch: it may enter or leave the selection."""
        key = change.key
        if key.resource != self.kind.full_name or self.namespace not in (None, key.namespace):
            return None
        was = change.before is not None and self.options.selects(change.before)
        is_in = change.after is not None and self.options.selects(change.after)
        if is_in:
            return {
                "type": "MODIFIED" if was else "ADDED",
                "object": self.show(change.last),
            }
        if not was or change.before is None:
            return None
        # What leaves the selection is shown as it was, with the version of the change.
        last = change.last if change.after is None else change.before
        version = change.last["metadata"]["resourceVersion"]
        metadata = {**last["metadata"], "resourceVersion": version}
        return {"type": "DELETED", "object": self.show({**last, "metadata": metadata})}

    def _bookmark(self, version: int, annotations: dict[str, str]) -> Json:
        metadata: Json = {"resourceVersion": str(version)}
        if annotations:
            metadata["annotations"] = annotations
        kind = {"kind": self.kind.kind, "apiVersion": self.kind.api_version}
        return {"type": "BOOKMARK", "object": {**kind, "metadata": metadata}}

    def _poke(self) -> None:
        self._written.set()
