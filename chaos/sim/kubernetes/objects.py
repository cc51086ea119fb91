"""Writes: create, replace, change, apply, delete, each as the API server does it.

Synchronous: between reading and writing nothing else happens, as with the real server's
transactions.
"""

import copy
import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from chaos.sim.kubernetes.apply import Manager, apply_fields, record_update
from chaos.sim.kubernetes.errors import (
    ApiError,
    already_exists,
    bad_request,
    cause,
    conflict,
    invalid,
    not_found,
    object_modified,
)
from chaos.sim.kubernetes.kinds import BUILT_IN, Kind
from chaos.sim.kubernetes.names import Names
from chaos.sim.kubernetes.store import Key, Store, key_of_definition
from chaos.sim.kubernetes_rules.admission import check_admission
from chaos.sim.kubernetes_rules.definitions import accepted, ending
from chaos.sim.kubernetes_rules.schemas import check_object, conform

__all__ = ["FOREGROUND", "ORPHAN", "Objects", "Write", "key_of"]

Json = dict[str, Any]
Body = Mapping[str, Any]

#: Finalizers by which a deletion waits for what the object owns.
FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
_PROPAGATION: Final = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
#: Where nobody says how: Jobs are from before there was a garbage collector, and keep their pods.
_PROPAGATED: Final = {"Job": "Orphan"}

_NAMESPACES: Final = next(kind for kind in BUILT_IN if kind.plural == "namespaces")
_DEFINITIONS: Final = next(kind for kind in BUILT_IN if kind.kind == "CustomResourceDefinition")
_CLEAN_UP: Final = "customresourcecleanup.apiextensions.k8s.io"
_POD: Final = next(kind for kind in BUILT_IN if kind.plural == "pods")
_QUOTA: Final = next(kind for kind in BUILT_IN if kind.plural == "resourcequotas")
#: What a PUT makes when it is not there.
_MADE_BY_PUT: Final = frozenset({"Lease"})
#: Whose annotations a write of the status may change, too: the revision comes that way.
_ANNOTATED: Final = frozenset({"Deployment"})
#: The server's own fields of the metadata: what a writer says about them does not count.
_OWN: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


@attrs.frozen(kw_only=True)
class Write:
    """How something is to be written.

    Attributes:
        manager: who writes, for `managedFields`.
        subresource: "status" and "scale" change only their part, "" changes all but the status.
        validation: what becomes of fields that the kind does not know: Strict, Warn or Ignore.
        unknown: which fields those were; filled by the write.
    """

    manager: str = "unknown"
    subresource: str = ""
    is_dry: bool = False
    validation: str = "Warn"
    unknown: list[str] = attrs.field(factory=list, eq=False)

    def warnings(self) -> dict[str, str]:
        """The header about fields that went, if it is wanted."""
        if not self.unknown or self.validation == "Ignore":
            return {}
        texts = [f'299 - "unknown field \\"{field}\\""' for field in self.unknown]
        return {"warning": ", ".join(texts)}


def key_of(kind: Kind, namespace: str, name: str) -> Key:
    """Where that object is kept."""
    return Key(kind.full_name, namespace if kind.is_namespaced else "", name)


