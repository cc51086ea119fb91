"""Finds the endpoint and deployment a request is for, and what to ask the replica.

A table is made from one snapshot and never changed. `match` first looks the whole target up among
the scoring targets without further path and query, which is what nearly every request asks for;
whatever is not found there is taken apart.

The received path is matched and passed on as it is: a path that a replica might normalise into
another one is refused instead (contract item 36). Queries are the replica's own business.
"""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from trioroute.core.model import API_PREFIXES, Deployment, Endpoint, RoutingSnapshot
from trioroute.core.split import Splitter
from trioroute.errors import MalformedRequestError, NoSuchEndpointError

__all__ = ["DEPLOYMENT_HEADER", "NO_ROUTE_TEXT", "Match", "RoutingTable"]

#: Names a deployment and so bypasses the split (Azure, "safe rollout for online endpoints").
DEPLOYMENT_HEADER: Final = b"azureml-model-deployment"

#: The original's answer, byte for byte: client code compares it (azure-reference.md 10.1).
NO_ROUTE_TEXT: Final = (
    "No route found or no valid deployments to route to, please check that the endpoint has at "
    "least one deployment with positive weight values or use a deployment specific header to route."
)

_SERVICE, _ENDPOINT = (prefix.encode() for prefix in API_PREFIXES)
#: No deployment has this name.
_NOT_COPIED: Final = ""
_SWAGGER_PATH: Final = b"/swagger.json"

