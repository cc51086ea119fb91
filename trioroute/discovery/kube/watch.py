"""Objects of one kind as they are now: the official client's SharedInformer, hopping to Trio.

The informer runs on a thread of its own. What it leaves to us, since it has none of it: time-outs,
pauses between tries (it asks again at once while connections are refused), resuming from the
newest version, and saying when it has seen everything once.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import trio
import urllib3
from kubernetes.client.exceptions import ApiException
from kubernetes.informer import SharedInformer

from trioroute.discovery.kube.calls import KubeError, Lister
from trioroute.net.backoff import Backoff

__all__ = ["KubeWatch"]

Json = dict[str, Any]

_LOG: Final = logging.getLogger(__name__)

#: Pauses after a failure, seconds. The most is what an API server that is back waits for us.
_PAUSE_FIRST_S: Final = 0.2
_PAUSE_MAX_S: Final = 3.0
#: A watch that ends sooner without an event counts as a failure: a proxy may refuse that way.
_SHORT_S: Final = 1.0

#: To connect, and between two bytes. Lists come at once; a quiet watch has a bookmark a minute.
_LIST_TIMEOUT_S: Final = (2.0, 30.0)
_WATCH_TIMEOUT_S: Final = (2.0, 90.0)
#: How long one watch lasts at most. Ended by the server in order, not by a proxy in between.
_WATCH_LASTS_S: Final = (240, 300)

#: Ending waits for the informer's thread at most this long; it is a daemon's, seconds.
_STOP_S: Final = 3.0

# It logs a stack trace for each refused connection. What goes wrong is in `KubeWatch.problem`.
logging.getLogger("kubernetes.informer.informer").setLevel(logging.CRITICAL)


class KubeWatch:
    """One kind's objects in one namespace. Read on the Trio thread only.

    While the API server cannot be asked, what was known last stays: `problem` says since why.
    """

    def __init__(
        self,
        lister: Lister,
        *,
        what: str,
        namespace: str,
        changed: Callable[[], None],
        selector: str | None = None,
    ) -> None:
        """Args:
        what: these objects in words, for the log.
        changed: called on the Trio thread after one or several changes.
        """
        self.objects: dict[str, Json] = {}
        self.is_synced = False
        self.problem = ""
        self._name = f"{what} in namespace {namespace}"
        self._changed = changed
        self._lister = lister
        self._news: dict[str, Json | None] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._backoff = Backoff(first_s=_PAUSE_FIRST_S, max_s=_PAUSE_MAX_S)
        self._watch_began_at: float | None = None
        self._had_event = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._has_listed = False
        self._trouble = ""
        self._informer = SharedInformer(  # type: ignore[no-untyped-call]
            self._make_list_function(),
            namespace=namespace,
            label_selector=selector,
            key_func=_uid_of,
        )
        handlers = {
            "ADDED": self._put,
            "MODIFIED": self._put,
            "DELETED": self._remove,
            "BOOKMARK": self._mark,
        }
        for event, handler in handlers.items():
            self._informer.add_event_handler(event, handler)  # type: ignore[no-untyped-call]

    async def run(self) -> None:
        """Watch until cancelled."""
        self._token = trio.lowlevel.current_trio_token()
        self._informer.start()  # type: ignore[no-untyped-call]
        try:
            await trio.sleep_forever()
        finally:
            self._stopping.set()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _STOP_S):
                await trio.to_thread.run_sync(self._informer.stop, abandon_on_cancel=True)

    def note(self, obj: Json) -> None:
        """Take the answer to a write of ours, unless something newer has been seen meanwhile."""
        known = self.objects.get(_uid_of(obj))
        if known is None or _version_of(obj) > _version_of(known):
            self.objects[_uid_of(obj)] = obj

    def _make_list_function(self) -> Lister:
        def ask(**kwargs: Any) -> Any:
            return self._watch(kwargs) if kwargs.get("watch") else self._list(kwargs)

        # The client reads this: only for objects of a known type does a watch note its version.
        ask.__doc__ = ":return: object"
        return ask

    def _list(self, kwargs: Json) -> Any:
        """On the informer's thread, which waits five seconds after a failure: none is shown."""
        while not self._stopping.is_set():
            try:
                response = self._lister(
                    **kwargs, _preload_content=False, _request_timeout=_LIST_TIMEOUT_S
                )
                body = json.loads(response.data)
            except (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                self._pause(KubeError.of(error))
                continue
            self._backoff.reset()
            metadata = body["metadata"]
            version = SimpleNamespace(resource_version=metadata["resourceVersion"])
            return SimpleNamespace(items=body["items"], metadata=version)
        raise _StoppedError

    def _watch(self, kwargs: Json) -> Any:
        """On the informer's thread: the answer to stream; after a pause if the last was short."""
        self._end_watch()
        if self._stopping.is_set():
            raise _StoppedError
        self._hop(has_listed=True)
        kwargs["timeout_seconds"] = random.randint(*_WATCH_LASTS_S)  # noqa: S311 - spreads load
        kwargs["allow_watch_bookmarks"] = True
        self._watch_began_at = time.monotonic()
        self._had_event = False
        try:
            response = self._lister(**kwargs, _request_timeout=_WATCH_TIMEOUT_S)
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            self._watch_began_at = None
            if not isinstance(error, ApiException) or error.status != 410:
                self._pause(KubeError.of(error))
            raise
        self._hop(trouble="")
        return response

    def _end_watch(self) -> None:
        """Was the last watch cut off before it was any use?"""
        began_at, self._watch_began_at = self._watch_began_at, None
        if began_at is None:
            return
        if self._had_event or time.monotonic() - began_at >= _SHORT_S:
            self._backoff.reset()
        else:
            self._pause(KubeError(0, "Cut", "the watch ended at once"))

    def _pause(self, error: KubeError) -> None:
        self._hop(trouble=f"{error.reason}: {error}")
        self._stopping.wait(max(self._backoff.next_s(), error.retry_after_s))

    def _put(self, obj: Json) -> None:
        self._tell(_uid_of(obj), obj)

    def _remove(self, obj: Json) -> None:
        self._tell(_uid_of(obj), None)

    def _mark(self, _: object) -> None:
        self._had_event = True

    def _tell(self, uid: str, obj: Json | None) -> None:
        self._had_event = True
        with self._lock:
            self._news[uid] = obj  # the newest state of an object replaces what waits
        self._hop()

    def _hop(self, *, has_listed: bool = False, trouble: str | None = None) -> None:
        """From the informer's thread to Trio's."""
        with self._lock:
            self._has_listed |= has_listed
            self._trouble = self._trouble if trouble is None else trouble
        if self._token is not None and not self._stopping.is_set():
            try:
                self._token.run_sync_soon(self._take_news, idempotent=True)
            except trio.RunFinishedError:
                self._stopping.set()

    def _take_news(self) -> None:
        with self._lock:
            news, self._news = self._news, {}
            before, self.problem = self.problem, self._trouble
            is_first = self._has_listed and not self.is_synced
            self.is_synced = self._has_listed
        self._say_trouble(before)
        for uid, obj in news.items():
            if obj is None:
                self.objects.pop(uid, None)
            else:
                self.objects[uid] = obj
        if news or is_first:
            self._changed()

    def _say_trouble(self, before: str) -> None:
        """Log where trouble begins, becomes another, and ends: each try would be a flood."""
        if _reason_of(before) == _reason_of(self.problem):
            return
        if self.problem:
            known = "what was known last counts" if self.is_synced else "nothing is known yet"
            _LOG.warning("cannot watch %s: %s; %s", self._name, self.problem, known)
        else:
            _LOG.info("watching %s again", self._name)


class _StoppedError(Exception):
    """Ends the informer's call when it is being stopped; never leaves its thread."""


def _reason_of(trouble: str) -> str:
    """Without what differs from try to try."""
    return trouble.partition(":")[0]


def _version_of(obj: Json) -> int:
    """Versions of one object can be compared as numbers (promised since Kubernetes 1.35)."""
    return int(obj["metadata"]["resourceVersion"])


def _uid_of(obj: Json) -> str:
    """Not the name: a pod that comes back under its name is another pod."""
    return str(obj["metadata"]["uid"])
