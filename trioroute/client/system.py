"""One system as a program sees it: its front-ends' admin addresses, asked until one answers."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import attrs
import msgspec

from trioroute.client.errors import (
    ChangeUnknownError,
    ProblemAnswerError,
    UnreachableError,
)
from trioroute.client.http import AdminClient
from trioroute.client.local import find_local_system
from trioroute.client.saved.settings import Settings, find_settings
from trioroute.core.status import ClusterStatus
from trioroute.errors import ConfigError

__all__ = ["Reach", "Reached", "System", "find_system"]

T = TypeVar("T")

#: Between two rounds of all front-ends, seconds: a new coordinator is there within one.
_PAUSE_S: Final = 0.2
_TIMEOUT_S: Final = 10.0
#: For how long to try when no front-end at all can be reached, seconds: nothing runs there then.
_UNREACHABLE_S: Final = 1.0
#: Nothing has changed, and the same may succeed in a moment.
_NO_COORDINATOR: Final = "TR0810"
#: Listening there means every address of the machine, and none that can be dialled.
_ANY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


@attrs.frozen(kw_only=True)
class System:
    """Front-ends that are all alike: whichever answers will do.

    Attributes:
        admin_urls: of the front-ends, in the order in which they are asked.
        scoring_url: where clients score; empty when only the front-ends know.
        names: of the front-ends, as many as addresses, or none when they are not known.
        token: the admin token, where one is set.
        unreachable_s: for how long to try when no front-end at all can be reached; nothing runs
            there then, unless somebody starts it again.
    """

    admin_urls: tuple[str, ...]
    scoring_url: str = ""
    names: tuple[str, ...] = ()
    token: str | None = attrs.field(default=None, repr=False)
    unreachable_s: float = _UNREACHABLE_S

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        kind: type[T],
        version: int | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> T:
        """Ask until a front-end answers.

        A front-end that cannot be reached has taken no request, and one without a coordinator has
        changed nothing, so the next is asked. An answer that got lost is different: requests here
        may be repeated safely, but whether the first one counted is left to the caller.

        Args:
            kind: what the answer's JSON is.
            version: of the resource, when the change insists on it; 0 when it must be new.

        Raises:
            UnreachableError: nobody answered in time.
            ProblemAnswerError: the answer is a refusal; `code` says which.
        """
        encoded = None if body is None else msgspec.json.encode(body)
        began_at = time.monotonic()
        while True:
            failure: Exception = UnreachableError("no admin address is given")
            for url in self.admin_urls:
                client = AdminClient(url, timeout_s=timeout_s, token=self.token)
                try:
                    answer = client.ask(method, path, encoded, version=version)
                    return msgspec.json.decode(answer, type=kind)
                except (UnreachableError, ProblemAnswerError) as error:
                    _raise_final(error, may_repeat=method == "PUT" and not version)
                    failure = failure if isinstance(failure, ProblemAnswerError) else error
            is_there = isinstance(failure, ProblemAnswerError)
            patience_s = timeout_s if is_there else min(timeout_s, self.unreachable_s)
            if time.monotonic() + _PAUSE_S > began_at + patience_s:
                raise failure
            time.sleep(_PAUSE_S)

    def find_scoring_url(self) -> str:
        """Where clients score, as the first front-end that answers says; empty when none does.

        One that listens on every address is reached where its admin API was.
        """
        if self.scoring_url:
            return self.scoring_url
        for url in self.admin_urls:
            try:
                status = AdminClient(url, timeout_s=_TIMEOUT_S, token=self.token).status()
            except (UnreachableError, ProblemAnswerError):
                continue
            for row in status.front_ends:
                if row.name == status.reporter and row.scoring_url:
                    return _reachable(row.scoring_url, url)
        return ""

    def named_urls(self) -> dict[str, str]:
        """Front-end name to admin address; the address itself where no name is known."""
        return dict(zip(self.names or self.admin_urls, self.admin_urls, strict=True))

    def status(self, *, applied: int = 0) -> ClusterStatus | None:
        """What the coordinator sees, or whoever answers; None while nobody knows enough.

        Args:
            applied: how far in the log the reporter must be.
        """
        seen: ClusterStatus | None = None
        for url in self.admin_urls:
            try:
                status = AdminClient(url, timeout_s=_TIMEOUT_S, token=self.token).status()
            except (UnreachableError, ProblemAnswerError):
                continue
            if status.raft is None or status.raft.applied_index < applied:
                continue
            seen = status
            if status.coordinator is not None and status.coordinator.name == status.reporter:
                break
        return seen


def _reachable(scoring_url: str, admin_url: str) -> str:
    scoring, admin = urlsplit(scoring_url), urlsplit(admin_url)
    if scoring.hostname not in _ANY_ADDRESS:
        return scoring_url
    host = admin.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return f"{scoring.scheme}://{shown}:{scoring.port}"


def _raise_final(error: UnreachableError | ProblemAnswerError, *, may_repeat: bool) -> None:
    """Raise a refusal that another front-end would repeat, and what must not be sent again.

    Args:
        may_repeat: a whole content without a version does no harm when it was made already.
    """
    if isinstance(error, ChangeUnknownError) and not may_repeat:
        raise error
    if isinstance(error, ProblemAnswerError) and error.code != _NO_COORDINATOR:
        raise error


@attrs.frozen(kw_only=True)
class Reached:
    """A system of another network, as it is reached from here while this process lives.

    Attributes:
        admin_urls: of its front-ends, by name.
        scoring_url: where one of them scores.
    """

    admin_urls: Mapping[str, str]
    scoring_url: str


#: Makes a system in a cluster reachable. A function of the caller's: it takes a cluster's client.
Reach = Callable[[Settings], Reached]


def find_system(
    admin: str | None,
    data: Path | None,
    environment: Mapping[str, str],
    *,
    reach: Reach | None = None,
) -> System:
    """The system that the arguments name, else the environment, else the context, else `up`'s here.

    Args:
        admin: admin addresses separated by commas; otherwise TRIOROUTE_ADMIN.
        data: data folder of an `up` on this machine; otherwise TRIOROUTE_DATA or `.trioroute`.
        environment: `client.saved.settings` says what is read from it.
        reach: for systems in a cluster.

    Raises:
        UnreachableError: no system is named and none runs from here.
        ConfigError: the file of contexts, or the token's file, cannot be read; or the system is in
            a cluster and there is no `reach`.
    """
    found = find_settings(admin, data, environment)
    if found.admin.value:
        urls = tuple(url.strip().rstrip("/") for url in found.admin.value.split(","))
        return System(
            admin_urls=tuple(url for url in urls if url),
            scoring_url=found.url.value.rstrip("/"),
            token=found.read_token(),
        )
    if found.namespace.value:
        return _system_in_cluster(found, reach)
    local = find_local_system(Path(found.data.value))
    return System(
        admin_urls=tuple(local.admin_urls.values()),
        names=tuple(local.admin_urls),
        scoring_url=found.url.value.rstrip("/") or local.scoring_url,
        token=found.read_token(),
    )


def _system_in_cluster(found: Settings, reach: Reach | None) -> System:
    if reach is None:
        namespace = found.namespace
        raise ConfigError(
            f"the system is in a Kubernetes cluster, in namespace {namespace.value} "
            f"({namespace.origin}), and only the command line forwards ports by itself: run "
            f"kubectl --namespace {namespace.value} port-forward service/trioroute-admin 9090 and "
            "name http://127.0.0.1:9090"
        )
    reached = reach(found)
    return System(
        admin_urls=tuple(reached.admin_urls.values()),
        names=tuple(reached.admin_urls),
        scoring_url=found.url.value.rstrip("/") or reached.scoring_url,
        token=found.read_token(),
    )