#: A backslash is a slash to some servers, and the controls end a string or a line.
_REFUSED_ANYWHERE: Final = re.compile(rb"\\|%(?:5c|00|0a|0d)", re.IGNORECASE)
#: A dot segment, its dots and its slashes plain or encoded; some servers also drop `;parameters`.
_DOT_SEGMENT: Final = re.compile(
    rb"(?:/|%2f)(?:\.|%2e){1,2}(?:;[^/]*)?(?=/|%2f|\Z)", re.IGNORECASE | re.DOTALL
)
_SLASHES: Final = re.compile(rb"//|%2f", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class Match:
    """What a target and its headers say about where a request goes.

    Attributes:
        deployment: the one the request names; None when the split decides.
        scoring_rest: what follows the scoring path, query included; None for `swagger.json`.
        verbatim: the target to pass on unchanged (mounted endpoints, swagger), or None.
    """

    endpoint: Endpoint
    deployment: Deployment | None = None
    scoring_rest: bytes = b""
    verbatim: bytes | None = None

    def upstream_target(self, deployment: Deployment) -> bytes:
        """What to ask a replica of `deployment` for: its scoring path and the rest (D14)."""
        if self.verbatim is not None:
            return self.verbatim
        path = deployment.scoring_path.encode()
        if self.scoring_rest.startswith(b"/"):
            path = path.removesuffix(b"/")  # exactly one slash at the join
        return path + self.scoring_rest


class RoutingTable:
    """How one worker routes under one snapshot.

    Attributes:
        splitters: by endpoint name; the only part that changes, one step at each `pick`.
        mirrors: by endpoint name, the deployment that gets copies and which requests are copied.
    """

    def __init__(
        self,
        endpoints: Mapping[bytes, Endpoint],
        deployments: Mapping[tuple[str, bytes], Deployment],
        splitters: Mapping[str, Splitter],
        mirrors: Mapping[str, tuple[Splitter, Deployment]],
    ) -> None:
        self._endpoints = endpoints
        self._deployments = deployments
        self.splitters = splitters
        self.mirrors = mirrors
        self._mounted = next((e for e in endpoints.values() if e.mount is not None), None)
        self._exact = _scoring_targets(endpoints, deployments)

    @classmethod
    def from_snapshot(
        cls,
        snapshot: RoutingSnapshot,
        *,
        phase: float = 0.0,
        previous: "RoutingTable | None" = None,
    ) -> "RoutingTable":
        """The table of a snapshot.

        A weight whose deployment does not exist (yet) is left out and the others share its part.

        Args:
            phase: this worker's place in each split, 0 <= phase < 1.
            previous: the table that this one replaces; splits whose weights stayed go on where
                they were, so that frequent snapshots do not restart them.
        """
        deployments = {(d.endpoint, d.name.encode()): d for d in snapshot.deployments}
        splitters: dict[str, Splitter] = {}
        for endpoint in snapshot.endpoints:
            weights = {
                name: weight
                for name, weight in endpoint.traffic.items()
                if weight > 0 and (endpoint.name, name.encode()) in deployments
            }
            kept = previous.splitters.get(endpoint.name) if previous else None
            if kept is not None and kept.weights == weights:
                splitters[endpoint.name] = kept
            elif weights:
                splitters[endpoint.name] = Splitter(weights, phase=phase)
        endpoints = {e.name.encode(): e for e in snapshot.endpoints}
        known = {} if previous is None else previous.mirrors
        mirrors = {
            endpoint.name: mirror
            for endpoint in snapshot.endpoints
            if (mirror := _mirror(endpoint, deployments, known.get(endpoint.name), phase))
        }
        return cls(endpoints, deployments, splitters, mirrors)

    def match(self, target: bytes, headers: Mapping[bytes, bytes]) -> Match:
        """Find out where a request goes; `pick` then completes it once it is authorized.

        Args:
            target: the target in origin-form, as received.
            headers: by lower-case name, repeated ones joined by commas (`RequestHead.index`).

        Raises:
            NoSuchEndpointError: nothing answers there.
            MalformedRequestError: the path could be read in two ways, or the request names two
                deployments.
        """
        found = self._exact.get(target)
        if found is None:
            found = self._match_in_parts(target)
        named = headers.get(DEPLOYMENT_HEADER)
        return found if named is None else self._with_named(found, named)

    def pick(self, match: Match) -> Deployment:
        """The deployment that serves this request: the named one, else the split's next.

        Raises:
            NoSuchEndpointError: the endpoint has no deployment with a weight above 0.
        """
        if match.deployment is not None:
            return match.deployment
        name = match.endpoint.name
        splitter = self.splitters.get(name)
        if splitter is None:
            raise NoSuchEndpointError(NO_ROUTE_TEXT)
        return self._deployments[name, splitter.pick().encode()]

    def newest(self, deployment: Deployment) -> Deployment:
        """How this table has a deployment that was picked earlier; as it was, if it is gone."""
        return self._deployments.get((deployment.endpoint, deployment.name.encode()), deployment)

    def mirror_of(self, match: Match) -> Deployment | None:
        """The deployment that gets a copy of this request; None for most requests.

        A request that names its deployment is not copied (azure-reference.md 3.20).
        """
        found = self.mirrors.get(match.endpoint.name)
        if found is None or match.deployment is not None:
            return None
        splitter, deployment = found
        return deployment if splitter.pick() else None

    def _with_named(self, found: Match, named: bytes) -> Match:
        if b"," in named:
            raise MalformedRequestError("more than one azureml-model-deployment header")
        deployment = self._deployment(found.endpoint, named)
        if found.deployment is not None and found.deployment is not deployment:
            raise MalformedRequestError("the header and the path name different deployments")
        return attrs.evolve(found, deployment=deployment)

    def _match_in_parts(self, target: bytes) -> Match:
        path, question_mark, query = target.partition(b"?")
        _check_path(path)
        found = self._match_form(path, question_mark + query)
        if found is not None:
            return found
        if self._mounted is None or path.startswith((b"//", _SERVICE, _ENDPOINT)):
            _check_slashes(path)
        if self._mounted is None:
            raise NoSuchEndpointError(NO_ROUTE_TEXT)
        return Match(endpoint=self._mounted, verbatim=target)

    def _match_form(self, path: bytes, query: bytes) -> Match | None:
        """Match one of the forms D11 to D13; None when it is none of them.

        Raises:
            NoSuchEndpointError: an endpoint that exists, but not this deployment of it.
        """
        for prefix in (_SERVICE, _ENDPOINT):
            if not path.startswith(prefix):
                continue
            name, _, form = path[len(prefix) :].partition(b"/")
            endpoint = self._endpoints.get(name)
            if endpoint is None:
                return None
            deployment = None
            if prefix is _ENDPOINT and form.startswith(b"version/"):
                version, _, form = form[len(b"version/") :].partition(b"/")
                if (endpoint.name, version) not in self._deployments:
                    _check_slashes(path)
                deployment = self._deployment(endpoint, version)
            if form == b"swagger.json":
                target = _SWAGGER_PATH + query
                return Match(endpoint=endpoint, deployment=deployment, verbatim=target)
            score, slash, rest = form.partition(b"/")
            if score == b"score":
                rest = slash + rest + query
                return Match(endpoint=endpoint, deployment=deployment, scoring_rest=rest)
        return None

    def _deployment(self, endpoint: Endpoint, name: bytes) -> Deployment:
        try:
            return self._deployments[endpoint.name, name]
        except KeyError:
            raise NoSuchEndpointError(NO_ROUTE_TEXT) from None


def _mirror(
    endpoint: Endpoint,
    deployments: Mapping[tuple[str, bytes], Deployment],
    before: tuple[Splitter, Deployment] | None,
    phase: float,
) -> tuple[Splitter, Deployment] | None:
    """Which requests are copied and to where: as exact a share as live traffic has."""
    for name, percent in endpoint.mirror_traffic.items():
        deployment = deployments.get((endpoint.name, name.encode()))
        if deployment is None or percent <= 0:
            continue
        weights = {name: percent, _NOT_COPIED: 100 - percent}
        if before is not None and before[0].weights == weights:
            return before[0], deployment
        return Splitter(weights, phase=phase), deployment
    return None


def _scoring_targets(
    endpoints: Mapping[bytes, Endpoint], deployments: Mapping[tuple[str, bytes], Deployment]
) -> dict[bytes, Match]:
    """The targets of the three forms without further path and query."""
    targets: dict[bytes, Match] = {}
    for name, endpoint in endpoints.items():
        match = Match(endpoint=endpoint)
        for prefix in (_SERVICE, _ENDPOINT):
            targets[prefix + name + b"/score"] = match
    for (name_of_endpoint, version), deployment in deployments.items():
        name = name_of_endpoint.encode()
        if name in endpoints:
            target = _ENDPOINT + name + b"/version/" + version + b"/score"
            targets[target] = Match(endpoint=endpoints[name], deployment=deployment)
    return targets


def _check_path(path: bytes) -> None:
    if not path.startswith(b"/"):
        raise MalformedRequestError("the target is not in origin-form")
    if _REFUSED_ANYWHERE.search(path):
        raise MalformedRequestError("a backslash, NUL, CR or LF in the path")
    if _DOT_SEGMENT.search(path):
        raise MalformedRequestError("a dot segment in the path")


def _check_slashes(path: bytes) -> None:
    """No name holds a slash and none is empty: a path of ours with such a part is a disguise."""
    if _SLASHES.search(path):
        raise MalformedRequestError("a doubled or encoded slash in the routed prefix")
