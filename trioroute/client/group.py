"""Asks all front-ends at once and makes one picture of their answers.

Each front-end knows itself best, the coordinator knows the slots best, and one that is dead or
hangs can only be seen by not answering. So every configured front-end has a row, whoever answers.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import partial

import attrs

from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.http import AdminClient
from trioroute.core.status import (
    ClusterStatus,
    DeploymentStatus,
    EndpointStatus,
    FrontEndStatus,
)

__all__ = ["ask_all", "merge_views"]


def ask_all(
    admin_urls: Mapping[str, str], *, timeout_s: float, token: str | None = None
) -> ClusterStatus:
    """One picture from all front-ends.

    Args:
        admin_urls: front-end name to admin address.
        timeout_s: for each, all being asked at the same time.
        token: the admin token, where one is set.

    Raises:
        UnreachableError: none answered; says why the first one did not.
        ProblemAnswerError: those that answered refused, as for want of a token.
    """
    answers: dict[str, ClusterStatus | UnreachableError | ProblemAnswerError] = {}

    def ask(name: str, url: str) -> None:
        try:
            answers[name] = AdminClient(url, timeout_s=timeout_s, token=token).status()
        except (UnreachableError, ProblemAnswerError) as error:
            answers[name] = error

    threads = [threading.Thread(target=partial(ask, *item)) for item in admin_urls.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    views = [answers[name] for name in admin_urls]
    silent = {name: str(e) for name, e in answers.items() if not isinstance(e, ClusterStatus)}
    if len(silent) == len(views):
        refusals = [view for view in views if isinstance(view, ProblemAnswerError)]
        unreached = UnreachableError(next(iter(silent.values()), "there is no front-end to ask"))
        raise refusals[0] if refusals else unreached
    return merge_views([v for v in views if isinstance(v, ClusterStatus)], silent)


def merge_views(views: Sequence[ClusterStatus], silent: Mapping[str, str]) -> ClusterStatus:
    """One picture out of several front-ends' own, at least one.

    Args:
        silent: names of front-ends that gave no answer, and why.
    """
    # The newest epoch is right: a front-end that was cut off may still believe in an older one.
    base = max(views, key=lambda view: (_epoch(view), _is_of_coordinator(view), _applied(view)))
    rows = {row.name: row for view in views for row in view.front_ends}
    rows |= {row.name: row for row in base.front_ends}
    rows |= {view.reporter: row for view in views for row in _own_row(view)}
    for name, why in silent.items():
        row = rows.get(name, FrontEndStatus(name=name))
        rows[name] = attrs.evolve(row, is_up=False, error=why)
    return attrs.evolve(
        base,
        front_ends=tuple(rows[name] for name in sorted(rows)),
        endpoints=tuple(_with_all_counts(endpoint, views) for endpoint in base.endpoints),
    )


def _epoch(view: ClusterStatus) -> int:
    return view.coordinator.epoch if view.coordinator else -1


def _is_of_coordinator(view: ClusterStatus) -> bool:
    return view.coordinator is not None and view.coordinator.name == view.reporter


def _applied(view: ClusterStatus) -> int:
    return view.raft.applied_index if view.raft else -1


def _own_row(view: ClusterStatus) -> list[FrontEndStatus]:
    return [row for row in view.front_ends if row.name == view.reporter]


def _with_all_counts(endpoint: EndpointStatus, views: Sequence[ClusterStatus]) -> EndpointStatus:
    deployments = tuple(
        _together(
            deployment,
            [
                other
                for view in views
                for theirs in view.endpoints
                for other in theirs.deployments
                if other.key == deployment.key
            ],
        )
        for deployment in endpoint.deployments
    )
    return attrs.evolve(endpoint, deployments=deployments)


def _together(base: DeploymentStatus, views: Sequence[DeploymentStatus]) -> DeploymentStatus:
    """Requests add up; of latencies the worst front-end's are shown, quantiles do not add up."""
    return attrs.evolve(
        base,
        requests=sum(view.requests for view in views),
        server_errors=sum(view.server_errors for view in views),
        p50_s=max((v.p50_s for v in views if v.p50_s is not None), default=None),
        p99_s=max((v.p99_s for v in views if v.p99_s is not None), default=None),
    )
