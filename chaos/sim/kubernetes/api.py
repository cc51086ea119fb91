"""What each request means: from method and path to an answer or a watch."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import attrs
import trio

from chaos.sim.kubernetes.errors import (
    ApiError,
    bad_request,
    cause,
    invalid,
    method_not_allowed,
    no_such_path,
    no_such_resource,
    not_found,
)
from chaos.sim.kubernetes.kinds import BUILT_IN, Kind, kind_of_definition
from chaos.sim.kubernetes.listing import (
    FUTURE_WAIT_S,
    ListOptions,
    check_future,
    list_objects,
    shown,
)
from chaos.sim.kubernetes.objects import Objects, Write, key_of
from chaos.sim.kubernetes.patches import json_patch, merge_patch, strategic_patch
from chaos.sim.kubernetes.requests import (
    APPLY,
    Answer,
    LogStream,
    PortForward,
    Request,
    check_dry_run,
    check_patch_options,
    check_types,
    check_validation,
    delete_options,
    is_flag,
    object_of,
    parsed,
    unreadable_patch,
)
from chaos.sim.kubernetes.rights import (
    ANONYMOUS,
    REVIEWS,
    Access,
    User,
    acting_as,
    check_path,
    check_resource,
    review,
    service_account,
)
from chaos.sim.kubernetes.store import Store
from chaos.sim.kubernetes.watching import Watch
from chaos.sim.kubernetes_rules.packed import unpacked
from chaos.sim.kubernetes_shown.discovery import discover
from chaos.sim.kubernetes_shown.forms import check_accept, show_answer, shower_of
from chaos.sim.kubernetes_shown.scales import scale_of, scaled

__all__ = ["Api"]

Json = dict[str, Any]

#: An answer, or what goes on after it.
Answered = Answer | Watch | LogStream | PortForward

_PATCHES: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge_patch,
    "application/strategic-merge-patch+json": strategic_patch,
}
_SCALE: Final = Kind(group="autoscaling", version="v1", plural="scales", kind="Scale")
#: Whose deletion is answered with the object instead of a Status.
_SHOWN_LAST: Final = frozenset({"Pod", "Service", "ServiceAccount", "PersistentVolumeClaim"})
_DEFINITIONS: Final = "CustomResourceDefinition"


@attrs.frozen(kw_only=True)
class _Place:
    """What a path names."""

    kind: Kind
    namespace: str
    name: str
    subresource: str


class Api:
    """One cluster's API."""

    def __init__(self, store: Store, *, clock: Callable[[], float]) -> None:
        """Args:
        clock: seconds since 1970.
        """
        self.store = store
        self.objects = Objects(store, clock)
        #: Bearer tokens. Without one a request is anonymous; an unknown one is refused.
        self.tokens: dict[str, User] = {}
        #: What users who are not administrators asked for, to be compared with their Role.
        self.asked: set[Access] = set()
        #: What a pod's container has written; whoever runs pods knows.
        self.logs: Callable[[Json], str] = lambda _: ""

    async def answer(self, request: Request) -> Answered:
        """Answer a request; a watch is for the caller to run."""
        try:
            request = unpacked(request)
            return self._answer(request)
        except ApiError as error:
            if error.code != 504:
                return Answer.of_error(error)
        # Somebody asks for a version that does not exist yet: it may come.
        await trio.sleep(FUTURE_WAIT_S)
        try:
            return self._answer(request)
        except ApiError as error:
            return Answer.of_error(error)

    def kinds(self) -> list[Kind]:
        """Everything that is served now."""
        definitions = next(kind for kind in BUILT_IN if kind.kind == _DEFINITIONS)
        return [*BUILT_IN, *map(kind_of_definition, self.store.list(definitions))]

    def _answer(self, request: Request) -> Answered:
        user = self._user(request)
        check_accept(request)
        parts = [unquote(part) for part in request.path.rstrip("/").split("/")[1:]] or [""]
        group_parts = 2 if parts[0] == "api" else 3
        if parts[0] not in ("api", "apis") or len(parts) <= group_parts:
            check_path(user, request.path)
            return discover(request, parts, self.kinds())
        if "" in parts or ".." in parts or any("/" in part for part in parts):
            raise no_such_resource()
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        rest = parts[group_parts:]
        if group == REVIEWS:
            body = parsed(request.body, lambda: bad_request("unexpected end of JSON input"))
            return Answer(status=201, body=review(user, rest, body, self.store))
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        self._check_rights(user, request, group=group, namespace=namespace, rest=rest)
        kind = self._kind(group, version, rest[0])
        place = _Place(
            kind=kind,
            namespace=namespace,
            name=rest[1] if len(rest) > 1 else "",
            subresource=rest[2] if len(rest) > 2 else "",
        )
        if len(rest) > 3 or (place.subresource and not self._has(place)):
            raise not_found(kind, place.name) if kind.is_custom else no_such_resource()
        answer = self._serve(request, place)
        if not isinstance(answer, Answer) or place.subresource:
            return answer
        return show_answer(request, kind, answer, self.objects.now())

    def _user(self, request: Request) -> User:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return ANONYMOUS
        user = self.tokens.get(token.strip())
        if user is None or not self._exists(user):
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return acting_as(user, request.headers)

    def _exists(self, user: User) -> bool:
        """The tokens of a service account end with it."""
        if not user.name.startswith("system:serviceaccount:"):
            return True
        namespace, name = user.name.split(":")[2:]
        kind = next(one for one in BUILT_IN if one.kind == "ServiceAccount")
        return self.store.get(key_of(kind, namespace, name)) is not None

    def _check_rights(
        self, user: User, request: Request, *, group: str, namespace: str, rest: list[str]
    ) -> None:
        name = rest[1] if len(rest) > 1 else ""
        query = request.query
        field = query.get("fieldSelector", "")
        if not name and field.startswith("metadata.name=") and "," not in field:
            name = field.partition("=")[2]
        is_watch = is_flag(query, "watch")
        verbs = {"POST": "create", "PUT": "update", "PATCH": "patch"}
        verbs["DELETE"] = "delete" if len(rest) > 1 else "deletecollection"
        reading = "get" if len(rest) > 1 else "watch" if is_watch else "list"
        access = Access(
            verbs.get(request.method, reading),
            group,
            "/".join([rest[0], *rest[2:3]]),
            namespace,
            name,
        )
        self._check(user, access)

    def _check(self, user: User, access: Access) -> None:
        if not user.is_admin and user != ANONYMOUS:
            self.asked.add(access)
        check_resource(user, access, self.store)

    def _kind(self, group: str, version: str, plural: str) -> Kind:
        kinds = self.kinds()
        for kind in kinds:
            if (kind.group, kind.version, kind.plural) == (group, version, plural):
                return kind
        if all(kind.group != group for kind in BUILT_IN):
            raise no_such_path()
        raise no_such_resource()

    @staticmethod
    def _has(place: _Place) -> bool:
        is_token = (place.kind.kind, place.subresource) == ("ServiceAccount", "token")
        return place.subresource in place.kind.subresources or is_token

    def _serve(self, request: Request, place: _Place) -> Answered:
        if place.kind.is_namespaced and not place.namespace and place.name:
            raise no_such_resource()
        serve = {
            ("GET", False): self._list,
            ("POST", False): self._create,
            ("DELETE", False): self._delete_collection,
            ("GET", True): self._get,
            ("PUT", True): self._replace,
            ("PATCH", True): self._patch,
            ("DELETE", True): self._delete,
        }.get((request.method, bool(place.name)))
        if place.subresource in ("token", "binding") and request.method == "POST":
            serve = self._make_token if place.subresource == "token" else self._bind
        is_refused = place.subresource and request.method == "DELETE"
        if serve is None or is_refused or (request.method == "POST" and not place.namespace):
            is_cluster_wide = not place.kind.is_namespaced and serve is not None and not is_refused
            if not is_cluster_wide:
                raise method_not_allowed()
        assert serve is not None
        return serve(request, place)

    def _list(self, request: Request, place: _Place) -> Answered:
        query = request.query
        is_watch = is_flag(query, "watch")
        options = ListOptions.parse(query, place.kind, is_watch=is_watch)
        namespace = place.namespace or None
        if not is_watch:
            return Answer(body=list_objects(place.kind, namespace, options, self.store))
        seconds = query.get("timeoutSeconds", "0")
        if not seconds.isdigit():
            raise bad_request(f'strconv.ParseInt: parsing "{seconds}": invalid syntax')
        watch = Watch(
            place.kind,
            namespace,
            options,
            self.store,
            timeout_s=float(seconds),
            has_bookmarks=is_flag(query, "allowWatchBookmarks"),
            show=shower_of(request, place.kind, self.objects.now),
        )
        watch.check()
        return watch

    def _get(self, request: Request, place: _Place) -> Answer | LogStream | PortForward:
        version = request.query.get("resourceVersion", "")
        if version.isdigit():
            check_future(version, self.store)
        if place.subresource == "portforward":
            pod = self.objects.read(place.kind, place.namespace, place.name)
            return PortForward.asked(request, pod)
        if place.subresource == "log":
            return self._log(request, self.objects.read(place.kind, place.namespace, place.name))
        return self._shown(place, self.objects.read(place.kind, place.namespace, place.name))

    def _log(self, request: Request, pod: Json) -> Answer | LogStream:
        lines = request.query.get("tailLines", "")
        if is_flag(request.query, "previous"):
            ran = (pod["status"].get("containerStatuses") or [{}])[0]
            if not ran.get("restartCount"):
                name = pod["metadata"]["name"]
                raise bad_request(f"previous terminated container in pod {name} not found")
        if not is_flag(request.query, "follow"):
            return Answer(body=_last_lines(self.logs(pod), lines))
        uid = pod["metadata"]["uid"]
        return LogStream(
            first=_last_lines(self.logs(pod), lines),
            text=lambda: self.logs(pod) if uid in self.store.uids() else None,
        )

    def _create(self, request: Request, place: _Place) -> Answer:
        body, write = object_of(request, place.kind), self._write(request, place)
        obj = self.objects.create(place.kind, place.namespace, body, write)
        return Answer(status=201, body=shown(place.kind, obj), headers=write.warnings())

    def _replace(self, request: Request, place: _Place) -> Answer:
        body = object_of(request, place.kind if place.subresource != "scale" else _SCALE)
        write = self._write(request, place)
        is_new = self.store.get(key_of(place.kind, place.namespace, place.name)) is None
        if place.subresource == "scale":
            obj = self._replace_scale(place, body, write)
        else:
            obj = self.objects.replace(
                place.kind, place.namespace, place.name, body=body, write=write
            )
        answer = self._shown(place, obj, write)
        return attrs.evolve(answer, status=201) if is_new else answer

    def _replace_scale(self, place: _Place, body: Json, write: Write) -> Json:
        if body.get("kind", "Scale") != "Scale":
            raise bad_request(f"{body['kind']} cannot be handled as a Scale: unknown conversion")
        said = body.get("metadata", {}).get("name", place.name)
        if said != place.name:
            message = f"the name of the object ({said}) does not match the name on the URL"
            raise bad_request(message)
        return self._change_scale(place, lambda _: body, write)

    def _change_scale(self, place: _Place, change: Callable[[Json], Json], write: Write) -> Json:
        """Patch the Scale as if it were an object, then the replicas of what it stands for."""
        obj = self.objects.read(place.kind, place.namespace, place.name)
        scale = change(scale_of(place.kind, obj))
        replicas = scale.get("spec", {}).get("replicas", 0)
        said = scale.get("metadata", {}).get("resourceVersion")
        if not isinstance(replicas, int) or replicas > 2**31 - 1:
            raise unreadable_patch()
        if replicas < 0 and not place.kind.is_custom:
            message = f"Invalid value: {replicas}: must be greater than or equal to 0"
            causes = [cause("spec.replicas", "FieldValueInvalid", message)]
            raise invalid(_SCALE, place.name, causes)

        def rescaled(old: Json) -> Json:
            metadata = {**old["metadata"]}
            if said is not None:
                metadata["resourceVersion"] = said
            return scaled(place.kind, {**old, "metadata": metadata}, replicas)

        return self.objects.patch(
            place.kind, place.namespace, place.name, change=rescaled, write=write
        )

    def _patch(self, request: Request, place: _Place) -> Answer:
        write = self._write(request, place)
        check_patch_options(request, write.manager)
        kind = request.content_type
        if kind != APPLY and (
            kind not in _PATCHES or (place.kind.is_custom and "strategic" in kind)
        ):
            message = "415: Unsupported Media Type"
            raise ApiError(415, "UnsupportedMediaType", message, details={})
        patch = parsed(request.body, lambda: bad_request("error decoding patch: unexpected end"))
        if kind == APPLY:
            return self._apply(request, place, patch=patch, write=write)
        merge = _PATCHES[kind]
        if place.subresource == "scale":
            return self._shown(
                place, self._change_scale(place, lambda old: merge(old, patch), write)
            )

        def change(old: Json) -> Json:
            after: Json = merge(old, patch)
            check_types(place.kind, after)
            return after

        obj = self.objects.patch(
            place.kind, place.namespace, place.name, change=change, write=write
        )
        return self._shown(place, obj, write)

    def _apply(self, request: Request, place: _Place, *, patch: Any, write: Write) -> Answer:
        force = is_flag(request.query, "force")
        if self.store.get(key_of(place.kind, place.namespace, place.name)) is None:
            # Who makes something by applying it needs the right to create it as well.
            access = Access(
                "create", place.kind.group, place.kind.plural, place.namespace, place.name
            )
            self._check(self._user(request), access)
        if place.subresource == "scale":
            spec = patch.get("spec", {})
            obj = self._change_scale(place, lambda old: {**old, "spec": spec}, write)
            return self._shown(place, obj)
        obj, is_new = self.objects.apply(
            place.kind, place.namespace, place.name, body=patch, write=write, force=force
        )
        body = shown(place.kind, obj)
        return Answer(status=201 if is_new else 200, body=body, headers=write.warnings())

    def _delete(self, request: Request, place: _Place) -> Answer:
        options = delete_options(request)
        is_dry = request.query.get("dryRun") == "All"
        last = self.objects.delete(
            place.kind, place.namespace, place.name, options=options, is_dry=is_dry
        )
        if place.kind.kind in _SHOWN_LAST or "deletionTimestamp" in last["metadata"]:
            return Answer(body=shown(place.kind, last))
        details = {"name": place.name, "kind": place.kind.plural, "uid": last["metadata"]["uid"]}
        if place.kind.group:
            details["group"] = place.kind.group
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return Answer(body={**body, "details": details})

    def _delete_collection(self, request: Request, place: _Place) -> Answer:
        options = delete_options(request)
        chosen = ListOptions.parse(request.query, place.kind, is_watch=False)
        body = list_objects(place.kind, place.namespace, chosen, self.store)
        for item in body["items"]:
            name = item["metadata"]["name"]
            self.objects.delete(place.kind, place.namespace, name, options=options, is_dry=False)
        return Answer(body=body)

    def _make_token(self, request: Request, place: _Place) -> Answer:
        self.objects.read(place.kind, place.namespace, place.name)
        token = f"token-{len(self.tokens)}-of-{place.namespace}-{place.name}"
        self.tokens[token] = service_account(place.namespace, place.name)
        body = parsed(request.body, lambda: bad_request("unexpected end of JSON input"))
        return Answer(status=201, body={**body, "status": {"token": token}})

    def _bind(self, request: Request, place: _Place) -> Answer:
        """What the scheduler does."""
        body = parsed(request.body, lambda: bad_request("unexpected end of JSON input"))
        now = self.objects.timestamp()
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}

        def change(pod: Json) -> Json:
            status = strategic_patch(pod["status"], {"conditions": [scheduled]})
            spec = {**pod["spec"], "nodeName": body["target"]["name"]}
            return {**pod, "spec": spec, "status": status}

        write = Write(manager="kube-scheduler", subresource="binding")
        self.objects.patch(place.kind, place.namespace, place.name, change=change, write=write)
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return Answer(status=201, body={**status, "code": 201})

    def _shown(self, place: _Place, obj: Json, write: Write | None = None) -> Answer:
        if place.subresource == "scale":
            return Answer(body=scale_of(place.kind, obj))
        return Answer(body=shown(place.kind, obj), headers=write.warnings() if write else {})

    @staticmethod
    def _write(request: Request, place: _Place) -> Write:
        check_dry_run(request)
        agent = request.headers.get("user-agent", "unknown").partition("/")[0]
        return Write(
            manager=request.query.get("fieldManager") or agent,
            subresource=place.subresource,
            is_dry=request.query.get("dryRun") == "All",
            validation=check_validation(request),
        )


def _last_lines(text: str, count: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[max(len(lines) - int(count), 0) :] if count.isdigit() else lines)