class Objects:
    """The objects of one cluster, as requests change them."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """Args:
        clock: seconds since 1970.
        """
        self.store = store
        #: What is made up where nobody gives a name.
        self.names = Names()
        self._clock = clock
        self._uids = itertools.count(1)
        self._addresses = itertools.count(1)

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    def timestamp(self) -> str:
        """Now, as objects say it."""
        return _time(self._clock())

    def read(self, kind: Kind, namespace: str, name: str) -> Json:
        """The newest state. Raises ApiError 404."""
        obj = self.store.get(key_of(kind, namespace, name))
        if obj is None:
            raise not_found(kind, name)
        return obj

    def create(self, kind: Kind, namespace: str, body: Body, write: Write) -> Json:
        """Make a new object. Raises ApiError."""
        if kind.is_namespaced:
            self._check_namespace(kind, namespace, body)
        obj = self._typed(kind, body, write)
        metadata = obj["metadata"]
        if metadata.get("resourceVersion"):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent"
            )
        if not metadata.get("name") and metadata.get("generateName"):
            base = metadata["generateName"]
            metadata["name"] = base + self.names.suffix(base)
        check_object(kind, kind.fill_in(obj))
        self._check_definition(kind, obj)
        key = key_of(kind, namespace, metadata["name"])
        existing = self.store.get(key)
        if existing is not None:
            is_terminating = "deletionTimestamp" in existing["metadata"]
            raise already_exists(kind, metadata["name"], is_terminating=is_terminating)
        if kind.kind == _POD.kind:
            quotas, pods = self.store.list(_QUOTA, namespace), self.store.list(_POD, namespace)
            check_admission(self.read(_NAMESPACES, "", namespace), quotas, pods, obj)
        fresh = self._born(kind, namespace, obj)
        return self._stored(key, record_update(None, fresh, _updater(write)), write)

    def _check_namespace(self, kind: Kind, namespace: str, body: Body) -> None:
        """It is there and stays. Raises ApiError 404 or 403."""
        found = self.read(_NAMESPACES, "", namespace)
        if "deletionTimestamp" in found["metadata"]:
            name = (body.get("metadata") or {}).get("name", "")
            message = f"namespace {namespace} is being terminated"
            causes = [cause("metadata.namespace", "NamespaceTerminating", message)]
            details: Json = {"name": name, "kind": kind.plural, "causes": causes}
            if kind.group:
                details["group"] = kind.group
            raise ApiError(403, "Forbidden", f"unable to create: {message}", details=details)

    def _check_definition(self, kind: Kind, obj: Json) -> None:
        """It stays. Raises ApiError 403."""
        definition = self.store.get(key_of_definition(kind)) if kind.is_custom else None
        if definition is not None and "deletionTimestamp" in definition["metadata"]:
            name = obj["metadata"]["name"]
            message = "create not allowed while custom resource definition is terminating"
            details: Json = {"name": name, "group": kind.group, "kind": kind.plural}
            raise ApiError(403, "Forbidden", message, details=details)

    def _born(self, kind: Kind, namespace: str, obj: Json) -> Json:
        metadata = {name: value for name, value in obj["metadata"].items() if name not in _OWN}
        metadata.pop("managedFields", None)
        metadata.pop("selfLink", None)
        metadata["uid"] = f"00000000-0000-4000-9000-{next(self._uids):012}"
        metadata["creationTimestamp"] = _time(self._clock())
        if kind.is_namespaced:
            metadata["namespace"] = namespace
        if kind.generation:
            metadata["generation"] = 1
        born = {**obj, "metadata": metadata}
        if kind.kind == "Service" and obj["spec"]["type"] != "ExternalName":
            address = obj["spec"].get("clusterIP") or f"198.51.100.{next(self._addresses) % 256}"
            born["spec"] = {**obj["spec"], "clusterIP": address, "clusterIPs": [address]}
        if kind == _DEFINITIONS:
            return accepted(born, self.timestamp())
        if "status" in kind.subresources:
            initial = kind.fill_in(
                {"metadata": {}, "spec": copy.deepcopy(obj.get("spec", {}))}
            ).get("status")
            born.pop("status", None)
            if initial is not None:
                born["status"] = initial
        return born

    def replace(self, kind: Kind, namespace: str, name: str, *, body: Body, write: Write) -> Json:
        """PUT. Raises ApiError."""
        obj = self._typed(kind, body, write)
        said = obj["metadata"].get("name", name)
        if said != name:
            message = f"the name of the object ({said}) does not match the name on the URL ({name})"
            raise bad_request(message)
        obj["metadata"]["name"] = name
        if kind.kind in _MADE_BY_PUT and self.store.get(key_of(kind, namespace, name)) is None:
            head = {key: one for key, one in obj["metadata"].items() if key != "resourceVersion"}
            return self.create(kind, namespace, {**obj, "metadata": head}, write)
        before = self.read(kind, namespace, name)
        uid = obj["metadata"].get("uid", before["metadata"]["uid"])
        if uid != before["metadata"]["uid"]:
            raise conflict(kind, name, f"Precondition failed: UID in precondition: {uid}")
        is_versioned = kind.is_custom or kind.kind in _MADE_BY_PUT
        if is_versioned and not obj["metadata"].get("resourceVersion"):
            message = "Invalid value: 0: must be specified for an update"
            causes = [cause("metadata.resourceVersion", "FieldValueInvalid", message)]
            # Refused before anybody has looked at the object: by the name in the path.
            raise invalid(attrs.evolve(kind, kind=kind.plural), name, causes)
        return self._update(kind, before, kind.fill_in(obj), write)

    def patch(
        self, kind: Kind, namespace: str, name: str, *, change: Callable[[Json], Json], write: Write
    ) -> Json:
        """A patch that is not an apply. Raises ApiError."""
        before = self.read(kind, namespace, name)
        version = before["metadata"]["resourceVersion"]
        # A patch without a version is unconditional: it is merged into whatever is newest.
        after = change(copy.deepcopy(before))
        if kind.schema is not None:
            unknown = conform(kind.schema, after)
            write.unknown.extend(unknown)
            if unknown and write.validation == "Strict":
                message = f"Invalid value: {_strict(unknown)}"
                details: Json = {"causes": [cause("patch", "FieldValueInvalid", message)]}
                raise ApiError(422, "Invalid", f' "" is invalid: {message}', details=details)
        said = after["metadata"].get("name")
        if said != name:
            message = f"the name of the object ({said}) does not match the name on the URL ({name})"
            raise bad_request(message)
        if after["metadata"].get("uid") != before["metadata"]["uid"]:
            said = after["metadata"].get("uid")
            message = f'Invalid value: "{said}": field is immutable'
            raise invalid(kind, name, [cause("metadata.uid", "FieldValueInvalid", message)])
        after["metadata"].setdefault("resourceVersion", version)
        return self._update(kind, before, kind.fill_in(after), write)

    def apply(
        self, kind: Kind, namespace: str, name: str, *, body: Body, write: Write, force: bool
    ) -> tuple[Json, bool]:
        """Server-side apply. Returns the object and whether it is new. Raises ApiError."""
        if not isinstance(body, dict) or not body.get("kind"):
            raise bad_request(f"invalid object type: {kind.api_version}, Kind=")
        # Defaults come afterwards: they are nobody's.
        applied = self._typed(kind, body, write, completes=False)
        if applied["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        manager = Manager(write.manager, "Apply", write.subresource)
        live = self.store.get(key_of(kind, namespace, name))
        if live is None:
            if kind.is_namespaced:
                self._check_namespace(kind, namespace, body)
            obj = _completed(kind, apply_fields(None, applied, manager, force=force))
            owned = obj["metadata"].get("managedFields")  # nobody's when no field was applied
            check_object(kind, kind.fill_in(obj))
            fresh = self._born(kind, namespace, obj)
            if owned:
                fresh["metadata"]["managedFields"] = owned
            return self._stored(key_of(kind, namespace, name), fresh, write), True
        said = applied["metadata"].get("resourceVersion")
        if said and said != live["metadata"]["resourceVersion"]:
            raise object_modified(kind, name)
        merged = apply_fields(live, applied, manager, force=force)
        after = kind.fill_in(_completed(kind, merged))
        return self._finish_update(kind, live, after, write), False

    def scale(self, kind: Kind, namespace: str, name: str, *, replicas: int, write: Write) -> Json:
        """Change the number of replicas. Raises ApiError."""

        def change(obj: Json) -> Json:
            return {**obj, "spec": {**obj["spec"], "replicas": replicas}}

        return self.patch(kind, namespace, name, change=change, write=write)

    def _update(self, kind: Kind, before: Json, after: Json, write: Write) -> Json:
        name = before["metadata"]["name"]
        said = after["metadata"].get("resourceVersion")
        if said is not None and not said.isdigit():
            raise ApiError(500, "", f'strconv.ParseUint: parsing "{said}": invalid syntax')
        if said not in (None, before["metadata"]["resourceVersion"]):
            raise object_modified(kind, name)
        after = self._kept_apart(kind, before, after, write.subresource)
        return self._finish_update(
            kind, before, record_update(before, after, _updater(write)), write
        )

    def _finish_update(self, kind: Kind, before: Json, after: Json, write: Write) -> Json:
        metadata = dict(after["metadata"])
        for field in (*_OWN, "namespace", "generation", "resourceVersion"):
            metadata.pop(field, None)
            if field in before["metadata"]:
                metadata[field] = before["metadata"][field]
        if kind.generation and write.subresource in ("", "scale") and _differs(kind, before, after):
            metadata["generation"] = before["metadata"].get("generation", 0) + 1
        obj = {**after, "metadata": metadata}
        check_object(kind, obj, before)
        _check_finalizers(kind, before["metadata"], metadata)
        if obj == before:
            return before
        key = key_of(kind, metadata.get("namespace", ""), metadata["name"])
        if (
            "deletionTimestamp" in metadata
            and not metadata.get("finalizers")
            and kind.kind != "Pod"
        ):
            # The last finalizer is gone, and the object with it; the answer shows it without.
            if not write.is_dry:
                self.store.remove(key)
            return obj
        return self._stored(key, obj, write)

    @staticmethod
    def _kept_apart(kind: Kind, before: Json, after: Json, subresource: str) -> Json:
        """Status and the rest are written by different requests."""
        if "status" not in kind.subresources or subresource == "binding":
            return after
        if subresource == "status":
            metadata = {**before["metadata"]}
            if "resourceVersion" in after["metadata"]:
                metadata["resourceVersion"] = after["metadata"]["resourceVersion"]
            if kind.kind in _ANNOTATED and "annotations" in after["metadata"]:
                metadata["annotations"] = after["metadata"]["annotations"]
            return {**before, "metadata": metadata, "status": after.get("status", {})}
        kept = {key: value for key, value in after.items() if key != "status"}
        return {**kept, "status": before["status"]} if "status" in before else kept

    def _stored(self, key: Key, obj: Json, write: Write) -> Json:
        if write.is_dry:
            return obj
        return self.store.put(key, obj)

    def delete(self, kind: Kind, namespace: str, name: str, *, options: Body, is_dry: bool) -> Json:
        """Delete, at once or after a grace period; returns the last state. Raises ApiError."""
        obj = self.read(kind, namespace, name)
        _check_preconditions(kind, obj, options.get("preconditions") or {})
        if is_dry:
            return obj
        key = key_of(kind, namespace, name)
        if kind.kind == "Pod":
            return self._delete_pod(key, obj, options.get("gracePeriodSeconds"))
        if kind == _NAMESPACES:
            # Emptied by a controller, which then takes the finalizer away.
            if "deletionTimestamp" in obj["metadata"]:
                return obj
            at = {"deletionTimestamp": self.timestamp()}
            told = {**obj, "status": {**obj["status"], "phase": "Terminating"}}
            return self.store.put(key, {**told, "metadata": {**obj["metadata"], **at}})
        if kind == _DEFINITIONS:
            # As with a namespace: what it defined goes first, by a controller.
            if "deletionTimestamp" in obj["metadata"]:
                return obj
            now = self.timestamp()
            until = {"deletionTimestamp": now, "finalizers": [_CLEAN_UP]}
            marked = {**obj, "metadata": {**obj["metadata"], **until}}
            return self.store.put(key, ending(marked, now))
        policy = options.get("propagationPolicy") or _PROPAGATED.get(kind.kind, "")
        waits = _PROPAGATION.get(policy)
        finalizers = [*obj["metadata"].get("finalizers", ()), *([waits] if waits else ())]
        if finalizers:
            if "deletionTimestamp" in obj["metadata"]:
                return obj
            obj = {**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}}
            return self.store.put(key, self._marked(kind, obj, 0))
        return self.store.remove(key)

    def _delete_pod(self, key: Key, pod: Json, grace_s: int | None) -> Json:
        spec, phase = pod["spec"], pod.get("status", {}).get("phase")
        if grace_s is None:
            grace_s = spec.get("terminationGracePeriodSeconds", 30)
        if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            grace_s = 0
        grace_s = 1 if grace_s < 0 else grace_s
        old_s = pod["metadata"].get("deletionGracePeriodSeconds")
        if grace_s and old_s is not None and grace_s >= old_s:
            return pod
        kind = next(one for one in BUILT_IN if one.kind == "Pod")
        marked = self.store.put(key, self._marked(kind, pod, grace_s))
        if not grace_s:
            self.store.remove(key)
        return marked

    def _marked(self, kind: Kind, obj: Json, grace_s: int) -> Json:
        metadata = {
            **obj["metadata"],
            "deletionTimestamp": _time(self._clock() + grace_s),
            "deletionGracePeriodSeconds": grace_s,
        }
        if "deletionTimestamp" not in obj["metadata"] and kind.generation:
            metadata["generation"] = metadata.get("generation", 0) + 1
        return {**obj, "metadata": metadata}

    @staticmethod
    def _typed(kind: Kind, body: Body, write: Write, *, completes: bool = True) -> Json:
        """The object with the kind it must have. Raises ApiError 400."""
        said_kind = body.get("kind") or kind.kind
        said_version = body.get("apiVersion") or kind.api_version
        if kind.is_custom and said_kind != kind.kind and said_version == kind.api_version:
            message = f'Invalid value: "{said_kind}": must be {kind.kind}'
            causes = [cause("kind", "FieldValueInvalid", message)]
            name = (body.get("metadata") or {}).get("name", "")
            raise invalid(attrs.evolve(kind, kind=said_kind), name, causes)
        if (said_kind, said_version) != (kind.kind, kind.api_version):
            message = (
                f'{said_kind} in version "{said_version.rpartition("/")[2]}" '
                f"cannot be handled as a {kind.kind}"
            )
            raise bad_request(message)
        obj: Json = {"kind": kind.kind, "apiVersion": kind.api_version, **copy.deepcopy(dict(body))}
        obj["kind"], obj["apiVersion"] = kind.kind, kind.api_version
        obj["metadata"] = dict(obj.get("metadata") or {})
        if kind.schema is not None:
            write.unknown.extend(conform(kind.schema, obj, completes=completes))
        if write.unknown and write.validation == "Strict":
            what = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
            raise bad_request(f"{what}: {_strict(write.unknown)}")
        return obj


def _completed(kind: Kind, obj: Json) -> Json:
    if kind.schema is not None:
        obj = copy.deepcopy(obj)
        conform(kind.schema, obj)
    return obj


def _strict(unknown: list[str]) -> str:
    fields = ", ".join(f'unknown field "{field}"' for field in unknown)
    return f"strict decoding error: {fields}"


def _updater(write: Write) -> Manager:
    return Manager(write.manager, "Update", write.subresource)


def _differs(kind: Kind, before: Json, after: Json) -> bool:
    def part(obj: Json, name: str) -> object:
        return obj["metadata"].get(name) if name == "annotations" else obj.get(name)

    return any(part(before, name) != part(after, name) for name in kind.generation)


def _check_finalizers(kind: Kind, before: Body, after: Body) -> None:
    """What is being deleted waits for nobody new. Raises ApiError 422."""
    more = set(after.get("finalizers") or ()) - set(before.get("finalizers") or ())
    if "deletionTimestamp" in before and more:
        message = (
            f"Forbidden: no new finalizers can be added if the object is being deleted: {more}"
        )
        causes = [cause("metadata.finalizers", "FieldValueForbidden", message)]
        raise invalid(kind, before["name"], causes)


def _check_preconditions(kind: Kind, obj: Json, wanted: Body) -> None:
    name = obj["metadata"]["name"]
    for field, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) not in (None, obj["metadata"][field]):
            message = (
                f'Operation cannot be fulfilled on {kind.kind} "{name}": the {word} in the '
                f"precondition ({wanted[field]}) does not match the {word} in record"
            )
            raise conflict(kind, name, message, by_kind=True)


def _time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
